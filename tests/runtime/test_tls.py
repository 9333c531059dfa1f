"""mTLS on real sockets: who is let in, who is refused, and changes of keys under load that nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.cli.supervisor.authority import Authority, Lifetimes
from services.errors import FxError, Kind
from services.runtime.certificates import Certificates
from services.runtime.channels import OPTIONS, open_channel, static_channels
from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.probes import ProbePort
from services.runtime.serve import MeshServer
from services.runtime.settings import RuntimeSettings
from services.runtime.tls import certificate_names, certificates
from services.runtime.tls_files import TlsFiles
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer
from tests.kit.certificates import authority, shown, written
from tests.kit.events import quiet_log
from tests.kit.nats import until

HOUR = timedelta(hours=1)


class Naming(EchoServicer):
    """Also notes what the callers' certificates call them."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: set[tuple[str, ...]] = set()

    async def Unary(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.callers.add(certificate_names(context.auth_context()))
        return await super().Unary(request, context)


@asynccontextmanager
async def served(tls: Certificates | None, servicer: EchoServicer | None = None) -> AsyncIterator[str]:
    server = MeshServer(
        "127.0.0.1", 0, server_concerns(CountedIds("server"), CollectorRegistry()), Health(), tls
    )
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer or EchoServicer())
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.close()


@asynccontextmanager
async def called(address: str, tls: Certificates | None) -> AsyncIterator[Any]:
    concerns = client_concerns(CountedIds("client"), CollectorRegistry())
    channels = static_channels({SERVICE: address}, concerns, tls)
    try:
        yield service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
    finally:
        await channels.close()


async def refused(address: str, tls: Certificates | None, said: str = "cannot be reached") -> None:
    async with called(address, tls) as stub:
        with pytest.raises(FxError) as error:
            await stub.Unary(service_pb2.EchoRequest(text="hi"))
    assert (error.value.kind, error.value.reason) == (Kind.UNAVAILABLE, "PEER_UNAVAILABLE")
    assert said in error.value.detail


async def test_a_caller_with_a_certificate_is_let_in_and_known_by_its_names(tmp_path: Path) -> None:
    trusted, servicer = authority(), Naming()
    server = shown(written(tmp_path / "server", "echo", trusted))
    async with served(server, servicer) as address:
        caller = shown(written(tmp_path / "caller", "trading_gateway", trusted))
        async with called(address, caller) as stub:
            assert (await stub.Unary(service_pb2.EchoRequest(text="hi"))).text
    assert servicer.callers == {("trading-gateway", "spiffe://fxmesh/trading_gateway")}


async def test_one_instance_of_a_service_must_show_that_services_name_too(tmp_path: Path) -> None:
    trusted = authority()
    caller = shown(written(tmp_path / "caller", "trading_gateway", trusted))
    concerns = client_concerns(CountedIds("client"), CollectorRegistry())
    for name, lets_in in (("echo", True), ("market_data", False)):
        async with served(shown(written(tmp_path / name, name, trusted))) as address:
            channels = static_channels({}, concerns, caller)
            stub: Any = service_pb2_grpc.EchoServiceStub(channels.at(SERVICE, address))
            if lets_in:
                assert (await stub.Unary(service_pb2.EchoRequest(text="hi"))).text
            else:
                with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
                    await stub.Unary(service_pb2.EchoRequest(text="hi"))
            await channels.close()


async def test_without_tls_a_caller_has_no_names() -> None:
    servicer = Naming()
    async with served(None, servicer) as address, called(address, None) as stub:
        await stub.Unary(service_pb2.EchoRequest(text="hi"))
    assert servicer.callers == {()}


