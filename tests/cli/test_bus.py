"""As whom a command connects to NATS: the operator's password goes to the platform's own server only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli import nats_users
from services.cli.bus import access
from services.cli.home import Home
from services.cli.output import CliError
from services.cli.supervisor import lock, state
from services.cli.supervisor.state import Phase, RunState
from services.runtime.policy import service_policies

OWN, STRANGE = "nats://127.0.0.1:4222", "nats://elsewhere:4222"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Of a platform that runs."""
    home = Home.at(tmp_path)
    home.run.mkdir(parents=True)
    state.save(home, RunState(Phase.READY, str(home.root), "127.0.0.1", OWN, 1, 0.0))
    nats_users.issue(home, service_policies())
    held = lock.acquire(home)
    assert held is not None
    yield home
    os.close(held)


@pytest.mark.parametrize("asked", ["", OWN])
def test_a_command_is_the_operator_at_its_own_platform(home: Home, asked: str) -> None:
    url, options = access(home, asked)
    assert (url, options["user"]) == (OWN, "operator")
    assert options["password"] == (home.nats_secrets / "operator.password").read_text()


def test_a_server_elsewhere_does_not_get_the_password(home: Home) -> None:
    assert access(home, STRANGE) == (STRANGE, {})


def test_the_password_of_a_platform_that_is_down_goes_nowhere(home: Home, tmp_path: Path) -> None:
    down = Home.at(tmp_path / "down")
    down.run.mkdir(parents=True)
    state.save(down, state.load(home))
    nats_users.issue(down, service_policies())
    assert access(down, OWN) == (OWN, {})


def test_without_a_platform_only_an_address_helps(tmp_path: Path) -> None:
    assert access(Home.at(tmp_path), STRANGE) == (STRANGE, {})
    with pytest.raises(CliError, match="No platform runs"):
        access(Home.at(tmp_path), "")
