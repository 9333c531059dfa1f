"""Where a consumer keeps what it cannot handle now: dead letters, what waits behind them, and what people
ordered.

All of it is in two streams, so that a consumer that starts knows which of its keys are parked. Orders are
messages too and go once they are carried out: a redrive outlives the consumer, and a command may be given
while it is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from nats import errors
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from structlog.typing import FilteringBoundLogger

from services.errors import FxError, Kind
from services.runtime.bus.dead_letters import Kept, Original, dead_letter, parked_event, read
from services.runtime.bus.link import Link, Session, unavailable
from services.runtime.bus.looking import Look
from services.runtime.bus.naming import (
    dead_letter_subject,
    order_of,
    order_subject,
    parked_subject,
    parse_subject,
)
from services.runtime.bus.publish import Publisher
from services.runtime.bus.streams import DEAD_LETTERS, PARKED

T = TypeVar("T")

MOST_PARKED = 10_000
"""Events of one key that may wait behind a letter. Beyond, the key's partition stops: its events stay in
their own stream.
"""
REDRIVE, DROP = "redrive", "drop"
ACTION, LETTER = "x-action", "x-letter"
"""Headers of an order."""
_PATIENCE_S = 5.0
_NOT_DELETED = 10057


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done about a key. `letter` is the number of a dead letter; 0: there is none."""

    number: int
    subject: str
    """Of an event of the key."""
    action: str
    letter: int


