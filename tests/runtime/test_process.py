"""The life of a process in this one: what comes up, in which order it goes down, and what ends it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.errors import FxError
from services.runtime.clock import WallClock
from services.runtime.fatal import FatalError
from services.runtime.memory_bus import MemoryBroker
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Dependency, Mesh, Service
from services.runtime.policy import service_policy
from services.runtime.ports import Subscription
from services.runtime.process import Backbone, Grounds, Process
from services.runtime.settings import RuntimeSettings
from services.runtime.statuses import LIVENESS, SERVING
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request

LOG = structlog.get_logger()


class Recorded:
    """A backbone in memory that writes down how it is taken down."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.registry = MemoryRegistry()
        self.reachable = asyncio.Event()
        self.reachable.set()

    async def connect(self, grounds: Grounds) -> Backbone:
        grounds.health.starting("bus", "waiting for NATS")
        await self.reachable.wait()
        grounds.health.up("bus")
        bus: Any = MemoryBroker(WallClock(), LOG).bus(grounds.policy)
        for what, names in ((bus, ("drain", "close")), (self.registry, ("register", "deregister", "close"))):
            for name in names:
                setattr(what, name, self._noted(f"{type(what).__name__}.{name}", getattr(what, name)))
        return Backbone(bus, self.registry, close=self._noted("Link.close", self._nothing))

    def _noted(self, label: str, action: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(*arguments: Any) -> Any:
            self.seen.append(label)
            return await action(*arguments)

        return noted

    async def _nothing(self) -> None: ...


@pytest.fixture
def backbone() -> Recorded:
    return Recorded()


def _settings(tmp_path: Path, **given: Any) -> RuntimeSettings:
    ports = {"grpc_port": 0, "http_port": 0}
    return RuntimeSettings(**{**ports, "identity": "off", "data_dir": tmp_path / "data", **given})


@asynccontextmanager
async def _running(
    backbone: Recorded, settings: RuntimeSettings, compose: Callable[[Mesh], Service]
) -> AsyncIterator[tuple[Process, asyncio.Task[None]]]:
    process = Process(service_policy(SERVICE), settings, compose, backbone.connect, LOG)
    running = asyncio.create_task(process.run())
    started = asyncio.create_task(process.started.wait())
    await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED, timeout=20)
    started.cancel()
    try:
        yield process, running
    finally:
        process.stop()
        await asyncio.wait((running,))


def _plain(mesh: Mesh) -> Service:
    return Service(EchoServicer(), service_pb2_grpc.add_EchoServiceServicer_to_server)


async def _health(process: Process) -> dict[str, Any]:
    def get() -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.http_port}/health", timeout=5) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.read()

    found: dict[str, Any] = json.loads(await asyncio.to_thread(get))
    return found


async def test_it_serves_registers_and_finds_itself(backbone: Recorded, tmp_path: Path) -> None:
    meshes: list[Mesh] = []

    def compose(mesh: Mesh) -> Service:
        meshes.append(mesh)
        return _plain(mesh)

    async with _running(backbone, _settings(tmp_path), compose) as (process, _):
        (mesh,) = meshes
        (instance,) = backbone.registry.instances()
        assert instance.grpc_address == f"127.0.0.1:{process.grpc_port}"
        assert instance.http_address == f"127.0.0.1:{process.http_port}"
        assert (instance.name, instance.service, mesh.service.name) == ("echo", SERVICE, "echo")
        stub = service_pb2_grpc.EchoServiceStub(mesh.channels.to(SERVICE))
        assert (await stub.Unary(Request())).text
        assert mesh.data_dir == tmp_path / "data"
        assert (await _health(process))["status"] == "serving"
        assert mesh.metrics.get_sample_value("process_resident_memory_bytes")


async def test_it_goes_down_in_the_order_of_a_drain(backbone: Recorded, tmp_path: Path) -> None:
    seen = backbone.seen
    looping = asyncio.Event()

    def compose(mesh: Mesh) -> Service:
        mesh.health.on_change(lambda status: seen.append(status.value))

        async def start() -> None:
            seen.append("start")

        async def loop() -> None:
            try:
                looping.set()
                await asyncio.Event().wait()
            finally:
                seen.append("loop cancelled")

        async def close() -> None:
            seen.append("service.close")

        add = service_pb2_grpc.add_EchoServiceServicer_to_server
        return Service(EchoServicer(), add, start=start, background=[loop], close=close)

    async with _running(backbone, _settings(tmp_path), compose) as (_, running):
        await looping.wait()
        began = seen.index("MemoryRegistry.register")
        assert seen.index("start") < began
        del seen[:]
    assert running.exception() is None
    # Each once: the bus drains again as it closes, and health is told again as the peer leaves.
    assert list(dict.fromkeys(seen)) == [
        "not_serving",
        "MemoryRegistry.deregister",
        "MemoryBus.drain",
        "loop cancelled",
        "service.close",
        "MemoryRegistry.close",
        "MemoryBus.close",
        "Link.close",
    ]


