"""`replay`, `replays`."""

import gzip
import json
import lzma
import os
import signal
import struct
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from services.cli.requests import outcome
from tests.cli.commands.conftest import Fxmesh


@pytest.fixture
def session() -> str:
    return f"r{uuid.uuid4().hex[:12]}"


@pytest.fixture
def ticks(shared_data: Path) -> Path:
    return shared_data / "ticks" / "truefx_usdjpy_ticks_20130101.csv"


@pytest.mark.parametrize("pace", [(), ("--unpaced",), ("--lockstep",), ("--speed", "100000")])
def test_a_file_is_played_stored_and_accounted_for(
    fxmesh: Fxmesh, ticks: Path, session: str, pace: tuple[str, ...]
) -> None:
    done = fxmesh("replay", ticks, "--symbol", "usdjpy", "--session-id", session, *pace, "--json")
    assert (done.code, done.err) == (0, "")
    data = done.data
    assert data["replay"]["state"] == "REPLAY_STATE_COMPLETED"
    assert data["replay"]["ticksPublished"] == "1000"
    assert data["ticksStored"] == 1000
    assert data["settled"] is True
    assert data["account"]["accountId"] == f"replay-{session}"
    assert data["reconciliation"]["reconciled"] is True
    assert session in fxmesh("replays").out
    assert fxmesh("storage", session, "--json").data["counts"][0] == {"name": "ticks", "count": "1000"}


def test_the_summary_as_text_has_rejects_and_profit(fxmesh: Fxmesh, tmp_path: Path, session: str) -> None:
    path = tmp_path / "bad.csv.gz"
    good = "AUD/USD,20140501 13:00:{:02d}.000,0.92{:03d},0.92{:03d}\n"
    lines = [good.format(n, n, n + 9) for n in range(20)]
    lines.insert(5, "AUD/USD,20140501 13:00:04.000,nonsense,0.92009\n")
    lines.insert(9, "AUD/USD,20140501 13:00:07.500,0.92020,0.92010\n")
    path.write_bytes(gzip.compress("".join(lines).encode()))
    done = fxmesh("replay", path, "--session-id", session, "--lockstep")
    assert (done.code, done.err) == (0, "")
    assert "crossed      1 (flagged, not traded on)" in done.out
    (reject,) = [line for line in done.out.splitlines() if line.startswith("rejected  BAD_PRICE")]
    assert reject.split()[2:4] == ["1", "6"]
    assert f"replay-{session}" in done.out
    assert "books         equal the fills" in done.out


def test_a_folder_of_hours_is_played_as_one_file(
    fxmesh: Fxmesh, shared_data: Path, tmp_path: Path, session: str
) -> None:
    """Two real hours of a night, the second cut short, and none between them."""
    hours = shared_data / "dukascopy_bi5/EURUSD/2019/01/04"
    day = tmp_path / "EURUSD/2019/01/04"
    day.mkdir(parents=True)
    (day / "21h_ticks.bi5").write_bytes((hours / "21h_ticks.bi5").read_bytes())
    (day / "23h_ticks.bi5").write_bytes((hours / "23h_ticks.bi5").read_bytes()[:8_000])

    done = fxmesh("replay", tmp_path, "--session-id", session, "--json")

    assert (done.code, done.err) == (0, "")
    replay = done.data["replay"]
    assert (replay["format"], replay["symbol"], replay["fileName"]) == ("bi5", "EURUSD", tmp_path.name)
    ticks = int(replay["ticksPublished"])
    assert 2_114 < ticks < 2_114 + 2_800
    assert done.data["ticksStored"] == ticks
    found = {each["reason"]: each for each in replay["rejects"]}
    assert (found["MISSING_HOUR"]["warning"], found["MISSING_HOUR"]["count"]) == (True, "2")
    assert (found["TRUNCATED"]["warning"], found["TRUNCATED"]["firstLine"]) == (False, str(ticks + 1))
    assert "of EURUSD/2019/01/04/23h_ticks.bi5" in found["TRUNCATED"]["firstDetail"]
    strict = fxmesh("replay", tmp_path, "--strict", "--json")
    assert (strict.code, strict.error["reason"]) == (1, "TRUNCATED")


def test_an_order_in_the_daily_pause_of_gold_is_refused(fxmesh: Fxmesh, tmp_path: Path, session: str) -> None:
    """22:30 UTC on 4 February 2019 was 17:30 in New York: the feed may quote, gold does not trade."""
    day = tmp_path / "XAUUSD/2019/01/04"
    day.mkdir(parents=True)
    minute = 60_000
    ticks = (struct.pack(">IIIff", at * minute, 1_312_500, 1_312_200, 0.001, 0.001) for at in (30, 50))
    (day / "22h_ticks.bi5").write_bytes(lzma.compress(b"".join(ticks), lzma.FORMAT_ALONE))
    played = fxmesh("replay", day, "--speed", "0.001", "--session-id", session, "--detach")
    assert played.code == 0

    order = ("order", "buy", "XAUUSD", "1", "--account", f"replay-{session}", "--json")
    refused = fxmesh(*order)
    while refused.error["reason"] in ("UNKNOWN_ACCOUNT", "NO_QUOTE", "INSTRUMENT_NOT_TRADABLE"):
        refused = fxmesh(*order)  # trading has not heard of the session yet

    assert refused.error["reason"] == "MARKET_CLOSED"
    (gold,) = fxmesh("instruments", "XAUUSD", "--json").data["instruments"]
    assert (gold["marketState"], gold["nextChange"]) == ("MARKET_STATE_CLOSED", "2019-02-04T23:00:00Z")
    assert fxmesh("replays", "--stop", session).code == 0


