"""A real Jaeger on free loopback ports, with its traces in memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.kit.ports import free_port

PROGRAM = "jaeger-all-in-one"
_TOOLS = Path(__file__).parents[2] / ".tools"
_START_LIMIT_S = 30.0
# What it would listen on besides; each needs a port of its own.
_OTHERS = (
    "admin.http",
    "collector.grpc-server",
    "collector.http-server",
    "collector.otlp.http",
    "query.grpc-server",
)


def find() -> str | None:
    """The program: on PATH, or built by `make jaeger`."""
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(_TOOLS))


class Jaeger:
    """One process, from construction to `stop`."""

    def __init__(self, program: str, log: Path) -> None:
        otlp, query, *others = (free_port() for _ in range(2 + len(_OTHERS)))
        self.endpoint = f"127.0.0.1:{otlp}"
        self._query = f"http://127.0.0.1:{query}/api"
        options = {"collector.otlp.grpc": otlp, "query.http-server": query} | dict(
            zip(_OTHERS, others, strict=True)
        )
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [program, *(f"--{name}.host-port=127.0.0.1:{port}" for name, port in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | {"SPAN_STORAGE_TYPE": "memory"},
            )
        until = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"Jaeger did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of its query API."""
        url = f"{self._query}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            self.get("services")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True
