"""The component for mTLS: what each pod shows and whom it trusts, and that nothing else changes."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.cli.edge import find
from services.cli.supervisor.certificates import Issued
from services.runtime.policy import service_policies
from services.runtime.settings import RuntimeSettings
from services.runtime.tls import certificates
from tests.k8s.manifests import Json, Manifests, containers
from tests.kit import certificates as kit
from tests.kit.events import quiet_log
from tests.kit.live import eventually
from tests.kit.ports import free_port
from tools.manifests import CONTRACTS, EDGE_FOLDER, K8S
from tools.tls_manifests import FOLDER

SERVICES = service_policies()
FILES = ("FXMESH_TLS_CERT_FILE", "FXMESH_TLS_KEY_FILE", "FXMESH_TLS_CA_FILE")
Secured = tuple[Manifests, Manifests]


def processes(manifests: Manifests) -> dict[str, tuple[Json, Json]]:
    """Pod and container of each process that speaks gRPC, by folder name."""
    found = {}
    for service in SERVICES:
        workload = manifests.workloads[service.dns_name]
        found[service.name] = workload["spec"]["template"]["spec"], containers(workload)[0]
    edge = manifests.workloads["edge"]
    for name, process in (("envoy", "edge"), ("gate", "edge_gate")):
        (one,) = (each for each in containers(edge) if each["name"] == name)
        found[process] = edge["spec"]["template"]["spec"], one
    return found


def mounted(pod: Json, container: Json) -> str:
    """Name of the Secret that a container sees in the folder of its certificate."""
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == FOLDER)
    (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
    assert mount["readOnly"] is True
    assert volume["secret"]["defaultMode"] == 0o440  # the pod's group reads it, and nobody else
    return str(volume["secret"]["secretName"])


def ordered() -> dict[str, Json]:
    """What cert-manager is asked for, by the name of the Secret."""
    documents = yaml.safe_load_all((K8S / "cert-manager.yaml").read_text())
    return {each["spec"]["secretName"]: each["spec"] for each in documents if each["kind"] == "Certificate"}


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_only_certificates_and_their_use_are_added(secured: Secured, version: str) -> None:
    plain, with_tls = secured
    assert [each["kind"] for each in with_tls.documents] == [each["kind"] for each in plain.documents]
    assert {name for name, _ in with_tls.settings.items() - plain.settings.items()} == set(FILES)
    assert with_tls.reached() == plain.reached()
    for document in with_tls.documents:
        assert kubernetes_validate.validate(document, version, strict=True) == version


def test_each_process_shows_a_certificate_of_its_own(secured: Secured) -> None:
    plain, with_tls = secured
    shown = {name: mounted(*each) for name, each in processes(with_tls).items()}
    assert shown == {name: f"tls-{name.replace('_', '-')}" for name in shown}
    for _, container in processes(plain).values():
        assert all(each["mountPath"] != FOLDER for each in container["volumeMounts"])


def test_what_is_ordered_for_a_process_has_the_names_that_its_peers_check(
    secured: Secured, tmp_path: Path
) -> None:
    """Those of the certificates that `fxmesh up --tls` makes, with which all else is tested."""
    signer, orders = kit.authority(), ordered()
    for process, place in processes(secured[1]).items():
        spec = orders[mounted(*place)]
        assert (*spec["dnsNames"], *spec["uris"]) == kit.written(
            tmp_path / process, process, signer
        ).read().names
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["privateKey"]["rotationPolicy"] == "Always"


def test_probes_need_no_certificate(secured: Secured) -> None:
    """The port that tells health is plaintext whatever the settings say, and the edge's own door is, too."""
    plain, with_tls = secured
    for name, (_, container) in processes(with_tls).items():
        before = processes(plain)[name][1]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container.get(probe) == before.get(probe)
    assert with_tls.settings["FXMESH_HEALTH_PORT"] == plain.settings["FXMESH_HEALTH_PORT"]


def secret(folder: Path, process: str, signer: Issued) -> None:
    """As a kubelet lays a Secret out: links through `..data`, which is what changes when it is renewed."""
    written = kit.written(folder / f"..{uuid.uuid4().hex}", process, signer)
    written.cert.rename(written.cert.with_name("tls.crt"))
    written.key.rename(written.key.with_name("tls.key"))
    written.authorities.rename(written.authorities.with_name("ca.crt"))
    link = folder / "..data.new"
    link.symlink_to(written.cert.parent.name)
    link.replace(folder / "..data")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))


def test_a_service_takes_what_is_mounted_and_what_it_is_renewed_to(secured: Secured, tmp_path: Path) -> None:
    signer = kit.authority()
    secret(tmp_path, "trading_gateway", signer)
    here = {
        name.removeprefix("FXMESH_").lower(): secured[1].settings[name].replace(FOLDER, str(tmp_path))
        for name in FILES
    }
    taken = certificates(RuntimeSettings(**here), quiet_log(), CollectorRegistry())  # type: ignore[arg-type]
    assert taken is not None
    assert taken.pem.names == ("trading-gateway", "spiffe://fxmesh/trading_gateway")
    before = taken.pem.chain
    assert not taken.look()
    secret(tmp_path, "trading_gateway", signer)
    assert taken.look()
    assert taken.pem.chain != before


def envoy(secured: Secured, folder: Path) -> Path:
    """Its configuration as its pod has it, with this folder for those of the pod and ports that are free."""
    (folder / CONTRACTS).write_bytes((K8S / "base" / "edge" / CONTRACTS).read_bytes())
    for name, content in secured[1].get("ConfigMap", "edge-config")["data"].items():
        (folder / name).write_text(content.replace(FOLDER, str(folder)).replace(EDGE_FOLDER, str(folder)))
    path = folder / "envoy.yaml"
    config = yaml.safe_load(path.read_text())
    (listener,) = config["static_resources"]["listeners"]
    for where in (listener, config["admin"]):
        where["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": free_port()}
    path.write_text(json.dumps(config))
    return path


def test_envoy_speaks_mtls_with_all_but_the_gate_in_its_own_pod(secured: Secured, tmp_path: Path) -> None:
    """That one's HTTP, that is; its gRPC is as that of services."""
    config = json.loads(envoy(secured, tmp_path).read_text())
    for cluster in config["static_resources"]["clusters"]:
        socket = json.dumps(cluster.get("transport_socket", {}))
        process = {"built_in": "edge_gate"}.get(cluster["name"], cluster["name"].removesuffix("_priority"))
        assert (f"spiffe://fxmesh/{process}" in socket) is (process != "gate")


async def test_envoy_takes_over_what_its_secret_is_renewed_to(secured: Secured, tmp_path: Path) -> None:
    signer = kit.authority()
    secret(tmp_path, "edge", signer)
    path = envoy(secured, tmp_path)
    admin = json.loads(path.read_text())["admin"]["address"]["socket_address"]["port_value"]

    async def serials() -> set[str]:
        """Of the certificates that it shows to services."""
        try:
            shown = json.loads(await asyncio.to_thread(_get, f"http://127.0.0.1:{admin}/certs"))
        except OSError:
            return set()
        return {each["serial_number"] for one in shown["certificates"] for each in one.get("cert_chain", ())}

    running = await asyncio.create_subprocess_exec(
        find(), "--config-path", path, "--disable-hot-restart", "--log-level", "error"
    )
    try:
        before = await eventually(serials)
        assert len(before) == 1
        secret(tmp_path, "edge", signer)

        async def renewed() -> bool:
            return bool(await serials()) and not before & await serials()

        await eventually(renewed)
    finally:
        running.terminate()
        await running.wait()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