@pytest.mark.parametrize(
    "case", ["plaintext", "no certificate", "expired", "of another authority", "server of another name"]
)
async def test_who_shows_the_wrong_thing_or_nothing_is_refused(tmp_path: Path, case: str) -> None:
    trusted, other = authority(), authority()
    name = "market_data" if case == "server of another name" else "echo"
    server = shown(written(tmp_path / "server", name, trusted))
    servicer = EchoServicer()
    async with served(server, servicer) as address:
        if case == "no certificate":
            await nobody(address, server.pem.authorities)
        elif case == "plaintext":
            await refused(address, None)
        elif case == "expired":
            await refused(address, shown(written(tmp_path / "old", "workbench", trusted, ago=2 * HOUR)))
        elif case == "of another authority":
            await refused(address, shown(written(tmp_path / "other", "workbench", other, other, trusted)))
        else:
            caller = shown(written(tmp_path / "caller", "workbench", trusted))
            await refused(address, caller, "its certificate, or ours, is not accepted")


async def nobody(address: str, authorities: bytes) -> None:
    """A caller that trusts the server and shows nothing."""
    credentials = grpc.ssl_channel_credentials(authorities)
    options = (*OPTIONS, ("grpc.ssl_target_name_override", "echo"))
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        stub: Any = service_pb2_grpc.EchoServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Unary(service_pb2.EchoRequest(text="hi"), timeout=10)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("expired", [True, False], ids=["expired", "of another authority"])
async def test_a_caller_refuses_a_server_that_shows_the_wrong_certificate(
    tmp_path: Path, expired: bool
) -> None:
    trusted, other = authority(), authority()
    if expired:
        server = shown(written(tmp_path / "server", "echo", trusted, ago=2 * HOUR))
    else:
        server = shown(written(tmp_path / "server", "echo", other, other, trusted))
    async with served(server) as address:
        caller = shown(written(tmp_path / "caller", "workbench", trusted))
        await refused(address, caller, "its certificate, or ours, is not accepted")


async def test_probes_need_no_certificate(tmp_path: Path) -> None:
    health = Health()
    async with served(shown(written(tmp_path, "echo", authority()))):
        probes = ProbePort("127.0.0.1", 0, health)
        await probes.start(SERVICE)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{probes.port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service="liveness")
            assert (await stub.Check(asked, timeout=10)).status == health_pb2.HealthCheckResponse.SERVING
        await probes.close()


async def test_keys_of_processes_and_of_the_authority_change_under_load_without_a_failed_call(
    tmp_path: Path,
) -> None:
    kept = Authority(tmp_path, ("echo", "workbench"), Lifetimes(settle=timedelta(seconds=3)))
    kept.keep()
    first = (tmp_path / "ca.pem").read_bytes()
    server, caller = (shown(files(tmp_path, name)) for name in ("echo", "workbench"))
    watching = [asyncio.create_task(each.watch()) for each in (server, caller)]
    async with served(server) as address, called(address, caller) as stub:
        load = Load(stub)
        calling = [asyncio.create_task(load.call()) for _ in range(4)]
        streaming = asyncio.create_task(load.stream())
        await until(lambda: load.answers > 20)
        for name in ("echo", "workbench"):
            (tmp_path / f"{name}.crt").unlink()  # renewed by the same authority
        kept.keep()
        await until(lambda: (server.version, caller.version) == (2, 2))
        kept.replace()
        while kept.changing:
            kept.keep()
            await asyncio.sleep(0.1)
        trusted = (tmp_path / "ca.pem").read_bytes()
        await until(lambda: server.pem.authorities == caller.pem.authorities == trusted)
        seen = load.answers
        await until(lambda: load.answers > seen + 20)
        load.ending.set()
        await asyncio.gather(*calling, streaming)
    for task in watching:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert load.failures == []
    assert first not in trusted
    assert server.pem.not_after > datetime.now(UTC)


def files(folder: Path, name: str) -> TlsFiles:
    return TlsFiles(folder / f"{name}.crt", folder / f"{name}.key", folder / "ca.pem")


