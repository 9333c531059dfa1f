"""The rim of every process: whatever cannot be cured by waiting becomes one last line, `FATAL: …`, and exit
code 1.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

import structlog

from services.runtime.fatal import FatalError

_log = structlog.get_logger("fxmesh")


def guarded(name: str, work: Callable[[], None]) -> None:
    """Do the work of the process `name`; exits the interpreter on failure."""
    try:
        work()
    except FatalError as failure:
        _die(str(failure))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as failure:  # noqa: BLE001  nobody is above to see it
        if _is_disk_full(failure):
            _die("the disk is full: free some space or set FXMESH_DATA_DIR to another disk")
        _log.exception("the process failed")
        _die(f"{name} failed ({type(failure).__name__}): the lines above say where")


def _die(sentence: str) -> None:
    """The last line, for whoever reads the log and for whoever reads the terminal."""
    _log.critical("FATAL: %s", sentence)
    sys.stdout.flush()
    sys.stderr.write(f"FATAL: {sentence}\n")
    sys.exit(1)


def _is_disk_full(failure: BaseException) -> bool:
    # SQLite says it in words only.
    return (isinstance(failure, OSError) and failure.errno == errno.ENOSPC) or "disk is full" in str(failure)
