"""Programs that are no Python package: out of Debian's package, or built by Go, into a folder of ours.

Needs no root. Who wants a program says by `Program` where it comes from, and looks for it after each attempt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FETCH_LIMIT_S = 600.0  # a download and a build on a slow line

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A program by file name, and its sources: a Debian package, a Go package at a version; empty: none."""

    name: str
    debian: str = ""
    go: str = ""


def candidates(program: Program, tools: Path, search_path: str | None = None) -> Iterator[Path]:
    """Where it lies: on PATH (or `search_path`), then in `tools`."""
    for found in (shutil.which(program.name, path=search_path), tools / program.name):
        if found is not None and Path(found).is_file():
            yield Path(found)


def attempts(program: Program, tools: Path, environment: Mapping[str, str], say: Say) -> Iterator[str]:
    """Put it into `tools` by one source after the other; after each, why that failed, or nothing."""
    tools.mkdir(parents=True, exist_ok=True)
    if program.debian:
        yield _from_debian(program, tools, environment, say)
    if program.go:
        yield _from_go(program, tools, environment, say)


def _from_debian(program: Program, tools: Path, environment: Mapping[str, str], say: Say) -> str:
    if not all(shutil.which(each, path=environment.get("PATH")) for each in ("apt-get", "dpkg")):
        return "no apt-get and dpkg here"
    package = program.debian
    say(f"fetching {program.name} from Debian's package (once)")
    with tempfile.TemporaryDirectory(prefix="debian-", dir=tools) as folder:
        work = Path(folder)
        # The machine's package lists where they can be read; else lists of our own.
        trouble = _run(["apt-get", "download", package], work, environment)
        if trouble:
            for part in ("lists/partial", "cache/archives/partial"):
                (work / part).mkdir(parents=True)
            own = ["-o", f"Dir::State::lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}"]
            # Its exit code says little: hooks of the machine may fail without root. The download decides.
            _run(["apt-get", *own, "update"], work, environment)
            trouble = _run(["apt-get", *own, "download", package], work, environment)
        packages = sorted(work.glob(f"{package}_*.deb"))
        if trouble or not packages:
            return f"apt-get: {trouble or 'no package came'}"
        trouble = _run(["dpkg", "-x", str(packages[-1]), str(work / "unpacked")], work, environment)
        unpacked = work / "unpacked"
        found = (*unpacked.glob(f"usr/*bin/{program.name}"), *unpacked.glob(f"usr/lib/**/{program.name}"))
        return trouble or _take(next(iter(found), None), tools, program)


def _from_go(program: Program, tools: Path, environment: Mapping[str, str], say: Say) -> str:
    if shutil.which("go", path=environment.get("PATH")) is None:
        return "no go here"
    say(f"building {program.name} with go install {program.go} (once, a minute or more)")
    with tempfile.TemporaryDirectory(prefix="go-", dir=tools) as folder:
        work = Path(folder)
        # Folders of our own, but for a cache that is named: HOME may be empty, and -modcacherw lets them be
        # deleted again.
        settings = {
            "GOPATH": str(work / "path"),
            "GOBIN": str(work / "bin"),
            "GOCACHE": environment.get("GOCACHE") or str(work / "cache"),
            "GOFLAGS": "-modcacherw",
            "CGO_ENABLED": "0",
        }
        trouble = _run(["go", "install", program.go], work, {**environment, **settings})
        return f"go install: {trouble}" if trouble else _take(work / "bin" / program.name, tools, program)


def _take(found: Path | None, tools: Path, program: Program) -> str:
    """Move a fetched program to its place in one step, so that a second start sees all of it or nothing."""
    if found is None or not found.exists():
        return f"the package holds no {program.name}"
    draft = tools / f"{program.name}.{os.getpid()}"
    shutil.copy(found, draft)
    draft.chmod(0o755)
    draft.replace(tools / program.name)
    return ""


def _run(command: Sequence[str], work: Path, environment: Mapping[str, str]) -> str:
    """Run it in `work`; empty when it worked, else the last line it wrote on standard error."""
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {_FETCH_LIMIT_S:.0f} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
