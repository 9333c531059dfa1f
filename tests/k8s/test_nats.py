"""NATS as the overlays start it: it takes its configuration, and lets each pod in as its own user only."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.bus import Link
from services.runtime.bus.credentials import Credentials
from services.runtime.bus.permissions import EDGE
from services.runtime.fatal import FatalError
from services.runtime.policy import service_policies
from tests.k8s.manifests import Json, Manifests, container, containers
from tests.kit.events import quiet_log
from tests.kit.nats import find_program
from tests.kit.ports import free_port

SERVICES = {each.name: each for each in service_policies()}
pytestmark = pytest.mark.integration


def secret_of(pod: Json, one: Json, path: str) -> str:
    """The Secret whose key lies at `path` in a container."""
    (mount,) = (each for each in one["volumeMounts"] if each["mountPath"] == path.rpartition("/")[0])
    (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
    assert mount["readOnly"] is True
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    return str(volume["secret"]["secretName"])


def told(built: Manifests) -> dict[str, str]:
    """The Secret each process reads its password from, by the user it connects as."""
    found: dict[str, str] = {}
    path = built.settings["FXMESH_NATS_PASSWORD_FILE"]
    for service in SERVICES.values():
        workload = built.workloads[service.dns_name]
        env = {each["name"]: each.get("value") for each in container(workload)["env"]}
        assert env["FXMESH_NATS_USER"] == service.name
        found[service.name] = secret_of(workload["spec"]["template"]["spec"], container(workload), path)
    edge = built.workloads["edge"]
    gate = next(each for each in containers(edge) if each["name"] == "gate")
    assert built.get("ConfigMap", "gate-settings")["data"]["FXMESH_NATS_USER"] == EDGE
    return found | {EDGE: secret_of(edge["spec"]["template"]["spec"], gate, path)}


def passwords(built: Manifests) -> dict[str, str]:
    """The Secret of each variable that NATS is started with."""
    return {
        each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
        for each in container(built.workloads["nats"])["env"]
        if each["name"].startswith("NATS_PASSWORD_")
    }


class Here:
    """NATS of an overlay on this machine: other ports, another folder, chance for Secrets."""

    def __init__(self, built: Manifests, folder: Path) -> None:
        self.port = free_port()
        # As the script makes them, and one that would be a number without its letter.
        self.secrets = {name: f"p{secrets.randbelow(10**12)}e9" for name in passwords(built).values()}
        self.environment = {name: self.secrets[each] for name, each in passwords(built).items()}
        self.environment |= {"POD_NAME": "nats-0", "PATH": os.environ["PATH"]}
        self.config = folder / "nats.conf"
        for name, text in built.get("ConfigMap", "nats-config")["data"].items():
            for there, mine in (
                ('"/data"', f'"{folder / "data"}"'),
                ("/tmp/nats.pid", str(folder / "pid")),
                ("0.0.0.0:4222", f"127.0.0.1:{self.port}"),
                ("0.0.0.0:8222", "127.0.0.1:-1"),
                ("sync_interval: always", ""),  # 2.9, with which the tests may run, does not know it
            ):
                text = text.replace(there, mine)  # noqa: PLW2901
            (folder / name).write_text(text)

    def run(self, *options: str) -> subprocess.Popen[str]:
        command = [str(find_program()), "-c", str(self.config), *options]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    async def connects(self, user: str, secret: str) -> bool:
        password = self.config.with_name(secret)
        password.write_text(self.secrets[secret])
        link = Link(f"nats://127.0.0.1:{self.port}", user, quiet_log(), Credentials(user, password))
        link.open()
        try:
            await link.session(timeout_s=20)
        except FatalError:
            return False
        finally:
            await link.close()
        return True


@pytest.fixture
def here(built: Manifests, tmp_path: Path) -> Iterator[Here]:
    """The overlay's server, running alone: one of three would wait for the others."""
    here = Here(built, tmp_path)
    here.config.write_text(
        re.sub(r"^cluster \{.*?^\}$", "", here.config.read_text(), flags=re.MULTILINE | re.DOTALL)
    )
    server = here.run()
    until = time.monotonic() + 20
    while not _listens(here.port):
        assert server.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    yield here
    server.kill()
    server.communicate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_server_takes_its_configuration(built: Manifests, tmp_path: Path) -> None:
    checked = Here(built, tmp_path).run("-t")
    said, _ = checked.communicate(timeout=60)
    assert checked.returncode == 0, said


async def test_each_process_is_let_in_by_its_own_secret_and_by_no_other(built: Manifests, here: Here) -> None:
    mine = told(built)
    assert set(mine) == {*SERVICES, EDGE}
    assert len(set(mine.values())) == len(mine)
    for user, secret in mine.items():
        assert await here.connects(user, secret)
        assert not await here.connects(user, next(each for each in mine.values() if each != secret))


def test_the_script_makes_every_secret_that_a_pod_wants(built: Manifests, repository: Path) -> None:
    path = repository / "k8s" / "make-secrets.sh"
    script = path.read_text()
    wanted = {*told(built).values(), *passwords(built).values()}
    assert wanted == set(re.findall(r"nats-user-[a-z-]+", script))
    assert os.access(path, os.X_OK)
    assert subprocess.run(["/bin/sh", "-n", path], check=False).returncode == 0
