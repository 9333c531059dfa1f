"""Everything that is published, in one merged subscription: committed by time and size, then acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.marketdata.v1 import events_pb2 as marketdata_events
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.data_pipeline import wire
from services.data_pipeline.domain.records import Arrivals
from services.data_pipeline.handlers import Ingest
from services.runtime.ports import Delivery, Subscription


def subscriptions(
    consumes: Sequence[str], ingest: Ingest, max_batch: int, max_wait_s: float
) -> list[Subscription]:
    """One worker for all events that the contract says the pipeline consumes."""

    async def store(deliveries: Sequence[Delivery]) -> None:
        await ingest.store(_arrivals(deliveries))

    events = tuple(_event_class(name) for name in consumes)
    return [Subscription(events, store, max_batch=max_batch, merge=True, max_wait_s=max_wait_s)]


def _event_class(name: str) -> type[Message]:
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def _arrivals(deliveries: Sequence[Delivery]) -> Arrivals:
    batches, events = [], []
    for delivery in deliveries:
        if isinstance(delivery.event, marketdata_events.PriceTickReceived):
            if delivery.event.ticks.bid:
                batches.append(wire.tick_event(delivery.event))
        else:
            events.append(wire.event_record(delivery))
    return Arrivals(batches, events)
