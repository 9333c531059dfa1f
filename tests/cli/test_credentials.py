"""What a command shows to whom: the operator's token stays on this machine, a key goes where it is sent."""

from pathlib import Path

import pytest

from services.cli.config import inherited_environment
from services.cli.credentials import bearer
from services.cli.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FXMESH_KEY", raising=False)
    made = Home.at(tmp_path)
    made.token("operator").parent.mkdir(parents=True)
    made.token("operator").write_text("the token\n")
    return made


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_the_token_is_shown_to_this_machine(home: Home, address: str) -> None:
    assert bearer(home, address) == "the token"


@pytest.mark.parametrize("address", ["10.0.0.1:1", "example.com:1", "localhost.evil:1", "127.0.0.1.evil:1"])
def test_and_to_no_other(home: Home, address: str) -> None:
    assert bearer(home, address) == ""


def test_a_key_goes_before_it_and_anywhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_KEY", " fxm_a_b ")
    assert bearer(home, "127.0.0.1:1") == bearer(home, "example.com:1") == "fxm_a_b"
    assert "FXMESH_KEY" not in inherited_environment()


def test_without_a_token_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FXMESH_KEY", raising=False)
    assert bearer(Home.at(tmp_path), "127.0.0.1:1") == ""
