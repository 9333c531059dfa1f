"""Dead letters as people see them: listed with what waits behind each, redriven, dropped.

Whoever looks needs no part in the mesh but a connection to NATS. What is ordered is carried out by the
consumer that the letter names, and by no other consumer of the event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.runtime.bus.dead_letters import Kept, read
from services.runtime.bus.naming import dead_letter_subject, order_of, order_subject, parse_subject
from services.runtime.bus.parking import ACTION, DROP, LETTER, REDRIVE, delete
from services.runtime.bus.streams import ADVISORIES, DEAD_LETTERS, PARKED


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events of one key that a consumer has parked. `subject` is of one of them."""

    consumer: str
    subject: str
    count: int

    @property
    def order(self) -> str:
        """Stream and key."""
        return order_of(self.subject)


class Letters:
    """What consumers have given up. Every method raises nats errors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=5)

    async def find(self, *, consumer: str = "", event: str = "", key: str = "") -> list[Kept]:
        """Dead letters, oldest first; `event` is a full message name or the last part of one."""
        subject = dead_letter_subject(consumer or "*", ">")
        found = []
        async for message in messages(self._jetstream, DEAD_LETTERS, subject):
            letter = _read(DEAD_LETTERS, message)
            if letter is not None and _matches(letter.original.subject, event, key):
                found.append(letter)
        return found

    async def get(self, number: int) -> Kept | None:
        """One letter; None when there is none of that number, any more."""
        try:
            return _read(DEAD_LETTERS, await self._jetstream.get_msg(DEAD_LETTERS, number))
        except NotFoundError:
            return None

    async def waiting(self) -> dict[tuple[str, str], Waiting]:
        """What is parked, by consumer and by stream and key."""
        info = await self._jetstream.stream_info(PARKED, subjects_filter="parked.>")
        found: dict[tuple[str, str], Waiting] = {}
        for subject, count in (info.state.subjects or {}).items():
            _, consumer, original = subject.split(".", 2)
            place = (consumer, order_of(original))
            before = found[place].count if place in found else 0
            found[place] = Waiting(consumer, original, before + count)
        return found

    async def order(self, action: str, letter: Kept) -> int:
        """Tell the consumer of a letter what to do about it; the number of the order.

        A letter to drop is gone at once, so that one of a consumer that is no more can be dropped too.
        """
        number = await self.order_key(action, letter.consumer, letter.original.subject, letter.number)
        if action == DROP:
            await delete(self._jetstream, DEAD_LETTERS, letter.number, lambda: self._is_there(letter))
        return number

    async def _is_there(self, letter: Kept) -> bool:
        return await self.get(letter.number) is not None

    async def order_key(self, action: str, consumer: str, subject: str, letter: int = 0) -> int:
        """The same for a key that has events parked and, where `letter` is 0, no letter any more."""
        assert action in (REDRIVE, DROP)
        headers = {ACTION: action, LETTER: str(letter)}
        stored = await self._jetstream.publish(order_subject(consumer, subject), b"", headers=headers)
        return stored.seq

    async def is_carried_out(self, order: int) -> bool:
        """False while the consumer has still to do it, or to come back."""
        try:
            await self._jetstream.get_msg(PARKED, order)
        except NotFoundError:
            return True
        return False

    async def advisories(self, most: int) -> Sequence[tuple[int, bytes]]:
        """The server's own words on messages that were ended or came too often, newest first."""
        state = (await self._jetstream.stream_info(ADVISORIES)).state
        found: list[tuple[int, bytes]] = []
        number = state.last_seq
        while number >= max(1, state.first_seq) and len(found) < most:
            try:
                message = await self._jetstream.get_msg(ADVISORIES, number)
                found.append((number, message.data or b""))
            except NotFoundError:
                pass
            number -= 1
        return found


async def messages(jetstream: JetStreamContext, stream: str, subject: str) -> AsyncIterator[api.RawStreamMsg]:
    """Messages of a stream whose subject matches, oldest first. Raises nats errors."""
    number = 1
    while True:
        try:
            message = await jetstream.get_msg(stream, seq=number, subject=subject, next=True)
        except NotFoundError:
            return
        yield message
        number = int(message.seq or 0) + 1


def _read(stream: str, message: api.RawStreamMsg) -> Kept | None:
    """None for a message of another make, which a person put there."""
    try:
        return read(stream, message)
    except (KeyError, ValueError):
        return None


def _matches(subject: str, event: str, key: str) -> bool:
    of = parse_subject(subject)
    return (not event or event in (of.event, of.event.rpartition(".")[2])) and key in ("", of.key)
