"""Finds a nats-server, or fetches one without root, and writes its configuration.

In order: PATH; what an earlier run put into a tools folder; Debian's package, unpacked there; `go install`.
Works with 2.9 (Debian) and 2.12 (production): the configuration uses only what both understand.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.fetch import Program, Say, attempts, candidates
from services.cli.output import CliError

OLDEST = (2, 9, 0)
PROGRAM = Program("nats-server", debian="nats-server", go="github.com/nats-io/nats-server/v2@v2.12.15")
MAX_PAYLOAD = (
    4 << 20
)  # bytes of one message; a batch of 100 ticks takes 1.5 KB, a wide feature row some 10 KB


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A program that runs here; `version` as it says itself."""

    path: Path
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"nats-server {'.'.join(map(str, self.version))}"


def find(tools: Path, search_path: str | None = None) -> NatsServer | None:
    """A usable server on PATH (or `search_path`), else in `tools`; None where there is none."""
    for candidate in candidates(PROGRAM, tools, search_path):
        server = _inspect(candidate)
        if server is not None and server.version >= OLDEST:
            return server
    return None


def find_or_fetch(tools: Path, environment: Mapping[str, str], say: Say) -> NatsServer:
    """As `find`; fetches into `tools` where there is none. Raises CliError NO_NATS_SERVER."""
    server = find(tools, environment.get("PATH"))
    if server is not None:
        return server
    tried = []
    for trouble in attempts(PROGRAM, tools, environment, say):
        server = find(tools, environment.get("PATH"))
        if server is not None:
            return server
        tried.append(trouble)
    raise CliError(
        "NO_NATS_SERVER",
        f"There is no nats-server on PATH and none could be fetched ({'; '.join(tried)}).",
        f"Install nats-server 2.9 or newer, or put the program at {tools / 'nats-server'}.",
    )


def write_config(path: Path, host: str, port: int, store: Path, users: Path | None = None) -> None:
    """The server's configuration file: one machine, JetStream in `store`, nothing else listening. `users`: a
    file with the block `authorization`; without it nobody is asked who they are.
    """
    known = () if users is None else (f'include "{_quoted(Path(os.path.relpath(users, path.parent)))}"',)
    path.write_text(
        "\n".join(
            (
                "# Written by `fxmesh up` at each start: changes here are lost.",
                'server_name: "fxmesh"',
                f'listen: "{host}:{port}"',
                f"max_payload: {MAX_PAYLOAD}",
                "jetstream {",
                f'  store_dir: "{_quoted(store)}"',
                "}",
                *known,
                "",
            )
        ),
        encoding="utf-8",
    )


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _inspect(path: Path) -> NatsServer | None:
    """What the program at `path` says of itself; None for one that does not run here."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    if match is None:
        return None
    major, minor, patch = (int(part) for part in match.groups())
    return NatsServer(path, (major, minor, patch))
