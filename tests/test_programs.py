"""Programs that tests drive: from PATH first; where one cannot be had, a sentence says why and what to do."""

from pathlib import Path

import pytest

from tools import programs


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "TOOLS", tmp_path / "tools")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("grpcurl", r"^there is no grpcurl here \(no go here\): install Go, or grpcurl 1.9 or newer"),
        ("promtool", r"^there is no promtool here \(no apt-get and dpkg here\): put promtool, which every"),
    ],
)
def test_one_that_cannot_be_had_is_explained(name: str, sentence: str) -> None:
    with pytest.raises(programs.MissingError, match=sentence):
        programs.program(name)


def test_the_one_on_path_is_taken(tmp_path: Path) -> None:
    found = tmp_path / "bin" / "grpcurl"
    found.parent.mkdir()
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    assert programs.program("grpcurl") == found