class Load:
    """Calls and a stream that go on until told, and what failed of them."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.answers = 0
        self.failures: list[BaseException] = []
        self.ending = asyncio.Event()

    async def call(self) -> None:
        while not self.ending.is_set():
            try:
                await self._stub.Unary(service_pb2.EchoRequest(text="hi"))
            except FxError as failure:
                self.failures.append(failure)
            self.answers += 1
            await asyncio.sleep(0.01)

    async def stream(self) -> None:
        while not self.ending.is_set():
            try:
                async for _ in self._stub.Converse(_some()):
                    self.answers += 1
            except FxError as failure:
                self.failures.append(failure)


async def _some() -> AsyncIterator[Any]:
    """Requests for half a second."""
    for _ in range(10):
        yield service_pb2.EchoRequest(text="hi")
        await asyncio.sleep(0.05)


class Held:
    """A next hop that answers when it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def Unary(self, request: Any) -> Any:  # noqa: N802
        await self.release.wait()
        return service_pb2.EchoResponse(text=request.text)


async def test_a_call_under_way_ends_on_the_connection_it_began_on(tmp_path: Path) -> None:
    trusted = authority()
    server = shown(written(tmp_path / "server", "echo", trusted))
    place = tmp_path / "caller"
    caller = shown(written(place, "workbench", trusted))
    held = Held()
    servicer = EchoServicer(held)
    async with served(server, servicer) as address:
        channel = open_channel(address, tls=caller, name="echo")
        method: Callable[..., Any] = channel.unary_unary("/echo.v1.EchoService/Unary")
        before = method(service_pb2.EchoRequest(text="onward hi").SerializeToString(), timeout=60)
        await servicer.until_running(1)
        written(place, "workbench", trusted)
        assert caller.look()
        assert await method(service_pb2.EchoRequest(text="hi").SerializeToString(), timeout=20)
        held.release.set()
        assert await before
        assert servicer.finished == ["done", "done"]
        await channel.close()


async def test_files_that_do_not_fit_together_change_nothing_until_they_do(tmp_path: Path) -> None:
    trusted = authority()
    caller = shown(written(tmp_path, "workbench", trusted), metrics := CollectorRegistry())
    was = caller.pem
    key = (tmp_path / "own.key").read_bytes()
    written(tmp_path, "workbench", trusted)
    new_key = (tmp_path / "own.key").read_bytes()
    (tmp_path / "own.key").write_bytes(key)
    assert not caller.look()
    assert caller.pem is was
    (tmp_path / "own.key").write_bytes(new_key)
    assert caller.look()
    assert not caller.look()
    assert caller.pem.key == new_key
    assert metrics.get_sample_value("fxmesh_tls_reloads_total") == 1
    ends = metrics.get_sample_value("fxmesh_tls_certificate_not_after_seconds")
    assert ends == caller.pem.not_after.timestamp()


def test_an_expired_certificate_is_known_as_such(tmp_path: Path) -> None:
    trusted = authority()
    assert shown(written(tmp_path / "a", "echo", trusted)).pem.condition() == ""
    soon = shown(written(tmp_path / "b", "echo", trusted, ago=timedelta(minutes=58)))
    assert soon.pem.condition() == "expires_soon"
    assert shown(written(tmp_path / "c", "echo", trusted, ago=2 * HOUR)).pem.condition() == "expired"


def test_some_of_the_three_files_or_wrong_ones_end_the_process(tmp_path: Path) -> None:
    files = written(tmp_path, "echo", authority())
    assert certificates(RuntimeSettings(), quiet_log()) is None
    with pytest.raises(FatalError, match="belong together"):
        certificates(RuntimeSettings(tls_cert_file=files.cert), quiet_log())
    given: dict[str, Any] = {
        "tls_cert_file": files.cert,
        "tls_key_file": files.key,
        "tls_ca_file": files.authorities,
    }
    assert certificates(RuntimeSettings(**given), quiet_log()) is not None
    with pytest.raises(FatalError, match=r"missing.pem cannot be read"):
        certificates(RuntimeSettings(**given | {"tls_ca_file": tmp_path / "missing.pem"}), quiet_log())
    with pytest.raises(FatalError, match="holds no private key"):
        certificates(RuntimeSettings(**given | {"tls_key_file": files.cert}), quiet_log())
    written(tmp_path / "other", "echo", authority())
    with pytest.raises(FatalError, match="is not the key of"):
        certificates(RuntimeSettings(**given | {"tls_key_file": tmp_path / "other" / "own.key"}), quiet_log())