class Parking:
    """The parking of one consumer service."""

    def __init__(
        self,
        link: Link,
        publisher: Publisher,
        consumer: str,
        log: FilteringBoundLogger,
        most: int | None = None,
    ) -> None:
        self._link = link
        self._publisher = publisher
        self._consumer = consumer
        self._log = log
        self._look = Look(consumer)
        self._most = most or MOST_PARKED
        self.counts: dict[str, int] = {}
        """Parked events by stream and key."""
        self._buried: set[tuple[str, str]] = set()

    @property
    def total(self) -> int:
        """Events parked, of all keys."""
        return sum(tuple(self.counts.values()))

    @property
    def fullest(self) -> float:
        """Share of what a key may park, of the key with the most; above 1 never."""
        return max(tuple(self.counts.values()), default=0) / self._most

    async def load(self, session: Session) -> dict[str, str]:
        """Keys that are parked, each with the subject of one of its events; counts what waits.

        Raises nats errors.
        """
        keys: dict[str, str] = {}
        self._buried.clear()
        for letter in await self._all(session, DEAD_LETTERS, dead_letter_subject(self._consumer, ">")):
            if letter.parks_key:
                keys[letter.order] = letter.original.subject
                self._buried.add((letter.order, letter.original.id))
        self.counts = {}
        waiting = parked_subject(self._consumer, ">")
        info = await session.jetstream.stream_info(PARKED, subjects_filter=waiting)
        for subject, count in (info.state.subjects or {}).items():
            original = subject.removeprefix(waiting[:-1])
            keys.setdefault(order_of(original), original)
            self._count(order_of(original), count)
        return keys

    async def orders(self, session: Session) -> list[Order]:
        """What people want done, oldest first. Raises nats errors."""
        prefix = order_subject(self._consumer, "")
        found: list[Order] = []

        def see(message: api.RawStreamMsg) -> bool:
            headers = message.headers or {}
            found.append(
                Order(
                    int(message.seq or 0),
                    str(message.subject).removeprefix(prefix),
                    headers.get(ACTION, ""),
                    int(headers.get(LETTER, "0")),
                )
            )
            return True

        await self._look.through(session.client, PARKED, f"{prefix}>", see)
        return found

    async def bury(self, original: Original, reason: str, attempts: int, *, parks_key: bool) -> None:
        """Store a dead letter. Raises FxError when that cannot be done now."""
        await self._publisher.send(
            [dead_letter(self._consumer, original, reason, attempts, parks_key=parks_key)]
        )

    def is_buried(self, original: Original) -> bool:
        """True for an event whose dead letter was stored and whose end the server did not hear of."""
        return (order_of(original.subject), original.id) in self._buried

    async def bury_again(self, kept: Kept, reason: str, attempts: int, *, parks_key: bool) -> None:
        """A redrive failed: what was a letter, or parked, becomes a letter again. Raises FxError."""
        letter = dead_letter(
            self._consumer,
            kept.original,
            reason,
            kept.attempts + attempts,
            parks_key=parks_key,
            redrives=kept.redrives + (kept.stream == DEAD_LETTERS),
        )
        await self._publisher.send([letter])
        await self.done(kept)

    async def park(self, original: Original) -> None:
        """Store an event behind what is parked of its key. Raises FxError."""
        order = order_of(original.subject)
        if self.counts.get(order, 0) >= self._most:
            raise FxError(
                Kind.RESOURCE_EXHAUSTED,
                "PARKED_FULL",
                f"{self._most} events of {order} wait behind a dead letter of {self._consumer}: "
                "redrive or drop it with `fxmesh dlq`",
            )
        await self._publisher.send([parked_event(self._consumer, original)])
        self._count(order, 1)

    async def letters(self, subject: str) -> list[Kept]:
        """Dead letters of the key that an event of this subject has, oldest first. Raises FxError."""
        wanted = dead_letter_subject(self._consumer, parse_subject(subject).of_key)
        return await self._asked(lambda session: self._all(session, DEAD_LETTERS, wanted))

    async def behind(self, subject: str, most: int, wants: Callable[[Kept], bool]) -> list[Kept]:
        """The oldest parked events of that key. Raises FxError."""
        wanted = parked_subject(self._consumer, parse_subject(subject).of_key)
        return await self._asked(lambda session: self._all(session, PARKED, wanted, most, wants))

    async def done(self, kept: Kept) -> None:
        """A letter or parked event is settled. Raises FxError."""
        subject = dead_letter_subject if kept.stream == DEAD_LETTERS else parked_subject
        await self._delete(kept.stream, kept.number, subject(self._consumer, ">"))
        self._buried.discard((kept.order, kept.original.id))
        if kept.stream == PARKED:
            self._count(kept.order, -1)

    async def carried_out(self, order: Order) -> None:
        """An order is carried out, as far as possible. Raises FxError."""
        await self._delete(PARKED, order.number, order_subject(self._consumer, ">"))

    async def _all(
        self,
        session: Session,
        stream: str,
        subject: str,
        most: int | None = None,
        wants: Callable[[Kept], bool] = lambda kept: True,
    ) -> list[Kept]:
        found: list[Kept] = []

        def see(message: api.RawStreamMsg) -> bool:
            try:
                kept = read(stream, message)
            except (KeyError, ValueError):
                self._log.error("bus.not_of_this_make", stream=stream, sequence=message.seq)
                return True
            if wants(kept):
                found.append(kept)
            return len(found) != most

        await self._look.through(session.client, stream, subject, see)
        return found

    async def _delete(self, stream: str, number: int, own: str) -> None:
        async def ask(session: Session) -> bool:
            return await delete(
                session.jetstream,
                stream,
                number,
                lambda: self._look.finds(session.client, stream, own, number),
            )

        await self._asked(ask)

    async def _asked(self, ask: Callable[[Session], Awaitable[T]]) -> T:
        session = await self._link.session(timeout_s=_PATIENCE_S)
        try:
            return await ask(session)
        except (errors.Error, TimeoutError) as trouble:
            why = str(trouble) or type(trouble).__name__
            raise unavailable(f"what {self._consumer} has parked cannot be looked at: {why}") from trouble

    def _count(self, order: str, change: int) -> None:
        count = self.counts.get(order, 0) + change
        if count > 0:
            self.counts[order] = count
        else:
            self.counts.pop(order, None)


async def delete(
    jetstream: JetStreamContext, stream: str, number: int, is_there: Callable[[], Awaitable[bool]]
) -> bool:
    """Remove one message; False when it is gone already, as `is_there` says. Raises nats errors."""
    try:
        return await jetstream.delete_msg(stream, number)
    except NotFoundError:
        return False
    except APIError as refused:
        if refused.err_code != _NOT_DELETED:
            raise
    if await is_there():  # the words for a message that is not there differ between versions
        raise errors.Error(f"message {number} of stream {stream} cannot be deleted")
    return False
