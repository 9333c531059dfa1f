"""One durable as seen from here: a continuous pull, what it delivered, and what is still to be acknowledged.

The order of a partition rests on three things: a durable delivers in order; what a lost connection or a dead
process left unacknowledged is made to come first (`redeliver_now`), and until it has come nothing newer is
let through; an event still in hand here is not taken a second time when the server sends it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from nats import errors
from structlog.typing import FilteringBoundLogger

from services.runtime.bus.headers import Headers, decode_headers
from services.runtime.bus.link import Session
from services.runtime.bus.naming import Stream, durable
from services.runtime.bus.streams import (
    ACK_WAIT_S,
    MAX_ACK_PENDING,
    ensure_durable,
    redeliver_now,
    replace_if_ahead,
)

PREFETCH = 256
"""Least number of events asked for, in hand included; asked again at half."""

_EXPIRES_S = 30
_HEARTBEAT_S = 5
_SILENCE_S = 2.5 * _HEARTBEAT_S
_EXPIRY_TOLD_S = 0.5  # after that much longer nothing that was asked for can be on its way
_STILL_WORKING_S = ACK_WAIT_S / 3
_REDELIVERY_PAUSE_S = 0.25  # the server looks 100 ms after it was told
_REQUEST = json.dumps({"expires": _EXPIRES_S * 10**9, "idle_heartbeat": _HEARTBEAT_S * 10**9})[:-1]
_OWED_PATIENCE_S = 3.0
_REMEMBERED = 4096
"""At least so many of the events settled last are known, and at most some twice as many."""


class Item:
    """One delivered event that is not settled yet."""

    __slots__ = ("block", "deliveries", "lane", "payload", "reply", "sequence", "subject", "touched")

    def __init__(
        self,
        lane: Lane,
        subject: str,
        reply: bytes,
        payload: bytes,
        block: bytes,
        sequence: int,
        deliveries: int,
    ) -> None:
        self.lane = lane
        self.subject = subject
        self.reply = reply
        self.payload = payload
        self.block = block
        self.sequence = sequence
        self.deliveries = deliveries
        self.touched = time.monotonic()

    @property
    def headers(self) -> Headers:
        """What it came with."""
        return Headers(self.block)


class Lane:
    """`accept` gets each item in the order of the partition: True when somebody takes it, who must then
    settle it.
    """

    def __init__(
        self,
        stream: Stream,
        consumer: str,
        partition: str,
        accept: Callable[[Item], bool],
        log: FilteringBoundLogger,
        prefetch: int = PREFETCH,
    ) -> None:
        self.stream = stream
        self.durable = durable(consumer, partition)
        self._consumer = consumer
        self._partition = partition
        self._accept = accept
        self._log = log
        self._prefetch = min(prefetch, MAX_ACK_PENDING)
        self._session: Session | None = None
        self._inbox = ""
        self._requested = 0
        self._heard = 0.0
        self._asked_until = 0.0
        self._broken = True
        self._created: datetime | None = None
        self._held: dict[int, Item] = {}
        self._done: set[int] = set()
        self._done_before: set[int] = set()
        self._owed = 0
        self._owed_seen: set[int] = set()
        self._owed_through = 0
        self._owed_until = 0.0
        self._waiting: list[Item] = []

    @property
    def broken(self) -> bool:
        """True when the durable is gone or silent."""
        return self._broken

    def pulls_on(self, session: Session) -> bool:
        """True while events can come in on this session; else it needs a `start`."""
        return self._session is session and not self._broken

    async def start(self, session: Session, inbox: str) -> None:
        """Find or make the durable and begin to pull into `inbox`. Again after a loss of any kind.

        Raises FatalError when the durable is configured otherwise, nats errors when the server does not
        answer.
        """
        jetstream = session.jetstream
        where = (self.stream, self._consumer, self._partition)
        info = await ensure_durable(jetstream, *where)
        fresh = await replace_if_ahead(jetstream, *where, info)
        if fresh is not None:
            self._log.error("bus.durable_was_ahead", durable=self.durable, stream=self.stream.name)
            info = fresh
        if info.created != self._created:
            # A new durable, perhaps of a new stream: the numbers known here may mean other events now.
            self._created = info.created
            self._held.clear()
            self._done, self._done_before = set(), set()
        self._owed = info.num_ack_pending or 0
        self._owed_seen.clear()
        if self._owed:
            self._owed_through = info.delivered.stream_seq if info.delivered else 0
            await redeliver_now(jetstream, *where, _REDELIVERY_PAUSE_S)
            self._owed_until = time.monotonic() + _OWED_PATIENCE_S
        self._session = session
        self._inbox = inbox
        self._requested = 0
        self._heard = time.monotonic()
        self._broken = False
        self._request_more()

    def on_event(self, item: Item) -> None:
        """Take one event in, unless it is in hand already or was handled before and its answer got lost."""
        self._heard = item.touched
        if self._requested:
            self._requested -= 1
        sequence = item.sequence
        in_hand = self._held.get(sequence)
        if in_hand is not None:
            in_hand.reply, in_hand.touched = item.reply, item.touched
        elif sequence in self._done or sequence in self._done_before:
            self._answer([item.reply], b"+ACK")
            self._request_more()
        else:
            self._held[sequence] = item
            if self._owed:
                self._waiting.append(item)
            elif not self._accept(item):
                self.settle([item])
        if self._owed:
            self._note_owed([sequence])

    def on_status(self, block: bytes) -> None:
        """The server's word on a request: a heartbeat, its end, or the end of the durable."""
        headers = decode_headers(block)
        status, text = headers.get("Status", ""), headers.get("Description", "")
        self._heard = time.monotonic()
        if status == "100":
            return
        if "Deleted" in text or status == "503":
            self._broken = True
            return
        self._requested = max(0, self._requested - int(headers.get("Nats-Pending-Messages", self._prefetch)))
        self._request_more()

    def settle(self, items: Iterable[Item], answer: bytes = b"+ACK") -> None:
        """Acknowledge items, or end them otherwise. A lost acknowledgement is repeated when the event comes
        again.
        """
        held = self._held
        # Others are of a durable that is gone; the new one delivers them again under its own numbers.
        settled = [item for item in items if held.get(item.sequence) is item]
        sequences = [item.sequence for item in settled]
        for sequence in sequences:
            del held[sequence]
        self._remember(sequences)
        self._answer([item.reply for item in settled], answer)
        if self._owed:
            self._note_owed(sequences)
        self._request_more()

    def tick(self) -> None:
        """Once a second: notice silence, tell the server of work that takes long."""
        now = time.monotonic()
        if now > self._asked_until:
            # A server of 2.9 says nothing when an event meets a request that has just expired.
            self._requested = 0
        if self._requested and now - self._heard > _SILENCE_S:
            self._log.warning("bus.durable_silent", durable=self.durable, stream=self.stream.name)
            self._broken = True
        if self._owed and now > self._owed_until:
            # What the stream dropped meanwhile would be owed for ever; what it still has came long ago.
            self._let_waiting_in()
        for item in [each for each in self._held.values() if now - each.touched > _STILL_WORKING_S]:
            item.touched = now
            self._answer([item.reply], b"+WPI")
        self._request_more()

    def _note_owed(self, sequences: Iterable[int]) -> None:
        """What comes again is no longer owed, and what is settled meanwhile does not come again."""
        seen = [each for each in sequences if each <= self._owed_through]
        if seen:
            self._owed_seen.update(seen)
            self._owed_until = time.monotonic() + _OWED_PATIENCE_S
        if len(self._owed_seen) >= self._owed:
            self._let_waiting_in()

    def _let_waiting_in(self) -> None:
        self._owed = 0
        self._owed_seen.clear()
        waiting, self._waiting = self._waiting, []
        for item in sorted(waiting, key=lambda each: each.sequence):
            if not self._accept(item):
                self.settle([item])

    def _remember(self, sequences: Iterable[int]) -> None:
        self._done.update(sequences)
        if len(self._done) > _REMEMBERED:
            self._done, self._done_before = set(), self._done

    def _request_more(self) -> None:
        wanted = self._prefetch + self._owed - self._requested - len(self._held)
        if self._broken or self._session is None or wanted < self._prefetch // 2:
            return
        now = time.monotonic()
        if not self._requested:
            self._heard = now
        self._requested += wanted
        self._asked_until = now + _EXPIRES_S + _EXPIRY_TOLD_S
        request = f'{_REQUEST}, "batch": {wanted}}}'.encode()
        self._send(f"$JS.API.CONSUMER.MSG.NEXT.{self.stream.name}.{self.durable}", request, reply=self._inbox)

    def _answer(self, replies: Sequence[bytes], answer: bytes) -> None:
        # When the connection is lost the server will deliver again.
        session = self._session
        if session is not None and replies and not session.lost.is_set():
            with suppress(errors.Error):
                session.client.answer(replies, answer)

    def _send(self, subject: str, payload: bytes, reply: str = "") -> None:
        # When the connection is lost the next session asks anew.
        session = self._session
        if session is not None and not session.lost.is_set():
            with suppress(errors.Error):
                session.client.post(subject, payload, reply)
