"""Log lines as people see them, and the ends of files however they grow."""

import json
from pathlib import Path

import pytest

from services.cli.supervisor import logs

SERVICE_LINE = {
    "event": "order accepted",
    "order": "o-1",
    "reason": "two words",
    "quantity": 10,
    "level": "info",
    "time": "2026-01-02T03:04:05.678901Z",
    "service": "trading_gateway",
}


def test_a_service_line_becomes_time_level_text_and_fields() -> None:
    shown = logs.render(logs.parse(json.dumps(SERVICE_LINE)))
    assert shown == '03:04:05.678 info    order accepted order=o-1 reason="two words" quantity=10'


def test_a_traceback_stays_on_lines_of_its_own() -> None:
    record = {"event": "the process failed", "level": "error", "exception": "Traceback:\n  ValueError"}
    assert logs.render(record) == "error   the process failed\nTraceback:\n  ValueError"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[17] 2026/01/02 03:04:05.678901 [INF] Server is ready", "03:04:05.678 info    Server is ready"),
        ("[17] 2026/01/02 03:04:05.678901 [FTL] bind: in use", "03:04:05.678 critical bind: in use"),
        ("2026-01-02T03:04:05Z trading  serving", "03:04:05 trading  serving"),
    ],
)
def test_lines_of_nats_and_the_supervisor_are_understood_too(line: str, shown: str) -> None:
    record = logs.parse(line)
    assert logs.render(record) == shown
    assert logs.when(record).startswith("2026-01-02T03:04:05")


@pytest.mark.parametrize("line", ["plain words", "3", "{broken", "[1, 2]", ""])
def test_a_line_of_another_kind_is_shown_as_it_is(line: str) -> None:
    assert logs.render(logs.parse(line)) == line


@pytest.mark.parametrize("count", [0, 1, 3, 5000, 9000])
def test_the_tail_is_the_last_lines_whatever_the_size(tmp_path: Path, count: int) -> None:
    lines = [f"line {number} {'x' * (number % 97)}" for number in range(7000)]
    path = tmp_path / "a.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    assert logs.tail(path, count) == (lines[-count:] if count else [])


def test_a_tail_keeps_an_unfinished_line_and_survives_bad_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n\xff\xfe\nhalf")
    assert logs.tail(path, 2) == ["\ufffd\ufffd", "half"]
    assert logs.tail(tmp_path / "none.log", 5) == []


def test_a_follower_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    follower = logs.Follower(path)
    with path.open("a") as log:
        log.write("one\ntw")
        log.flush()
        assert list(follower.new_lines()) == ["one"]
        log.write("o\n")
        log.flush()
        assert list(follower.new_lines()) == ["two"]
    assert list(follower.new_lines()) == []


def test_a_follower_begins_anew_when_a_new_run_replaced_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("a long line of the run before\n")
    follower = logs.Follower(path)
    path.rename(tmp_path / "a.previous.log")
    assert list(follower.new_lines()) == []
    path.write_text("new\n")
    assert list(follower.new_lines()) == ["new"]
