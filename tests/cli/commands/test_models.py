"""`train`, `models`, `deploy`, `predict`."""

import gzip
from itertools import islice
from pathlib import Path

import pytest
from fxmesh.workbench.v1 import workbench_pb2 as workbench

from services.cli.requests import models
from tests.cli.commands.conftest import Fxmesh


@pytest.fixture
def stored_bars(fxmesh: Fxmesh, shared_data: Path, tmp_path: Path) -> None:
    """Three thousand real hours of EURUSD."""
    path = tmp_path / "h1.csv"
    with gzip.open(shared_data / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz", "rt") as lines:
        path.write_text("".join(islice(lines, 3001)))
    assert fxmesh("import", path, "--symbol", "EURUSD").code == 0


def test_a_model_is_trained_served_and_asked(fxmesh: Fxmesh, stored_bars: None) -> None:
    done = fxmesh("train", "--symbol", "EURUSD", "--rounds", "5", "--deploy", "--to", "2008-01-01")
    assert (done.code, done.err) == (0, "")
    assert "GUESSING" in done.out
    assert "Endpoint eurusd-1h serves it now" in done.out

    trained = fxmesh("train", "--rounds", "5", "--param", "num_leaves=7", "--name", "other", "--json").data
    assert trained["run"]["state"] == "TRAINING_STATE_COMPLETED"
    assert trained["run"]["metrics"]["validationRows"] != "0"
    assert trained["requestId"]

    assert "eurusd-1h" in fxmesh("models").out
    listed = fxmesh("models", "--json").data
    assert {each["name"] for each in listed["models"]} >= {"eurusd-1h", "other"}
    assert fxmesh("models", "other", "--json").data["versions"][0]["version"] == 1
    assert "LOG LOSS" in fxmesh("models", "other").out

    deployed = fxmesh("deploy", "other", "--version", "1", "--endpoint", "eurusd-1h")
    assert deployed.code == 0
    assert "before      eurusd-1h" in deployed.out
    prediction = fxmesh("predict", "EURUSD", "--json").data["prediction"]
    assert 0 < prediction["probabilityUp"] < 1
    assert prediction["modelName"] == "other"
    assert len(prediction["contributions"]) == 5
    shown = fxmesh("predict", "EURUSD", "--time", "2007-03-01T12:00Z")
    assert shown.code == 0
    assert "CONTRIBUTION" in shown.out


def test_what_cannot_be_trained_served_or_asked(fxmesh: Fxmesh) -> None:
    done = fxmesh("train", "--symbol", "NZDJPY")
    assert done.code == 1
    assert "import a bar file" in done.err
    assert fxmesh("train", "--param", "no").code == 2
    assert fxmesh("train", "--param", "nonsense=1", "--json").error["reason"] == "BAD_PARAMETER"
    assert fxmesh("deploy", "nope", "--json").error["reason"] == "UNKNOWN_MODEL"
    assert fxmesh("models", "nope").code == 4
    none = fxmesh("predict", "NZDJPY")
    assert none.code == 4
    assert "fxmesh train" in none.err


def _metrics(accuracy: float, log_loss: float) -> workbench.ModelMetrics:
    return workbench.ModelMetrics(
        validation_rows=10_000,
        log_loss=log_loss,
        baseline_log_loss=0.693,
        accuracy=accuracy,
        baseline_accuracy=0.49,
    )


def test_the_verdict_is_honest() -> None:
    assert "do not trade" in models.verdict(_metrics(0.60, 0.694), horizon=1)
    assert "often do as well" in models.verdict(_metrics(0.515, 0.69), horizon=1)
    assert "seldom do as well" in models.verdict(_metrics(0.53, 0.69), horizon=1)
    # 10,000 labels that look 25 bars ahead are no more than 400 of their own.
    assert "often do as well" in models.verdict(_metrics(0.53, 0.69), horizon=25)
