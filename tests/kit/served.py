"""Starts the served platform (`tests/kit/served_platform.py`): all seven services in one other process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """Where it answers, and where its log is."""

    address: str
    process: subprocess.Popen[str]
    log: Path


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Runs for the length of a block, with its data and log in `folder`; fails when it did not end well."""
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.kit.served_platform", folder],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            pytest.fail(f"the platform did not start:\n{log.read_text()}", pytrace=False)
        yield Served(f"127.0.0.1:{port}", process, log)
        process.communicate()
        assert process.returncode == 0, log.read_text()
