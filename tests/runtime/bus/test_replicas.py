"""Streams on a real cluster of three servers: as many copies as asked for, and never silently fewer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats import errors

from services.runtime.bus.link import Link
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import DEAD_LETTERS, ensure_dead_letters, ensure_stream
from services.runtime.fatal import FatalError
from tests.kit.cluster import cluster_of_three
from tests.kit.events import quiet_log

pytestmark = pytest.mark.integration

MONEY = Stream("trading", Retention.MONEY)
DECISION = Stream("trading", Retention.DECISION)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URLs of three servers that form one cluster."""
    with cluster_of_three(tmp_path) as three:
        yield three.url


async def test_each_stream_is_on_as_many_servers_as_asked_for(cluster: str) -> None:
    link = Link(cluster, "test", quiet_log(), replicas=3)
    link.open()
    session = await link.session(timeout_s=10)
    async with asyncio.timeout(30):
        while True:  # until the three have met and chosen a leader
            try:
                await ensure_dead_letters(session.jetstream, session.replicas)
                break
            except (errors.Error, TimeoutError):
                await asyncio.sleep(0.1)

    made = await ensure_stream(session.jetstream, MONEY, session.replicas)
    again = await ensure_stream(session.jetstream, MONEY)  # more than asked for is the operator's choice
    await ensure_stream(session.jetstream, DECISION)
    with pytest.raises(FatalError, match=r"TRADING_DECISION.*num_replicas is 1, not 3"):
        await ensure_stream(session.jetstream, DECISION, session.replicas)

    letters = await session.jetstream.stream_info(DEAD_LETTERS)
    assert made.config.num_replicas == again.config.num_replicas == letters.config.num_replicas == 3
    assert made.cluster is not None
    assert len(made.cluster.replicas or ()) == 2  # beside the leader
    await link.close()
