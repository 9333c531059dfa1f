"""Tests of the bus run against a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from nats.js.client import JetStreamContext

from services.runtime.bus.link import Link
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, nats_server, own_nats, shared_nats

__all__ = ["jetstream", "nats_server", "own_nats", "shared_nats"]


@pytest_asyncio.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """As a service has it, on one session."""
    link = Link(nats_server.url, "test", quiet_log())
    link.open()
    yield (await link.session(timeout_s=10)).jetstream
    await link.close()
