"""The life of a service process, from first bind to last close, in one order.

Whatever comes up pushes its own end on a stack, which unwinds in the opposite order when the process is told
to stop. That is the drain: NOT_SERVING, deregister, calls in flight, the consumers' batches in hand,
background loops, the service's own close, connections to peers, registry and bus, the HTTP endpoint that
tells of it, and last the spans that tell of all this.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from structlog.typing import FilteringBoundLogger

from interceptors.cache import Cache
from interceptors.calls import ClientCall
from interceptors.plan import Concerns
from interceptors.standard import client_concerns, server_concerns
from services.runtime.channels import MeshChannels, dns_channels, registry_channels
from services.runtime.clock import WallClock
from services.runtime.data_dir import DataDir
from services.runtime.ejection import Rotations
from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.http import HttpEndpoint
from services.runtime.identity import identity
from services.runtime.identity.identity import Identity
from services.runtime.ids import Uuid7Ids
from services.runtime.memory_leadership import SoleLeadership
from services.runtime.mesh import Action, Mesh, Service, nothing
from services.runtime.policy import ServicePolicy, cache_events
from services.runtime.ports import Bus, Candidate, Clock, Ids, Instance, Leadership, Observation, Registry
from services.runtime.probes import ProbePort
from services.runtime.serve import DRAIN_S, MeshServer
from services.runtime.settings import RuntimeSettings
from services.runtime.telemetry import Telemetry, begin
from services.runtime.tls import certificates
from services.runtime.traces import ContextTracer
from services.runtime.watch import (
    check_dependency,
    watch_dependency,
    watch_peers,
    watch_revocations,
    watch_standing,
)

if TYPE_CHECKING:
    from services.runtime.certificates import Certificates

_WILDCARDS = ("0.0.0.0", "::", "[::]")  # noqa: S104 recognised, not bound
_CLOSE_S = 10.0
"""How long any one thing may take to go down before the next is tried all the same."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What exists before any connection does."""

    policy: ServicePolicy
    settings: RuntimeSettings
    clock: Clock
    ids: Ids
    health: Health
    metrics: CollectorRegistry
    log: FilteringBoundLogger
    telemetry: Telemetry
    identity: Identity | None
    """Decides who calls. None: nobody is asked."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """What connects the processes. `watch` runs beside the service and keeps health true; `close` is last."""

    bus: Bus
    registry: Registry
    watch: Action = nothing
    close: Action = nothing
    leadership: Callable[[Candidate], Leadership] = lambda _: SoleLeadership()


Connect: TypeAlias = Callable[[Grounds], Awaitable[Backbone]]
Compose: TypeAlias = Callable[[Mesh], Service]


class Process:
    """One service process. `run()` returns after a drain asked for by `stop()`; it raises what ended it
    otherwise.
    """

    def __init__(
        self,
        policy: ServicePolicy,
        settings: RuntimeSettings,
        compose: Compose,
        connect: Connect,
        log: FilteringBoundLogger,
    ) -> None:
        clock = WallClock()
        ids = Uuid7Ids(clock)
        self._instance_id = ids.new()
        metrics = CollectorRegistry()
        telemetry = begin(policy.name, self._instance_id, settings, metrics, log)
        self._grounds = Grounds(
            policy,
            settings,
            clock,
            ids,
            Health(),
            metrics,
            log,
            telemetry,
            identity.begin(settings, clock, log),
        )
        self._compose = compose
        self._connect = connect
        self._ending = asyncio.Event()
        self._failure: BaseException | None = None
        self.started = asyncio.Event()
        """Set once calls are taken."""
        self.grpc_port = 0
        self.http_port = 0
        self.priority_port: int | None = None
        self.health_port: int | None = None
        """What it is bound to, once it is. None: there is no port for cancels alone, or for probes."""

    def stop(self) -> None:
        """Begin to go down; at any time, from a signal handler too."""
        self._ending.set()

    async def run(self) -> None:
        """Come up, serve until told to stop, go down."""
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(self._come_up(stack))
            ending = asyncio.create_task(self._ending.wait())
            stack.callback(ending.cancel)
            await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting  # raises what went wrong
                await ending
            else:
                starting.cancel()
                await asyncio.wait((starting,))
            self._grounds.log.info("stopping")
        self._grounds.log.info("stopped")
        if self._failure is not None:
            raise self._failure

    async def _come_up(self, stack: AsyncExitStack) -> None:
        grounds, settings, policy = self._grounds, self._grounds.settings, self._grounds.policy
        grounds.log.info("starting", grpc_service=policy.full_name)
        self._at_end(stack, "traces", grounds.telemetry.close)
        ProcessCollector(registry=grounds.metrics)
        data_dir = DataDir(settings.data_dir or Path(".fxmesh/data", policy.name))
        stack.callback(data_dir.close)
        http = HttpEndpoint(
            settings.host,
            _port(settings.http_port, policy.http_port),
            policy.name,
            grounds.health,
            grounds.metrics,
        )
        stack.callback(http.close)
        await self._answer_probes(stack)
        spans = grounds.telemetry.spans
        own = identity.own_token(settings, grounds.clock, grounds.log)
        tls = certificates(settings, grounds.log, grounds.metrics)
        if tls is not None:
            self._keep_running(stack, "certificates", tls.watch)
        server = MeshServer(
            settings.host,
            _port(settings.grpc_port, policy.grpc_port),
            server_concerns(
                grounds.ids, grounds.metrics, spans, grounds.identity, settings.limits, self._drill()
            ),
            grounds.health,
            tls,
            _priority_port(settings, policy),
        )
        self.grpc_port, self.priority_port, self.http_port = server.port, server.priority_port, http.port
        self._at_end(stack, "bound server", server.close)
        grounds.log.info(
            "bound",
            grpc_port=server.port,
            priority_port=server.priority_port,
            http_port=http.port,
            health_port=self.health_port,
        )

        backbone = await self._connect(grounds)
        self._at_end(stack, "backbone", backbone.close)
        self._at_end(stack, "bus", backbone.bus.close)
        self._at_end(stack, "registry", backbone.registry.close)
        candidate = self._candidate(data_dir)
        leadership = backbone.leadership(candidate)
        self._at_end(stack, "leadership", leadership.close)
        self._keep_running(stack, "bus watch", backbone.watch)
        if grounds.identity is not None:
            self._keep_running(stack, "signing keys", grounds.identity.keys.watch)
            standing = partial(watch_standing, policy.name, grounds.identity.authenticator, grounds.health)
            self._keep_running(stack, "own identity", standing)
            revocations = partial(watch_revocations, grounds.identity.authenticator, grounds.health)
            self._keep_running(stack, "revocations", revocations)
        cache = Cache()
        await backbone.bus.observe(
            Observation(cache_events(policy), cache.hear, cache.turn_on, cache.turn_off)
        )
        concerns = client_concerns(grounds.ids, grounds.metrics, spans, own, settings.limits, cache)
        channels = self._channels(backbone.registry, concerns, tls)
        self._at_end(stack, "channels", channels.close)

        mesh = Mesh(
            service=policy,
            bus=backbone.bus,
            channels=channels,
            registry=backbone.registry,
            clock=grounds.clock,
            ids=grounds.ids,
            health=grounds.health,
            data_dir=data_dir.path,
            metrics=grounds.metrics,
            log=grounds.log,
            tracer=ContextTracer(spans),
            leadership=leadership,
            candidate=candidate,
        )
        service = self._compose(mesh)
        self._at_end(stack, "service", service.close)
        server.add(service.add_to_server, service.servicer)
        await self._start(stack, service, backbone, server)
        self._at_end(stack, "registration", backbone.registry.deregister)
        await backbone.registry.register(self._instance())
        stack.callback(grounds.health.stopping)
        grounds.health.started()
        self.started.set()
        grounds.log.info(
            "serving",
            grpc_port=self.grpc_port,
            priority_port=self.priority_port,
            http_port=self.http_port,
        )

    def _drill(self) -> str:
        """The fault rules in force."""
        settings = self._grounds.settings
        if settings.faults and not settings.drills:
            self._grounds.log.warning("FXMESH_FAULTS has no effect: FXMESH_DRILLS is not true")
        return settings.faults if settings.drills else ""

    async def _answer_probes(self, stack: AsyncExitStack) -> None:
        settings = self._grounds.settings
        if settings.health_port is not None:
            probes = ProbePort(settings.host, settings.health_port, self._grounds.health)
            self._at_end(stack, "probes", probes.close)
            self.health_port = probes.port
            await probes.start(self._grounds.policy.full_name)

    async def _start(
        self, stack: AsyncExitStack, service: Service, backbone: Backbone, server: MeshServer
    ) -> None:
        health = self._grounds.health
        for dependency in service.dependencies:
            health.starting(dependency.name, required=dependency.required)
            await check_dependency(dependency, health)
            self._keep_running(stack, dependency.name, partial(watch_dependency, dependency, health))
        await service.start()
        if self._grounds.settings.discovery == "registry":
            policy = self._grounds.policy
            self._keep_running(stack, "peers", partial(watch_peers, policy, backbone.registry, health))
        for number, action in enumerate(service.background):
            self._keep_running(stack, getattr(action, "__qualname__", f"background {number}"), action)
        self._at_end(stack, "consumers", backbone.bus.drain, limit_s=DRAIN_S)
        if service.subscriptions:
            await backbone.bus.subscribe(*service.subscriptions)
        self._at_end(stack, "server", server.drain, limit_s=DRAIN_S + _CLOSE_S)
        await server.start()

    def _channels(
        self, registry: Registry, concerns: Concerns[ClientCall], tls: Certificates | None
    ) -> MeshChannels:
        by_dns = self._grounds.settings.discovery == "dns"
        if by_dns:
            return dns_channels(concerns, tls)
        return registry_channels(registry, concerns, Rotations(self._grounds.metrics), tls)

    def _advertised(self) -> str:
        """Name or address by which peers reach this process."""
        host = self._grounds.settings.advertise_host or self._grounds.settings.host
        return socket.gethostname() if host in _WILDCARDS else host

    def _candidate(self, data_dir: DataDir) -> Candidate:
        address = f"{self._advertised()}:{self.grpc_port}"
        return Candidate(self._grounds.policy.name, data_dir.identity, self._instance_id, address)

    def _instance(self) -> Instance:
        policy, host = self._grounds.policy, self._advertised()
        return Instance(
            id=self._instance_id,
            service=policy.full_name,
            name=policy.name,
            grpc_address=f"{host}:{self.grpc_port}",
            http_address=f"{host}:{self.http_port}",
            started_ns=self._grounds.clock.now_ns(),
            version=version("fxmesh"),
            priority_address="" if self.priority_port is None else f"{host}:{self.priority_port}",
        )

    def _at_end(self, stack: AsyncExitStack, name: str, action: Action, limit_s: float = _CLOSE_S) -> None:
        """Run `action` when the stack unwinds, for at most `limit_s`; its failure must not stop the rest."""

        async def go_down() -> None:
            try:
                async with asyncio.timeout(limit_s):
                    await action()
            except Exception:
                self._grounds.log.exception("did not go down cleanly", part=name)

        stack.push_async_callback(go_down)

    def _keep_running(self, stack: AsyncExitStack, name: str, action: Action) -> None:
        """Run `action` in a task until the stack unwinds. If it fails, so does the process."""

        async def body() -> None:
            await action()

        def done(task: asyncio.Task[None]) -> None:
            failure = None if task.cancelled() else task.exception()
            if failure is not None:
                self._grounds.log.error("background work failed", part=name, exc_info=failure)
                self._failure = self._failure or _fatal(name, failure)
                self.stop()

        async def cancel() -> None:
            task.cancel()
            await asyncio.wait((task,))

        task = asyncio.create_task(body(), name=name)
        task.add_done_callback(done)
        self._at_end(stack, name, cancel)


def _fatal(name: str, failure: BaseException) -> FatalError:
    if isinstance(failure, FatalError):
        return failure
    return FatalError(f"{name} failed in the background ({type(failure).__name__}): the log says where")


def _port(asked: int | None, default: int) -> int:
    return default if asked is None else asked


def _priority_port(settings: RuntimeSettings, policy: ServicePolicy) -> int | None:
    """The one to bind; None for a service that has no method to serve there."""
    if not policy.priority_port:
        return None
    moved = _port(settings.grpc_port, policy.grpc_port) != policy.grpc_port
    return _port(settings.priority_port, 0 if moved else policy.priority_port)
