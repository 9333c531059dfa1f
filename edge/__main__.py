"""`python -m edge`: the gate that Envoy asks about each call; reflection and health for all."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, ProcessCollector
from structlog.typing import FilteringBoundLogger

from edge.built_in import BuiltIn
from edge.callers import Callers
from edge.config import Settings
from edge.door import Door
from edge.gate import Gate
from edge.rest import RestForms
from interceptors.standard import server_concerns
from services.runtime import logs, settings
from services.runtime.bus.credentials import Credentials
from services.runtime.bus.link import Link, end
from services.runtime.clock import WallClock
from services.runtime.entry import guarded
from services.runtime.fatal import FatalError
from services.runtime.identity.bucket import IdentityFollower
from services.runtime.identity.identity import begin
from services.runtime.ids import Uuid7Ids
from services.runtime.loop import run_measured
from services.runtime.policy import ServicePolicy, service_policies
from services.runtime.settings import RuntimeSettings
from services.runtime.tls import certificates

NAME = "edge_gate"


def main() -> None:
    """Run the gate until SIGTERM or Ctrl-C."""
    logs.configure(NAME)

    def work() -> None:
        runtime = settings.load(RuntimeSettings)
        log = logs.configure(NAME, runtime.log_level, runtime.log_format)
        run_measured(_run(runtime, settings.load(Settings), log))

    guarded(NAME, work)


async def _run(runtime: RuntimeSettings, own: Settings, log: FilteringBoundLogger) -> None:
    if runtime.grpc_port is None or runtime.http_port is None:
        raise FatalError("the gate needs FXMESH_GRPC_PORT and FXMESH_HTTP_PORT")
    services = service_policies()
    ending = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, ending.set)
    async with AsyncExitStack() as stack:
        metrics = CollectorRegistry()
        ProcessCollector(registry=metrics)
        concerns = server_concerns(Uuid7Ids(WallClock()), metrics, limits=runtime.limits)
        tls = certificates(runtime, log, metrics)
        if tls is not None:
            stack.callback(asyncio.create_task(tls.watch(), name="certificates").cancel)
        built_in = BuiltIn(runtime.host, runtime.grpc_port, concerns, _upstreams(own, services), tls)
        stack.push_async_callback(built_in.close)
        await built_in.start()
        callers = await _callers(runtime, services, metrics, log, stack, ending)
        door = Door(runtime.host, runtime.http_port, Gate(RestForms(services), callers), metrics)
        stack.callback(door.close)
        built_in.ready.set()
        log.info("serving", grpc_port=built_in.port, http_port=door.port)
        await ending.wait()
        log.info("stopping")


async def _callers(
    runtime: RuntimeSettings,
    services: tuple[ServicePolicy, ...],
    metrics: CollectorRegistry,
    log: FilteringBoundLogger,
    stack: AsyncExitStack,
    ending: asyncio.Event,
) -> Callers | None:
    """Who may call, once keys and revocations are known; None where identity is switched off."""
    clock = WallClock()
    identity = begin(runtime, clock, log)
    if identity is None:
        return None
    user = Credentials.given(runtime.nats_user, runtime.nats_password_file)
    link = Link(runtime.nats_url, NAME, log, user, runtime.stream_replicas)
    link.open()
    stack.push_async_callback(link.close)
    follower = identity.follower(link, clock, metrics, log)
    follower.open()
    stack.push_async_callback(follower.close)
    watching = asyncio.create_task(identity.keys.watch(), name="signing keys")
    stack.push_async_callback(end, watching)
    loading = asyncio.create_task(_loaded(link, follower))
    stopping = asyncio.create_task(ending.wait())
    await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
    if loading.done():
        await loading  # raises what NATS has against this process
    loading.cancel()
    stopping.cancel()
    return Callers(identity.authenticator, identity.rights, services)


async def _loaded(link: Link, follower: IdentityFollower) -> None:
    """Return with the first snapshot. Raises FatalError when NATS does not accept the gate's user."""
    await link.session()
    await follower.loaded.wait()


def _upstreams(own: Settings, services: tuple[ServicePolicy, ...]) -> dict[str, str]:
    """Address by full gRPC name. Raises FatalError for one that names no service."""
    given: dict[str, list[str]] = {}
    for name, _, address in (each.partition("=") for each in own.upstreams):
        given.setdefault(name, []).append(address)
    names = {service.name: service for service in services}
    if strangers := set(given) - set(names):
        raise FatalError(f"FXMESH_EDGE_UPSTREAMS names no service of the contracts: {', '.join(strangers)}")
    return {
        service.full_name: _target(given.get(name, [f"127.0.0.1:{service.grpc_port}"]))
        for name, service in names.items()
    }


def _target(addresses: list[str]) -> str:
    """Of several instances (by IPv4 address) gRPC asks the first that is there."""
    return addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}"


if __name__ == "__main__":
    main()
