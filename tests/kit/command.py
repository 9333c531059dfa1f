"""The `fxmesh` command over stand-ins, run as a real process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from services.cli.home import Home
from services.cli.supervisor import lock, state
from tests.kit import fxmesh_of_stand_ins

ROOT = Path(__file__).parents[2]
LIMIT_S = 60


class Fxmesh:
    """`fxmesh ... --home <home>` over a platform of stand-ins that behave as told."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self._plan = folder / "plan.json"
        self._started: list[subprocess.Popen[str]] = []
        self.behave(trading="serves", analysis="serves")

    def behave(self, ports: dict[str, int] | None = None, drain_s: float = 10.0, **behaviours: str) -> None:
        told = {"behaviours": behaviours, "ports": ports or {}, "drain_s": drain_s}
        self._plan.write_text(json.dumps(told))

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start the command; its end is the test's business, or the fixture's."""
        process = subprocess.Popen(
            [sys.executable, fxmesh_of_stand_ins.__file__, self._plan, *arguments],
            env={**os.environ, "FXMESH_HOME": str(self.home.root), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command to its end: exit code, standard output, standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run it with --json: exit code and the document."""
        code, out, err = self.run(*arguments, "--json")
        assert err == ""
        return code, json.loads(out)

    def pids(self) -> dict[str, int]:
        """Process ids by name, as the state file has them."""
        known = state.read(self.home)
        return {} if known is None else {each.name: each.pid for each in known.processes if each.pid}

    def close(self) -> None:
        known = state.read(self.home)
        if known is not None and lock.held(self.home):
            os.kill(known.supervisor_pid, signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What a command printed up to a line with `text`; fails with all of it when it ends first."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"never said {text!r}, but:\n{seen}\n{process.communicate()[1]}")
