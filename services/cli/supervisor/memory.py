"""How much memory a process takes, with what it started: resident, and proportional where the system tells.

Resident pages that processes share (the interpreter, libraries) count in each of them; the proportional size
splits them, so that its sum is what the platform really costs. Bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """`proportional` is None where the system does not tell (not Linux, another user's process)."""

    resident: int
    proportional: int | None

    def __add__(self, other: Memory) -> Memory:
        both = None
        if self.proportional is not None and other.proportional is not None:
            both = self.proportional + other.proportional
        return Memory(self.resident + other.resident, both)


NOTHING = Memory(0, 0)


def resident(pid: int) -> int | None:
    """Of one process; None when it is gone. Cheap enough for a table that redraws."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def measure(pid: int, leave_out: Collection[int] = ()) -> Memory | None:
    """Of a process and what it started, but for the processes in `leave_out`; None when it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        total = _one(process)
        for child in process.children():
            if child.pid not in leave_out:
                total += measure(child.pid) or NOTHING
    except psutil.Error:
        return None
    return total


def _one(process: psutil.Process) -> Memory:
    import psutil

    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return Memory(process.memory_info().rss, None)
    return Memory(full.rss, getattr(full, "pss", None))
