"""`bars`, `indicators`, `signals`."""

import json
import select
import uuid
from pathlib import Path

import pytest

from tests.cli.commands.conftest import Fxmesh, Watch


@pytest.fixture(scope="module")
def tick_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of a tick a second that rises, and a signal's worth of movement."""
    path = tmp_path_factory.mktemp("ticks") / "gbpusd.csv"
    lines = [
        f"GBP/USD,20140501 13:{second // 60:02d}:{second % 60:02d}.000,"
        f"{1.6 + second / 100_000:.5f},{1.6001 + second / 100_000:.5f}"
        for second in range(1800)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def session(fxmesh: Fxmesh, tick_file: Path) -> str:
    name = f"s{uuid.uuid4().hex[:12]}"
    assert fxmesh("replay", tick_file, "--session-id", name, "--lockstep").code == 0
    return name


def test_bars_of_a_replay_and_of_the_store_are_the_same(fxmesh: Fxmesh, session: str) -> None:
    live = fxmesh("bars", "GBPUSD", "--session", session, "-n", "3", "--closed", "--json")
    assert live.code == 0
    bars = live.data["bars"]
    assert len(bars) == 3
    assert bars[0]["tickCount"] == 60
    stored = fxmesh("bars", "GBPUSD", "--source", session, "-n", "3", "--json").data["bars"]
    assert stored == bars
    shown = fxmesh("bars", "gbp/usd", "--source", session, "-n", "2")
    assert shown.out.splitlines()[0].split()[:3] == ["OPEN", "TIME", "(UTC)"]
    assert bars[-1]["bidClose"] in shown.out


def test_bars_of_a_span(fxmesh: Fxmesh, session: str) -> None:
    span = ("--from", "2014-05-01T13:05Z", "--to", "2014-05-01T13:07Z")
    bars = fxmesh("bars", "GBPUSD", *span, "--source", session, "--json").data["bars"]
    assert [each["openTime"] for each in bars] == ["2014-05-01T13:05:00Z", "2014-05-01T13:06:00Z"]
    done = fxmesh("bars", "GBPUSD", "--from", "2014-05-02", "--to", "2014-05-01")
    assert done.code == 4
    assert "start must be before end" in done.err
    assert fxmesh("bars", "GBPUSD", "--from", "then").code == 2
    assert fxmesh("bars", "GBPUSD", "--timeframe", "7x").code == 2


def test_a_watch_of_bars_shows_each_as_it_closes(fxmesh: Fxmesh, tick_file: Path, watched: Watch) -> None:
    with watched("bars", "GBPUSD") as watch:
        assert watch.stdout is not None
        # The first replay may have passed before the watch was listening.
        while not select.select([watch.stdout], [], [], 0)[0]:
            assert fxmesh("replay", tick_file, "--detach").code in (0, 4)  # 4: the last one still runs
        first, second = json.loads(watch.stdout.readline()), json.loads(watch.stdout.readline())
        watch.terminate()
    assert first["timeframe"] == "TIMEFRAME_M1"
    assert first["openTime"] < second["openTime"]


def test_indicators_by_name(fxmesh: Fxmesh, session: str) -> None:
    done = fxmesh("indicators", "GBPUSD", "-i", "ema(5)", "-i", "rsi(14)")
    assert done.code == 0
    assert {line.split()[2] for line in done.out.splitlines()[1:]} == {"ema(5)", "rsi(14)"}
    (snapshot,) = fxmesh("indicators", "GBPUSD", "-i", "ema(5)", "--json").data["snapshots"]
    assert 1.6 < next(iter(snapshot["indicators"][0]["values"].values())) < 1.7
    assert "macd" in fxmesh("indicators", "--list").out


def test_indicators_that_are_none(fxmesh: Fxmesh, session: str) -> None:
    assert fxmesh("indicators", "GBPUSD", "-i", "nope(5)", "--json").error["reason"] == "UNKNOWN_INDICATOR"
    done = fxmesh("indicators", "GBPUSD", "-t", "1d", "-i", "ema(20)", "--json")
    assert (done.code, done.error["reason"]) == (4, "NOT_ENOUGH_BARS")
    assert "fxmesh import" in done.error["hint"]
    assert fxmesh("indicators").code == 2


def test_signals_are_listed_and_explained(fxmesh: Fxmesh, shared_data: Path) -> None:
    name = f"s{uuid.uuid4().hex[:12]}"
    path = shared_data / "ticks" / "histdata_ascii_eurusd_ticks_20200101.csv"
    done = fxmesh("replay", path, "--symbol", "EURUSD", "--session-id", name, "--lockstep", "--json")
    assert done.data["signals"] > 0
    signals = fxmesh("signals", "--session", name, "--json").data["signals"]
    assert len(signals) == min(20, done.data["signals"])
    newest = signals[0]
    shown = fxmesh("signals", "EURUSD", "--strategy", newest["strategy"], "--session", name)
    assert newest["reason"] in shown.out
    one = fxmesh("signals", "--id", newest["signalId"])
    assert newest["evidence"][0]["name"] in one.out


def test_signals_that_are_none(fxmesh: Fxmesh) -> None:
    assert "No signals yet." in fxmesh("signals", "--session", "never").out
    done = fxmesh("signals", "--id", "nope", "--json")
    assert (done.code, done.error["reason"]) == (4, "UNKNOWN_SIGNAL")
    assert fxmesh("signals", "XXXYYY", "--json").error["reason"] == "UNKNOWN_SYMBOL"
