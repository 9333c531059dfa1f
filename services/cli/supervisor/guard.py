"""Outlives the supervisor to end what it left behind, even after a SIGKILL.

Run as `python -I -S guard.py <grace seconds>`; imports the standard library only. Standard input brings
`add <process group>` and `drop <process group>` lines. End of file means the supervisor is gone: groups still
listed have the grace to finish their drain, then get SIGKILL. It inherits the run lock, so the home stays
locked until nothing of the platform is left.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_POLL_S = 0.05
_AFTER_KILL_S = 5.0  # a killed process that is still there after this is stuck in the kernel


def alive(group: int) -> bool:
    """True while the group has a member that runs; a leader that nobody has reaped yet does not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # what some systems answer when only zombies are left
        return False
    try:
        stat = Path(f"/proc/{group}/stat").read_text()
    except OSError:  # no such leader (a grandchild keeps the group), or no /proc here
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"


def signal_groups(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def wait_gone(groups: set[int], seconds: float) -> set[int]:
    """The groups still alive after at most `seconds`."""
    end = time.monotonic() + seconds
    left = {group for group in groups if alive(group)}
    while left and time.monotonic() < end:
        time.sleep(_POLL_S)
        left = {group for group in left if alive(group)}
    return left


def main() -> None:
    # Ctrl-C and a closed terminal are the supervisor's business; this one ends when the supervisor has.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        verb, group = line.split()
        (groups.add if verb == "add" else groups.discard)(int(group))
    # On Linux the kernel has sent each child its SIGTERM (launch.py); a second would cut a drain short.
    if sys.platform != "linux":
        signal_groups(groups, signal.SIGTERM)
    left = wait_gone(groups, float(sys.argv[1]))
    signal_groups(left, signal.SIGKILL)
    wait_gone(left, _AFTER_KILL_S)


if __name__ == "__main__":
    main()
