"""What people type, as the contracts want it."""

from decimal import Decimal
from pathlib import Path

import pytest
from fxmesh.types.v1 import market_pb2 as types

from services.cli import inputs
from services.cli.output import CliError, ExitCode


def test_symbols_are_written_in_several_ways() -> None:
    assert inputs.symbols(["eur/usd", "USDJPY,gbpusd", "EURUSD"]) == ["EURUSD", "USDJPY", "GBPUSD"]
    assert inputs.symbols(None) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1m", types.TIMEFRAME_M1),
        ("M15", types.TIMEFRAME_M15),
        ("4H", types.TIMEFRAME_H4),
        ("30s", types.TIMEFRAME_S30),
    ],
)
def test_timeframes(text: str, expected: int) -> None:
    assert inputs.timeframe(text) == expected


@pytest.mark.parametrize("text", ["", "7x", "1", "m", "UNSPECIFIED", "１m"])
def test_no_timeframes(text: str) -> None:
    with pytest.raises(CliError, match="Known: 1s, 5s") as wrong:
        inputs.timeframe(text)
    assert wrong.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-02", 86_400_000_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T02:00:01+02:00", 1_000_000_000),
        ("1970-01-01 00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1234567", 123_456_700),
    ],
)
def test_times_are_utc_and_exact(text: str, nanoseconds: int) -> None:
    assert inputs.time(text).ToNanoseconds() == nanoseconds


@pytest.mark.parametrize("text", ["", "yesterday", "2014-13-01", "2014-05-01T25:00", "1399000000"])
def test_no_times(text: str) -> None:
    with pytest.raises(CliError, match="is no time"):
        inputs.time(text)


def test_durations() -> None:
    assert [inputs.duration(text).seconds for text in ("45s", "30m", "2h", "1d")] == [45, 1800, 7200, 86_400]
    with pytest.raises(CliError, match="2h or 1d"):
        inputs.duration("a while")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.1lot", "0.1"), ("2 lots", "2"), ("10000", None), ("1e5lot", None), ("lot", None)],
)
def test_sizes_in_lots(text: str, expected: str | None) -> None:
    assert inputs.lots(text) == (None if expected is None else Decimal(expected))


def test_labels() -> None:
    assert inputs.labels(["a=1", "b=x=y"], "--label") == {"a": "1", "b": "x=y"}
    with pytest.raises(CliError, match="--label nothing is not NAME=VALUE"):
        inputs.labels(["nothing"], "--label")


def test_a_file_is_read_in_pieces_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_bytes(b"x" * (inputs.CHUNK + 1))
    assert inputs.file(path) == inputs.CHUNK + 1
    assert [len(each) for each in inputs.chunks(path)] == [inputs.CHUNK, 1]
    with pytest.raises(CliError, match="There is no file"):
        inputs.file(tmp_path / "none.csv")
    with pytest.raises(CliError, match="is a directory"):
        inputs.file(tmp_path)
