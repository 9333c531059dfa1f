"""How a consumer service looks at what it keeps in the streams of all consumers, and at nothing else there.

A request for a message of a stream does not say on its subject which one it asks for, so a user that may make
it reads everything. A server-side consumer is made on a subject that names its filter, which the server
compares with the request: so each look makes one, filtered to what is the service's own, and removes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.runtime.bus.client import BusClient

ANSWER_S = 5.0
_PLACED_S = 1.0
"""A consumer that is not there by then may be on a server of the cluster that is not there either."""
_PLACINGS = 8
_LEFT_OVER_S = 60.0
"""The server removes what a process that died has left, if the next process does not."""
_ONE_IF_ANY = b'{"batch":1,"no_wait":true}'


def look_of(consumer: str) -> str:
    """Name of the server-side consumer; unlike any durable, which ends in a partition."""
    return f"{consumer}_look"


class Look:
    """One look at a time. One process of the service at a time, too: whoever consumes is single."""

    def __init__(self, consumer: str) -> None:
        self._name = look_of(consumer)
        self._turn = asyncio.Lock()

    async def through(
        self,
        client: BusClient,
        stream: str,
        subject: str,
        see: Callable[[api.RawStreamMsg], bool],
        first: int = 1,
    ) -> None:
        """Show `see` the messages whose subject matches, oldest first and from sequence `first` on, until it
        has seen enough and returns False. Raises nats errors.
        """
        async with self._turn:
            await self._make(client, stream, self._config(subject, first))
            inbox = client.new_inbox()
            answers = await client.subscribe(inbox)
            try:
                while (message := await self._next(client, answers, inbox, stream)) and see(message):
                    pass
            finally:
                with suppress(errors.Error, TimeoutError):
                    await answers.unsubscribe()
                    await self._remove(client.jetstream(timeout=ANSWER_S), stream)

    async def finds(self, client: BusClient, stream: str, subject: str, number: int) -> bool:
        """Whether there is a message of that sequence whose subject matches. Raises nats errors."""
        found: list[int | None] = []

        def see(message: api.RawStreamMsg) -> bool:
            found.append(message.seq)
            return False

        await self.through(client, stream, subject, see, number)
        return found == [number]

    async def _make(self, client: BusClient, stream: str, config: api.ConsumerConfig) -> None:
        """A cluster places it on one of its servers by chance, also on one that died a minute ago. Nobody
        answers then, neither to its making nor to its removal, and the next may be placed elsewhere.
        """
        for left in reversed(range(_PLACINGS)):
            jetstream = client.jetstream(timeout=_PLACED_S if left else ANSWER_S)
            try:
                with suppress(TimeoutError):  # removed all the same
                    await self._remove(jetstream, stream)
                await jetstream.add_consumer(stream, config)
            except TimeoutError:
                if not left:
                    raise
            else:
                return

    def _config(self, subject: str, first: int) -> api.ConsumerConfig:
        return api.ConsumerConfig(
            name=self._name,
            filter_subject=subject,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=_LEFT_OVER_S,
        )

    async def _next(
        self, client: BusClient, answers: Subscription, inbox: str, stream: str
    ) -> api.RawStreamMsg | None:
        await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{self._name}", _ONE_IF_ANY, reply=inbox)
        answer = await answers.next_msg(timeout=ANSWER_S)
        status = (answer.headers or {}).get("Status")
        if status == "404":
            return None
        if status is not None:
            raise errors.Error(f"{stream} cannot be looked at: {status}")
        return _raw(answer)

    async def _remove(self, jetstream: JetStreamContext, stream: str) -> None:
        with suppress(NotFoundError):
            await jetstream.delete_consumer(stream, self._name)


def _raw(message: Msg) -> api.RawStreamMsg:
    at = message.metadata
    return api.RawStreamMsg(
        subject=message.subject,
        seq=at.sequence.stream,
        data=message.data,
        headers=message.headers,
        time=at.timestamp,
    )
