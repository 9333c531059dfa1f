"""A process of the benchmark: it answers on standard output, and ends when its standard input does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import IO

import psutil

LIMIT_S = 20.0


class Child:
    """One that runs. `process` tells how much of the processor it takes."""

    def __init__(self, name: str, asked: IO[str], answers: IO[str], process: psutil.Process) -> None:
        self.process = process
        self._name = name
        self._asked = asked
        self._answers = answers

    def tell(self, line: str) -> None:
        """Send it a line."""
        self._asked.write(f"{line}\n")
        self._asked.flush()

    def answer(self) -> str:
        """Its next line. Raises RuntimeError when it has ended instead."""
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"{self._name} has failed: its message is above")
        return line


@contextmanager
def child(*argv: str) -> Iterator[Child]:
    """`python` with these arguments, until the block ends."""
    with Popen([sys.executable, *argv], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            name = " ".join(argv[:3])
            yield Child(name, process.stdin, process.stdout, psutil.Process(process.pid))
        finally:
            process.stdin.close()
            process.wait(LIMIT_S)
