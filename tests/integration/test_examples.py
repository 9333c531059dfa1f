"""The examples and README's Python, run as a reader would, against the running platform."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.bar_files import bar_file
from tests.kit.live import LivePlatform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def run(live: LivePlatform, repository: Path, *arguments: str | Path, **services: str) -> list[str]:
    """The lines an example prints, with each service's address given in the option named."""
    addresses = [f"--{option}=localhost:{live.ports[name]['grpc']}" for option, name in services.items()]
    done = subprocess.run(
        [sys.executable, *arguments, *addresses],
        cwd=repository,
        env=live.environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_order_is_placed(live: LivePlatform, repository: Path) -> None:
    lines = run(live, repository, "examples/place_order.py", "USDJPY", "1000", trading="trading_gateway")
    assert re.fullmatch(r"o-\w+ filled: 1000 USDJPY at \d+\.\d+", lines[0])
    assert lines[1].startswith("position ")


def test_quotes_are_followed(live: LivePlatform, repository: Path) -> None:
    at = f"--market-data=localhost:{live.ports['market_data']['grpc']}"
    lines = run(live, repository, "examples/stream_quotes.py", "EURUSD", "USDJPY", "--count", "3", at)
    assert len(lines) == 3
    for line in lines:
        _, symbol, bid, ask = line.split()
        assert symbol in {"EURUSD", "USDJPY"}
        assert float(bid) < float(ask)


def test_a_model_is_trained_and_asked(live: LivePlatform, repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(bar_file(1500))
    lines = run(
        live,
        repository,
        "examples/train_and_predict.py",
        path,
        "--symbol=AUDNZD",  # which no feed quotes here: the last bar is one of the file, whatever the hour
        pipeline="data_pipeline",
        inference="ml_integration",
        workbench="ml_workbench",
    )
    assert lines[0] == "read 1500 bars, 1500 of them new"
    assert lines[1].startswith("audnzd-1h 1: log loss 0.")
    assert re.match(r"up 0\.\d{4} after 2015-0", lines[2])
    assert len(lines) == 3 + 5


def test_the_few_lines_of_the_readme_trade(live: LivePlatform, repository: Path) -> None:
    (script,) = re.findall(
        r"^```python\n(.*?)^```$", (repository / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(script.splitlines()) <= 12
    here = script.replace("localhost:50051", f"localhost:{live.ports['trading_gateway']['grpc']}")
    assert here != script
    (line,) = run(live, repository, "-c", here)
    assert line.startswith("ORDER_STATUS_FILLED 10000 at 1.")
