"""The client of a link, which does not keep to itself that the server refused something.

The server answers a forbidden publish or subscription with an error that nats-py shows in a callback only:
a request would wait for its time-out, a subscription would stay silent for ever.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.errors import FxError, Kind
from services.runtime.bus.swift import SwiftClient

_VIOLATION = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE
).search
_REFUSED = re.compile(r"authorization violation", re.IGNORECASE).search


@dataclass(frozen=True, slots=True)
class Violation:
    """What the server refused. `operation` is `publish` or `subscription`; `subject` in lower case, as
    nats-py has it.
    """

    operation: str
    subject: str

    @classmethod
    def told_by(cls, error: Exception) -> Violation | None:
        """The violation an error of nats-py speaks of; None when it is about something else."""
        found = _VIOLATION(str(error))
        return None if found is None else cls(found[1].lower(), found[2].lower())


def forbidden(operation: str, subject: str) -> FxError:
    """NATS lets this process not do that: its contract does not list it, or the server has an old list."""
    detail = f"NATS does not allow this process the {operation} to {subject}: its contract does not list it"
    return FxError(Kind.PERMISSION_DENIED, "BUS_FORBIDDEN", detail)


def turned_away(error: Exception) -> bool:
    """True when the server did not accept user and password."""
    return _REFUSED(str(error)) is not None


class BusClient(SwiftClient):
    """`request` and `subscribe` raise FxError PERMISSION_DENIED `BUS_FORBIDDEN` at once when refused.

    A bare `publish` returns before the server has seen it: whoever waits for more adds a listener.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Callable[[Violation], None]] = []
        self._violated: set[Violation] = set()

    def violated(self, violation: Violation) -> None:
        """The server said so: tell whoever waits."""
        self._violated.add(violation)
        for listener in tuple(self.listeners):
            listener(violation)

    async def request(self, subject: str, *args: Any, **options: Any) -> Msg:
        """As nats-py's. Raises FxError as said above."""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def listen(violation: Violation) -> None:
            if violation == Violation("publish", subject.lower()) and not refused.done():
                refused.set_result(None)

        self.listeners.append(listen)
        answer = asyncio.ensure_future(super().request(subject, *args, **options))
        try:
            await asyncio.wait((answer, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise forbidden("publish", subject)
            return await answer
        finally:
            answer.cancel()
            self.listeners.remove(listen)

    async def subscribe(self, subject: str, *args: Any, **options: Any) -> Subscription:
        """As nats-py's, and returns once the server has it. Raises FxError as said above."""
        subscription = await super().subscribe(subject, *args, **options)
        # nats-py writes the ping of a flush ahead of what waits to be sent: only the second comes behind it.
        await self.flush()
        await self.flush()
        if Violation("subscription", subject.lower()) in self._violated:
            with suppress(errors.Error):
                await subscription.unsubscribe()
            raise forbidden("subscription", subject)
        return subscription
