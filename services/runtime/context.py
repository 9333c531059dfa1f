"""What travels with the work in hand: correlation id, deadline, trace and cause.

Set by the mesh when a call or an event comes in, read by whatever goes out (calls, events, log lines).
Context variables, so that each task has its own and a task started inside inherits them.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

from services.runtime.identity import ANONYMOUS, Principal

CORRELATION_KEY = "x-correlation-id"
"""gRPC metadata key; the same value is the bus header `correlation-id`."""
TRACEPARENT_KEY = "traceparent"
"""W3C trace context, in gRPC metadata and in bus headers alike."""


class Deadline:
    """When a call must be done: `at` on `time.monotonic()`, None once it is.

    One object for the whole call, so that work it left behind in a task of its own, which inherits the
    context, is not held to a deadline that nobody waits for any more.
    """

    __slots__ = ("at",)

    def __init__(self, at: float | None) -> None:
        self.at = at


correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
"""Id of the outside request or event that everything in this context serves."""
deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""How long the caller of the work in hand waits; None when nobody waits for it."""
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""W3C trace context of the work in hand, sampled or not; None outside any trace."""
principal: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)
"""Who asked for the work in hand."""
causation_id: ContextVar[str | None] = ContextVar("causation_id", default=None)
"""Id of the event being handled: what is published meanwhile was caused by it."""

acceptable_correlation_id = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
"""A match when an id from outside may go into logs, headers and answers: short, without odd characters."""
_SAMPLED_DIGITS = frozenset("13579bdf")  # last digit of the flags: bit 0 set


def sampled(trace: str) -> bool:
    """Whether a well-formed trace context asks to be recorded."""
    return trace[-1] in _SAMPLED_DIGITS


def unsampled(trace: str) -> str:
    """The same trace context, not to be recorded by whoever receives it."""
    return f"{trace[:-2]}00"


def time_limit() -> float | None:
    """When the work in hand must be done, on `time.monotonic()`; None when nobody waits for it."""
    current = deadline.get()
    return None if current is None else current.at
