"""The server's disk is really full: what was acknowledged is kept, what cannot be stored is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from fxmesh.trading.v1.events_pb2 import OrderPlaced

from services.errors import FxError, Kind
from tests.kit.buses import Process, process
from tests.kit.events import order
from tests.kit.nats import NatsServer, find_program
from tests.kit.small_disk import small_disk
from tests.runtime.bus.test_publish import stored

pytestmark = pytest.mark.integration

ACKNOWLEDGED = 20


async def taken_before_it_is_full(running: Process) -> tuple[int, FxError]:
    """How many events were acknowledged, and what became of the next."""
    taken = ACKNOWLEDGED
    while True:
        big = order(taken + 1)
        big.order.reason_detail = "x" * 100_000
        try:
            await running.bus.publish(big)
        except FxError as refused:
            return taken, refused
        taken += 1


async def test_on_a_full_disk_events_are_refused_and_none_that_was_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as disk:
        server = NatsServer(find_program(), disk.path, most_stored=1 << 36)
        server.start()
        try:
            async with process(server, patience_s=3.0) as running:
                await running.bus.publish_many([order(number) for number in range(1, ACKNOWLEDGED + 1)])
                disk.fill()
                taken, refused = await taken_before_it_is_full(running)
                assert refused.kind in {Kind.UNAVAILABLE, Kind.RESOURCE_EXHAUSTED}
                # A server whose disk was full serves no streams until it is started anew.
                disk.free()
                server.kill()
                server.start()
                last = order(taken + 2)
                await running.bus.publish(last)
                kept = [OrderPlaced.FromString(data) for _, data in await stored(running, "TRADING_MONEY")]
        finally:
            server.stop()
    names = [each.order_id for each in kept]
    assert names[:taken] == [f"demo-{number}" for number in range(1, taken + 1)]
    assert names[-1] == last.order_id
    assert len(names) == len(set(names))