async def test_calls_in_flight_finish_before_the_service_closes(backbone: Recorded, tmp_path: Path) -> None:
    servicer = EchoServicer()
    gate = asyncio.Event()

    async def requests() -> AsyncIterator[Any]:
        yield Request()
        await gate.wait()

    def compose(mesh: Mesh) -> Service:
        async def close() -> None:
            servicer.finished.append("closed")

        return Service(servicer, service_pb2_grpc.add_EchoServiceServicer_to_server, close=close)

    async with _running(backbone, _settings(tmp_path), compose) as (process, running):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
            call = asyncio.ensure_future(
                _awaited(service_pb2_grpc.EchoServiceStub(channel).Gather(requests()))
            )
            await servicer.until_running(1)
            process.stop()
            await _until(lambda: "MemoryRegistry.deregister" in backbone.seen)
            assert not running.done()
            gate.set()
            assert (await call).number == 1
        await running
    assert servicer.finished == ["done", "closed"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 what is looked at tells nobody
            await asyncio.sleep(0)


async def _awaited(call: Any) -> Any:
    return await call


async def test_while_the_bus_is_missing_health_says_so_and_stop_works(
    backbone: Recorded, tmp_path: Path
) -> None:
    backbone.reachable.clear()
    settings = _settings(tmp_path, health_port=0)
    process = Process(service_policy(SERVICE), settings, _plain, backbone.connect, LOG)
    running = asyncio.create_task(process.run())
    await _until(lambda: process.http_port > 0)
    await asyncio.sleep(0)
    health = await _health(process)
    assert health["status"] == "starting"
    assert health["dependencies"]["bus"]["detail"] == "waiting for NATS"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.health_port}") as channel:
        probe: Any = health_pb2_grpc.HealthStub(channel)
        ask = health_pb2.HealthCheckRequest
        assert (await probe.Check(ask(), timeout=5)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await probe.Check(ask(service=LIVENESS), timeout=5)).status == SERVING
    process.stop()
    await running


async def test_a_dependency_that_does_not_work_keeps_it_unready(backbone: Recorded, tmp_path: Path) -> None:
    async def broken() -> None:
        raise OSError("store is locked")

    def compose(mesh: Mesh) -> Service:
        add = service_pb2_grpc.add_EchoServiceServicer_to_server
        return Service(EchoServicer(), add, dependencies=[Dependency("store", broken)])

    async with _running(backbone, _settings(tmp_path), compose) as (process, _):
        health = await _health(process)
        assert health["status"] == "not_serving"
        assert health["dependencies"]["store"]["detail"] == "OSError: store is locked"


async def test_failing_background_work_ends_the_process(backbone: Recorded, tmp_path: Path) -> None:
    async def doomed() -> None:
        raise ValueError("broken")

    def compose(mesh: Mesh) -> Service:
        return Service(
            EchoServicer(), service_pb2_grpc.add_EchoServiceServicer_to_server, background=[doomed]
        )

    async with _running(backbone, _settings(tmp_path), compose) as (_, running):
        with pytest.raises(FatalError, match=r"doomed failed in the background \(ValueError\)"):
            await running
    assert backbone.seen[-1] == "Link.close"


async def test_background_work_may_end_by_itself(backbone: Recorded, tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def short() -> None:
        ended.set()

    def compose(mesh: Mesh) -> Service:
        return Service(EchoServicer(), service_pb2_grpc.add_EchoServiceServicer_to_server, background=[short])

    async with _running(backbone, _settings(tmp_path), compose) as (process, running):
        await ended.wait()
        assert process.started.is_set()
        assert not running.done()


@pytest.mark.parametrize("port", ["grpc_port", "http_port", "health_port"])
async def test_a_taken_port_ends_it_before_it_waits_for_anything(
    backbone: Recorded, tmp_path: Path, port: str
) -> None:
    async with _running(backbone, _settings(tmp_path, health_port=0), _plain) as (first, _):
        taken = getattr(first, port)
        backbone.reachable.clear()
        second = Process(
            service_policy(SERVICE),
            _settings(tmp_path, data_dir=tmp_path / "other", **{port: taken}),
            _plain,
            backbone.connect,
            LOG,
        )
        with pytest.raises(FatalError, match=f"port {taken} on 127.0.0.1 is in use"):
            await second.run()


async def test_a_method_without_a_policy_does_not_start(backbone: Recorded, tmp_path: Path) -> None:
    def compose(mesh: Mesh) -> Service:
        loose = service_pb2_grpc.LooseServiceServicer()
        return Service(loose, service_pb2_grpc.add_LooseServiceServicer_to_server)

    process = Process(service_policy(SERVICE), _settings(tmp_path), compose, backbone.connect, LOG)
    with pytest.raises(FatalError, match=r"/echo\.v1\.LooseService/NoPolicy has no policy"):
        await process.run()
    assert backbone.seen[-1] == "Link.close"


async def test_a_part_that_will_not_go_down_does_not_keep_the_rest_up(
    backbone: Recorded, tmp_path: Path
) -> None:
    def compose(mesh: Mesh) -> Service:
        async def close() -> None:
            raise OSError("stuck")

        return Service(EchoServicer(), service_pb2_grpc.add_EchoServiceServicer_to_server, close=close)

    async with _running(backbone, _settings(tmp_path), compose) as (_, running):
        pass
    assert running.exception() is None
    assert backbone.seen[-1] == "Link.close"


async def test_an_unlisted_subscription_is_refused(backbone: Recorded, tmp_path: Path) -> None:
    def compose(mesh: Mesh) -> Service:
        async def handle(_: Any) -> None: ...

        add = service_pb2_grpc.add_EchoServiceServicer_to_server
        return Service(EchoServicer(), add, subscriptions=[Subscription((Request,), handle)])

    process = Process(service_policy(SERVICE), _settings(tmp_path), compose, backbone.connect, LOG)
    with pytest.raises((FatalError, FxError, ValueError)):
        await process.run()
