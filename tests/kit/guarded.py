"""A nats-server that knows its users, for tests of what each may do there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.cli import nats_users
from services.cli.home import Home
from services.errors import FxError, Kind
from services.runtime.bus import BusMetrics, Link, NatsBus, RetryPolicy
from services.runtime.bus.client import BusClient
from services.runtime.bus.credentials import Credentials
from services.runtime.bus.events import event_type_named
from services.runtime.bus.naming import subject
from services.runtime.bus.permissions import OPERATOR
from services.runtime.bus.streams import ensure_stream
from services.runtime.clock import WallClock
from services.runtime.policy import ServicePolicy, service_policies
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, find_program

SERVICES = {each.name: each for each in service_policies()}
EVENTS = tuple(name for each in SERVICES.values() for name in each.publishes)
STREAMS = tuple(dict.fromkeys(event_type_named(name).stream for name in EVENTS))
EVERY_SERVICE = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


class Guarded:
    """A server that asks who connects, and the passwords it knows."""

    def __init__(self, folder: Path) -> None:
        self.home = Home.at(folder)
        nats_users.issue(self.home, SERVICES.values())
        self.server = NatsServer(find_program(), folder, self.home.nats_users)

    def link(self, user: str, metrics: BusMetrics | None = None) -> Link:
        told = nats_users.environment(self.home, user)
        known = Credentials(told["FXMESH_NATS_USER"], Path(told["FXMESH_NATS_PASSWORD_FILE"]))
        heard = (metrics or BusMetrics()).forbidden
        link = Link(self.server.url, user, quiet_log(), known, forbidden=heard)
        link.open()
        return link

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[BusClient]:
        link = self.link(user)
        try:
            yield (await link.session(timeout_s=20)).client
        finally:
            await link.close()

    @asynccontextmanager
    async def bus(
        self, service: ServicePolicy, metrics: BusMetrics | None = None, retry: RetryPolicy | None = None
    ) -> AsyncIterator[NatsBus]:
        link = self.link(service.name, metrics)
        bus = NatsBus(link, service, WallClock(), quiet_log(), retry=retry)
        try:
            await bus.open()
            yield bus
        finally:
            await bus.close()
            await link.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The server, with every stream of the contracts on it, as after a first start."""
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    guarded.server.start()

    async def fill() -> None:
        async with guarded.connected(OPERATOR) as client:
            for stream in STREAMS:
                await ensure_stream(client.jetstream(), stream)

    asyncio.run(fill())
    yield guarded
    guarded.server.stop()


async def refused(client: BusClient, subject: str, payload: bytes = b"{}") -> None:
    """A request there is refused, and at once."""
    asked = time.monotonic()
    with pytest.raises(FxError) as error:
        await client.request(subject, payload, timeout=30)
    assert (error.value.kind, error.value.reason) == (Kind.PERMISSION_DENIED, "BUS_FORBIDDEN")
    assert time.monotonic() - asked < 20


def address(event: str) -> str:
    """The subject of an event of some key."""
    return subject(event, event_type_named(event).stream.retention, "some-key")
