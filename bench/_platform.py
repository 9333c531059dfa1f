"""A platform of its own for a benchmark: `fxmesh up` in a temporary folder, `fxmesh down` at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from services.cli.home import Home
from services.cli.supervisor import state

FXMESH = [sys.executable, "-m", "services.cli"]
SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
ATTEMPTS = 3
"""A free port may be taken between the choice and the bind."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running platform. `ready_s`: from the call of `fxmesh up` to its return."""

    home: Path
    ready_s: float

    def channel(self, service: str) -> grpc.Channel:
        """A plain channel to a service by folder name, with the operator's token."""
        home = Home.at(self.home)
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(),
            grpc.access_token_call_credentials(home.token("operator").read_text()),
        )
        return grpc.secure_channel(state.load(home).grpc_addresses(service)[0], credentials)

    def ask(self, *arguments: str) -> Any:
        """The data of `fxmesh ARGUMENTS --json`; raises RuntimeError with what it said when it fails."""
        return _json(self.home, *arguments)


def _json(home: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [*FXMESH, *arguments, "--json"],
        env=os.environ | {"FXMESH_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"fxmesh {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
    return json.loads(done.stdout)["data"]


def start(home: Path, *options: str) -> Running:
    """`fxmesh up --detach`, timed."""
    for attempt in range(ATTEMPTS):
        began = time.monotonic()
        try:
            _json(home, "up", "--detach", "--port-offset", "auto", *options)
        except RuntimeError as failure:
            if "in use" not in str(failure) or attempt == ATTEMPTS - 1:
                raise
        else:
            return Running(home, time.monotonic() - began)
    raise AssertionError("the loop returns or raises")


@contextmanager
def platform(*options: str) -> Iterator[Running]:
    """A platform with new, empty data."""
    with tempfile.TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        running = start(Path(folder), *options)
        try:
            yield running
        finally:
            _json(running.home, "down")
