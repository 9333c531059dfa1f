"""A home of the test's own, and the command run over it as a real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.home import Home
from tests.kit.command import Fxmesh


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def fxmesh(home: Home, tmp_path: Path) -> Iterator[Fxmesh]:
    command = Fxmesh(home, tmp_path)
    yield command
    command.close()
