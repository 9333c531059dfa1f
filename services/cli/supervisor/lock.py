"""The run lock: who holds `run/lock` may run a platform in that home, and holds it until all of it has ended.

A flock on an open file: the kernel drops it with the last process that has the file open, whatever way that
ends, so there are no stale locks. The supervisor and its guard share one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from services.cli.home import Home


def acquire(home: Home) -> int | None:
    """The open lock file, or None while somebody else holds it. Closing the number gives the lock back."""
    number = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        return None
    return number


def held(home: Home) -> bool:
    """True while a platform runs in `home`, or what a killed supervisor left is still ending."""
    try:
        number = os.open(home.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask do not take each other for the holder.
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        with suppress(OSError):
            os.close(number)
    return False