def test_strict_stops_at_the_first_bad_line(fxmesh: Fxmesh, tmp_path: Path, session: str) -> None:
    path = tmp_path / "bad.csv"
    line = "AUD/USD,20140501 13:00:00.000,0.92000,0.92009\n"
    path.write_text(line + "AUD/USD,20140501 13:00:01.000,nonsense,0.92009\n" + line)
    done = fxmesh("replay", path, "--strict", "--session-id", session)
    assert done.code == 1
    assert "fxmesh: The replay failed: bad.csv, line 2: " in done.err
    assert "Every line was taken." not in done.out
    figures = [line.split() for line in done.out.splitlines()]
    assert ["lines", "2"] in figures
    assert ["rejected", "1"] in figures
    (reject,) = [line for line in done.out.splitlines() if line.startswith("rejected  BAD_PRICE")]
    assert reject.split()[2:4] == ["1", "2"]


def test_a_file_of_another_symbol_is_no_success(fxmesh: Fxmesh, tmp_path: Path) -> None:
    path = tmp_path / "aud.csv"
    path.write_text("AUD/USD,20140501 13:00:00.000,0.92000,0.92009\n" * 3)
    done = fxmesh("replay", path, "--symbol", "USDJPY", "--json")
    assert (done.code, done.error["reason"]) == (1, "REPLAY_REJECTED")
    assert "no line of aud.csv could be taken: line 1: WRONG_SYMBOL" in done.error["message"]


def test_what_is_not_seen_to_its_end_is_no_success(
    fxmesh: Fxmesh, ticks: Path, platform_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "SETTLE_S", 0.1)
    where = ("--address", f"all={platform_address}", "--address", "analysis_engine=127.0.0.1:1")
    done = fxmesh("replay", ticks, "--symbol", "USDJPY", *where)
    assert done.code == 6
    assert "No answer from analysis_engine" in done.out


def test_faults_of_a_file(fxmesh: Fxmesh, ticks: Path, tmp_path: Path, shared_data: Path) -> None:
    assert fxmesh("replay", tmp_path / "none.csv").code == 2
    folder = fxmesh("replay", tmp_path)
    assert folder.code == 4
    assert "holds no Dukascopy ticks: expected SYMBOL/YYYY/MM/DD/HHh_ticks.bi5" in folder.err
    lost = tmp_path / "03h_ticks.bi5"
    lost.write_bytes(b"]")
    assert "Replay or import the folder that holds SYMBOL/YYYY/MM/DD" in fxmesh("replay", lost).err
    unnamed = fxmesh("replay", ticks)
    assert unnamed.code == 4
    assert f"{ticks.name} does" in unnamed.err
    assert unnamed.err.splitlines()[0].endswith(" does not say its symbol. Name it with --symbol.")
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert fxmesh("replay", empty, "--json").error["reason"] == "EMPTY_FILE"
    bars = shared_data / "bad_input" / "mislabelled_symbol_h1_2019.csv.gz"
    assert fxmesh("replay", bars).code == 4
    assert fxmesh("replay", ticks, "--speed", "2", "--lockstep").code == 2
    assert fxmesh("replay", ticks, "--speed", "0").code == 2


def test_a_detached_replay_is_seen_held_and_stopped(fxmesh: Fxmesh, ticks: Path, session: str) -> None:
    arguments = ("replay", ticks, "--symbol", "USDJPY", "--speed", "1", "--session-id", session, "--detach")
    assert fxmesh(*arguments).code == 0
    other = fxmesh("replay", ticks, "--symbol", "USDJPY")
    assert other.code == 4
    assert "fxmesh replays --stop" in other.err
    for action, state in (("--pause", "PAUSED"), ("--resume", "RUNNING"), ("--stop", "STOPPED")):
        replay = fxmesh("replays", action, session, "--json").data["replay"]
        assert replay["state"] == f"REPLAY_STATE_{state}"
    assert fxmesh("replays", "--stop", session, "--json").error["reason"] == "REPLAY_ENDED"
    assert fxmesh("replays", "--stop", "nope", "--json").error["reason"] == "UNKNOWN_REPLAY"
    assert fxmesh("replays", "--stop", "a", "--pause", "b").code == 2


@pytest.mark.parametrize("times", [1, 4])
def test_ctrl_c_stops_the_replay_it_began_however_often(
    fxmesh: Fxmesh, ticks: Path, session: str, platform_address: str, times: int
) -> None:
    arguments = ("replay", ticks, "--symbol", "USDJPY", "--speed", "1", "--session-id", session)
    playing = subprocess.Popen(
        [sys.executable, "-m", "services.cli", *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "FXMESH_ADDRESS": f"all={platform_address}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def state() -> str:
        replays = {each["replayId"]: each for each in fxmesh("replays", "--json").data["replays"]}
        return str(replays[session]["state"]) if session in replays else ""

    while state() != "REPLAY_STATE_RUNNING":
        assert playing.poll() is None
    for _ in range(times):
        playing.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            playing.communicate(timeout=0.002)
    out, err = playing.communicate()
    assert (playing.returncode, out) == (130, "")
    assert f"replay {session} is stopped" in err
    assert "Interrupted." in err
    assert state() == "REPLAY_STATE_STOPPED"


def test_json_of_a_failure_is_one_document(fxmesh: Fxmesh, tmp_path: Path) -> None:
    done = fxmesh("replay", tmp_path / "none.csv", "--json")
    assert json.loads(done.out)["error"]["reason"] == "FILE_NOT_FOUND"
    assert done.err == ""
