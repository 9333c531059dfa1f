"""The command over all seven real services, which run in one other process for the whole session."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cli.main import main
from tests.kit.served import ROOT, served


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]

    @property
    def error(self) -> Any:
        return json.loads(self.out)["error"]


Fxmesh = Callable[..., Done]
Watch = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def platform_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("platform")) as platform:
        yield platform.address


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Fxmesh:
    """`fxmesh <arguments>` in this process, with a home where nothing runs."""
    monkeypatch.setenv("FXMESH_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["fxmesh", *map(str, arguments)])
        capsys.readouterr()  # what a fixture said, of fetching a server for the first time, is none of it
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run


@pytest.fixture
def fxmesh(typed: Fxmesh, monkeypatch: pytest.MonkeyPatch, platform_address: str) -> Fxmesh:
    """The same with every service of the platform in reach."""
    monkeypatch.setenv("FXMESH_ADDRESS", f"all={platform_address}")
    return typed


@pytest.fixture
def watched(platform_address: str) -> Watch:
    """`fxmesh <arguments> --watch --json` in a process of its own, over the same services."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments, "--watch", "--json"],
            cwd=ROOT,
            env={**os.environ, "FXMESH_ADDRESS": f"all={platform_address}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
