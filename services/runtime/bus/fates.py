"""What becomes of the deliveries of one worker: acknowledged, buried, parked, or taken from where they were
parked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from services.runtime.bus.dead_letters import Kept, Original
from services.runtime.bus.envelope import UndecodableError, unwrap
from services.runtime.bus.lane import Item
from services.runtime.bus.metrics import BusMetrics
from services.runtime.bus.naming import parse_subject
from services.runtime.bus.parking import Order, Parking
from services.runtime.ports import Delivery, Subscription

_lane = attrgetter("lane")
_MOST_AT_ONCE = 64  # each is a question to the server


class Fates:
    """The `Fate` of what a subscription gets from NATS."""

    def __init__(
        self, subscription: Subscription, parking: Parking, metrics: BusMetrics, log: FilteringBoundLogger
    ) -> None:
        self._classes: dict[str, type[Message]] = {
            each.DESCRIPTOR.full_name: each for each in subscription.events
        }
        self._most = min(subscription.max_batch, _MOST_AT_ONCE)
        self.parking = parking
        self._metrics = metrics
        self._log = log
        self._ordered: dict[str, Order] = {}

    def open(self, item: Item) -> Delivery:
        """The delivery of what a lane gave. Raises UndecodableError."""
        delivery = unwrap(
            self._classes[parse_subject(item.subject).event],
            item.subject,
            item.headers,
            item.payload,
            item.sequence,
            redelivered=item.deliveries > 1,
        )
        delivery.source = item
        return delivery

    def open_kept(self, kept: Kept) -> Delivery:
        """The delivery of what was stored as a letter or parked. Raises UndecodableError."""
        original = kept.original
        delivery = unwrap(
            self._classes[parse_subject(original.subject).event],
            original.subject,
            original.headers,
            original.payload,
            original.sequence,
            redelivered=True,
        )
        delivery.source = kept
        return delivery

    def expect(self, key: str, order: Order) -> None:
        """The order that a key recovers by: carried out when that has come to an end."""
        self._ordered[key] = order

    async def settled(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge, or delete from where they were parked."""
        items: list[Item] = []
        for delivery in deliveries:
            source = delivery.source
            if type(source) is Item:
                items.append(source)
            else:
                assert isinstance(source, Kept)
                await self.parking.done(source)
        for lane, members in groupby(items, key=_lane):
            lane.settle(members)
        for kind, count in Counter([type(each.event) for each in deliveries]).items():
            self._metrics.consumed(kind.DESCRIPTOR.full_name, count)

    async def bury(self, delivery: Delivery, reason: str, attempts: int) -> None:
        """Make it the letter that its key waits behind."""
        source = delivery.source
        if isinstance(source, Item):
            await self.end(source, reason, attempts, parks_key=True)
        else:
            assert isinstance(source, Kept)
            await self.parking.bury_again(source, reason, attempts, parks_key=True)
            self._count_dead(source.original.subject)

    async def park(self, delivery: Delivery) -> None:
        """Acknowledge it once it is stored. What comes from there is there still."""
        if isinstance(delivery.source, Item):
            await self._park(delivery.source)

    async def _park(self, item: Item) -> None:
        event = original(item)
        if self.parking.is_buried(event):
            item.lane.settle([item], b"+TERM")
            return
        await self.parking.park(event)
        item.lane.settle([item])

    async def behind(self, key: str) -> Sequence[Delivery]:
        """The next of what is parked, as far as this subscription wants it."""
        subject = self._ordered[key].subject
        found: list[Delivery] = []
        while not found and (parked := await self.parking.behind(subject, self._most, self._wants)):
            for kept in parked:
                try:
                    found.append(self.open_kept(kept))
                except UndecodableError as broken:
                    await self.parking.bury_again(kept, str(broken), 1, parks_key=False)
                    self._count_dead(kept.original.subject)
        return found

    async def recovered(self, key: str, *, entirely: bool) -> None:
        """The order is carried out."""
        await self.parking.carried_out(self._ordered[key])
        del self._ordered[key]

    async def end(self, item: Item, reason: str, attempts: int, *, parks_key: bool) -> None:
        """Store the dead letter of an item and end its delivery. Raises FxError."""
        await self.parking.bury(original(item), reason, attempts, parks_key=parks_key)
        item.lane.settle([item], b"+TERM")
        event = self._count_dead(item.subject)
        self._log.error(
            "bus.dead_letter", dead_event=event, sequence=item.sequence, reason=reason, attempts=attempts
        )

    def _count_dead(self, subject: str) -> str:
        event = parse_subject(subject).event
        self._metrics.dead(event)
        return event

    def _wants(self, kept: Kept) -> bool:
        return parse_subject(kept.original.subject).event in self._classes


def original(item: Item) -> Original:
    """An item as it is stored elsewhere."""
    return Original(item.lane.stream.name, item.sequence, item.subject, item.headers, item.payload)
