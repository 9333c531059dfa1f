"""One attempt of a handler on a batch, and how often and how long a failing one is tried again.

Shared by the NATS bus and the memory bus; `holding` decides what a failure means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.crash import crash_point
from services.errors import FxError, Kind
from services.runtime.bus import tracing
from services.runtime.bus.envelope import enter
from services.runtime.ports import Delivery
from services.runtime.ruled import has_rules
from services.runtime.rules import violations

if TYPE_CHECKING:
    from services.runtime.spans import Spans

UNFIT = "EVENT_UNFIT"
"""Reason of the dead letter of an event that breaks the rules of its contract."""
_PASSING = (Kind.UNAVAILABLE, Kind.RESOURCE_EXHAUSTED, Kind.DEADLINE_EXCEEDED, Kind.ABORTED)


class UnfitError(Exception):
    """An event breaks the rules of its contract: no retry can mend it."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays double from `first_delay_s` to `longest_delay_s`: eight attempts take some 11 s.

    `attempts` counts for an event on its own; `hold_s` bounds how long a failure that may pass holds a key
    while nothing else is handled either; `held_events` how many events of one key wait in memory.
    """

    attempts: int = 8
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    hold_s: float = 600.0
    held_events: int = 256

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after the given attempt, 1 being the first."""
        return min(self.first_delay_s * 2.0 ** min(attempt - 1, 30), self.longest_delay_s)


@dataclass(frozen=True, slots=True)
class Handling:
    """Runs one handler. `consumer` is the folder name of its service."""

    handler: Callable[[Sequence[Delivery]], Awaitable[None]]
    consumer: str = ""
    spans: Spans | None = None

    async def attempt(self, deliveries: Sequence[Delivery]) -> Exception | None:
        """What went wrong, None when the effects are committed. Raises CancelledError when cancelled.

        An event that breaks the rules of its contract never reaches the handler.
        """
        if (unfit := _unfit(deliveries)) is not None:
            return unfit
        enter(deliveries)
        ended = tracing.handling(self.spans, self.consumer, deliveries)
        if ended is None:
            return await self._handle(deliveries)
        try:
            failure = await self._handle(deliveries)
        except BaseException as stopped:
            ended(stopped)
            raise
        ended(failure)
        return failure

    async def _handle(self, deliveries: Sequence[Delivery]) -> Exception | None:
        crash_point("event.received", deliveries[0].event.DESCRIPTOR.name)
        try:
            await self.handler(deliveries)
            crash_point("event.after_effect", deliveries[0].event.DESCRIPTOR.name)
        except asyncio.CancelledError as failure:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return RuntimeError(f"something the handler waited for was cancelled {failure}".rstrip())
        except Exception as failure:  # noqa: BLE001  # whatever it is, it must not stop the partition unsettled
            return failure
        return None


def _unfit(deliveries: Sequence[Delivery]) -> UnfitError | None:
    for each in deliveries:
        if has_rules(each.event.DESCRIPTOR) and (broken := violations(each.event)):
            what = "; ".join(f"{of.field or 'event'}: {of.description}" for of in broken)
            return UnfitError(f"{UNFIT}: {what}")
    return None


def may_pass(failure: Exception | None) -> bool:
    """True for a failure that waiting may cure: a store or peer that is away, busy or slow."""
    return isinstance(failure, FxError) and failure.kind in _PASSING


def reason_of(failure: Exception) -> str:
    """One line for logs and dead letters."""
    known = isinstance(failure, FxError | UnfitError)
    text = str(failure) if known else f"{type(failure).__name__}: {failure}"
    return " ".join(text.split())[:500]
