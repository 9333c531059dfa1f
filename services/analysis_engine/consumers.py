"""Market data in: everything of one symbol in one subscription, because books and clocks go with the ticks
before.
"""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.marketdata.v1 import events_pb2

from services.analysis_engine import wire
from services.analysis_engine.handlers import Ticks
from services.runtime.bus.envelope import story_of
from services.runtime.ports import Delivery, Subscription

EVENTS = (events_pb2.PriceTickReceived, events_pb2.MarketDataUpdated, events_pb2.OrderBookUpdated)

MAX_BATCH = 16
"""1,600 ticks of a replay: some 50 ms of work between two turns for everybody else in the process."""


def subscriptions(ticks: Ticks) -> Sequence[Subscription]:
    """One subscription for all three events."""

    async def handle(deliveries: Sequence[Delivery]) -> None:
        await ticks.handle([wire.heard(each.event, story_of(each)) for each in deliveries])

    return (Subscription(EVENTS, handle, max_batch=MAX_BATCH),)
