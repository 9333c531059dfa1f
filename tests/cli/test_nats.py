"""Finding a nats-server: order, refusals, and what is said when there is none."""

import subprocess
from pathlib import Path

import pytest

from services.cli import nats
from services.cli.output import CliError
from tests.kit.nats import find_program


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


def test_the_one_on_path_comes_first(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin" / "nats-server", "echo 'nats-server: v2.12.15'")
    program(tmp_path / "tools" / "nats-server", "echo 'nats-server: v2.9.10'")
    found = nats.find(tmp_path / "tools", str(tmp_path / "bin"))
    assert found == nats.NatsServer(on_path, (2, 12, 15))
    assert str(found) == "nats-server 2.12.15"


@pytest.mark.parametrize("says", ["echo 'nats-server: v2.8.4'", "exit 1", "echo hello"])
def test_one_that_is_too_old_or_does_not_run_is_passed_over(tmp_path: Path, says: str) -> None:
    program(tmp_path / "bin" / "nats-server", says)
    assert nats.find(tmp_path / "tools", str(tmp_path / "bin")) is None
    kept = program(tmp_path / "tools" / "nats-server", "echo 'nats-server: v2.9.10'")
    found = nats.find(tmp_path / "tools", str(tmp_path / "bin"))
    assert found == nats.NatsServer(kept, (2, 9, 10))


def test_without_any_way_to_get_one_it_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CliError) as none:
        nats.find_or_fetch(tmp_path / "tools", {"PATH": str(tmp_path)}, lambda _: None)
    assert none.value.reason == "NO_NATS_SERVER"
    assert "no apt-get and dpkg here; no go here" in none.value.message
    assert str(tmp_path / "tools" / "nats-server") in none.value.hint


def test_a_package_is_unpacked_into_the_tools(tmp_path: Path) -> None:
    """Stand-ins for apt-get and dpkg: the lists here cannot be read, with lists of our own it works."""
    programs = tmp_path / "bin"
    program(
        programs / "apt-get",
        'case "$*" in *update*) touch lists-of-our-own; exit 100;; esac\n'
        "test -e lists-of-our-own || { echo 'E: Unable to locate package' >&2; exit 100; }\n"
        "touch nats-server_2.9.10_amd64.deb",
    )
    unpacked = '"$3/usr/sbin/nats-server"'
    program(
        programs / "dpkg",
        'mkdir -p "$3/usr/sbin"\n'
        f"printf '#!/bin/sh\\necho nats-server: v2.9.10\\n' > {unpacked}\n"
        f"chmod +x {unpacked}",
    )
    said: list[str] = []
    path = f"{programs}:/usr/bin:/bin"
    found = nats.find_or_fetch(tmp_path / "tools", {"PATH": path}, said.append)
    assert found == nats.NatsServer(tmp_path / "tools" / "nats-server", (2, 9, 10))
    assert [each.name for each in (tmp_path / "tools").iterdir()] == ["nats-server"]
    assert said == ["fetching nats-server from Debian's package (once)"]


def test_each_way_that_failed_is_named_with_its_reason(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    for name in ("apt-get", "dpkg"):
        program(programs / name, "echo 'E: Unable to locate package nats-server' >&2; exit 100")
    program(programs / "go", "echo 'go: no network' >&2; exit 1")
    with pytest.raises(
        CliError, match=r"apt-get: E: Unable to locate package nats-server; go install: go: no network"
    ):
        nats.find_or_fetch(tmp_path / "tools", {"PATH": f"{programs}:/usr/bin:/bin"}, lambda _: None)
    assert list((tmp_path / "tools").iterdir()) == []


@pytest.mark.integration
def test_a_real_server_accepts_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    nats.write_config(config, "127.0.0.1", 4222, tmp_path / 'a folder with "quotes"')
    done = subprocess.run([find_program(), "-t", "-c", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
