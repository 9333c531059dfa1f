"""Log files of the processes: keeping one earlier run, reading ends, and showing JSON lines to people."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.cli.home import Home

_BLOCK = 64 * 1024
_TIME = ("timestamp", "time", "ts")
_TEXT = ("event", "message", "msg")
# `[17] 2026/01/02 03:04:05.678901 [INF] Server is ready`; the plan has nats-server log in UTC.
_NATS = re.compile(r"\[\d+\] (\d{4}/\d\d/\d\d) ([\d:.]+) \[(\w{3})\] (.*)")
_NATS_LEVELS = {"TRC": "debug", "DBG": "debug", "WRN": "warning", "ERR": "error", "FTL": "critical"}
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)")
# Shown first or not at all; whatever else a line carries follows as key=value.
_SHOWN = frozenset({*_TIME, *_TEXT, "level", "service", "process"})


def rotate(home: Home, process: str) -> Path:
    """Move the log of the last run aside, replacing the one before; returns the path of the new log."""
    path = home.log(process)
    with suppress(FileNotFoundError):
        path.replace(home.previous_log(process))
    return path


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines without reading the whole file; empty where there is no file."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= lines:
                step = min(_BLOCK, position)
                position = file.seek(position - step)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-lines:] if lines > 0 else []


def parse(line: str) -> dict[str, Any]:
    """The fields of a line of a service (JSON), nats-server or the supervisor; else `{"event": line}`."""
    with suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict):
            return record
    nats = _NATS.match(line)
    if nats:
        date, clock, level, text = nats.groups()
        return {
            "event": text,
            "level": _NATS_LEVELS.get(level, "info"),
            "time": f"{date.replace('/', '-')}T{clock}Z",
        }
    stamped = _STAMPED.match(line)
    return {"event": stamped[2], "time": stamped[1]} if stamped else {"event": line}


def when(record: Mapping[str, Any]) -> str:
    """The line's own ISO time, or nothing; as text, which sorts like the time."""
    return next((str(record[name]) for name in _TIME if name in record), "")


def render(record: Mapping[str, Any]) -> str:
    """`12:30:01.123 info  text key=value ...`; a traceback follows on lines of its own."""
    clock = when(record).partition("T")[2].rstrip("Z")[:12]
    level = str(record.get("level", ""))
    text = next((str(record[name]) for name in _TEXT if name in record), "")
    rest = {name: value for name, value in record.items() if name not in _SHOWN}
    trace = rest.pop("exception", None)
    words = [clock, level.ljust(7) if level else "", text, *(f"{name}={_plain(rest[name])}" for name in rest)]
    line = " ".join(word for word in words if word)
    return f"{line}\n{trace}" if trace else line


def _plain(value: object) -> str:
    return (
        value
        if isinstance(value, str) and value and " " not in value
        else json.dumps(value, ensure_ascii=False)
    )


class Follower:
    """Yields the lines that were added to a growing log since the last look."""

    def __init__(self, path: Path, from_end: bool = True) -> None:
        self._path = path
        self._position = path.stat().st_size if from_end and path.exists() else 0
        self._inode = path.stat().st_ino if path.exists() else 0
        self._partial = b""

    def new_lines(self) -> Iterator[str]:
        """Whole lines only; starts over when a new run has replaced the file or it was cut."""
        try:
            status = self._path.stat()
            if status.st_ino != self._inode or status.st_size < self._position:
                self._inode, self._position, self._partial = status.st_ino, 0, b""
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
                self._position = file.tell()
        except FileNotFoundError:
            return
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
