"""One OS process of the platform: launched so that it cannot become an orphan, ended gently and then not.

A child leads a process group of its own (so a Ctrl-C in the terminal reaches the supervisor alone, and what
it starts itself ends with it), gets SIGTERM from the kernel when the supervisor dies (launch.py) and SIGKILL
from the guard when that was not enough (guard.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from services.cli.supervisor import guard as guard_program
from services.cli.supervisor import launch as launch_program
from services.cli.supervisor.plan import ProcessSpec

# Isolated and without site: 10 ms and nothing of the environment in the way.
_BARE_PYTHON = (sys.executable, "-I", "-S")


class Groups(Protocol):
    """Who must know the process groups that are alive: the guard, or in a test nobody."""

    def add(self, group: int) -> None: ...

    def drop(self, group: int) -> None: ...


class Guard:
    """The supervisor's end of guard.py: start it before the first child, close it after the last."""

    def __init__(self, grace_s: float, lock: int | None = None) -> None:
        """`lock` is the open lock file to share, so that the home stays locked while anything is left."""
        reading, writing = os.pipe()
        self._pipe = os.fdopen(writing, "w")
        self._process = subprocess.Popen(
            (*_BARE_PYTHON, guard_program.__file__, str(grace_s)),
            stdin=reading,
            stdout=subprocess.DEVNULL,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
        )
        os.close(reading)

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, group: int) -> None:
        self._tell(f"add {group}\n")

    def drop(self, group: int) -> None:
        self._tell(f"drop {group}\n")

    def close(self) -> None:
        """Ends the guard; whatever is still listed gets its grace first, so this may wait as long."""
        with suppress(BrokenPipeError):
            self._pipe.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        # A guard that somebody killed is no reason to stop: the kernel's signal is still in place.
        with suppress(BrokenPipeError):
            self._pipe.write(line)
            self._pipe.flush()


class Child:
    """A process that was launched; `exit_code` as subprocess has it (negative: killed by that signal)."""

    def __init__(self, process: asyncio.subprocess.Process, groups: Groups) -> None:
        self._process = process
        self._groups = groups
        self.pid = process.pid
        groups.add(self.pid)

    async def wait(self) -> int:
        """Until it has ended. What it left behind in its group is ended too."""
        code = await self._process.wait()
        self.kill()
        self._groups.drop(self.pid)
        return code

    def terminate(self) -> None:
        """Ask it to drain and end; what it started itself is its own to end."""
        if self._process.returncode is not None:
            return
        # Not Process.send_signal: it polls first, and so may take the exit code from whoever waits for it.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            os.kill(self.pid, signal.SIGCONT)  # one that was stopped would never hear the first

    def kill(self) -> None:
        """End it and whatever else is in its group, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


async def launch(spec: ProcessSpec, log: Path, groups: Groups, environment: dict[str, str]) -> Child:
    """Start it, its output appended to `log`. Raises OSError (log or data folder not writable)."""
    spec.data.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *_BARE_PYTHON,
            launch_program.__file__,
            str(os.getpid()),
            *spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env={**environment, **spec.env},
            cwd=spec.data,
            process_group=0,
        )
    return Child(process, groups)


def describe_exit(code: int) -> str:
    """`exit code 1`, or `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
