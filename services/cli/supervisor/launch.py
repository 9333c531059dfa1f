"""Becomes a child that dies with the supervisor: has the kernel send SIGTERM at the parent's death.

Run as `python -I -S launch.py <supervisor pid> <program> <arguments...>`; imports the standard library only.
A program of its own rather than `preexec_fn`, which forks a process with threads and trips over grpc's fork
handlers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; survives exec of programs that are not set-uid


def main() -> int:
    """Does not return when all is well. 127, with the reason on standard error, if the program cannot run."""
    supervisor, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the request above: there will be no signal
        return 0
    # Python ignores these two, and ignored signals stay ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)  # noqa: S606  a plan's own command, no shell wanted
    except OSError as error:
        print(f"cannot run {program[0]}: {error.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main())
