"""Deadlines: every call has one, an onward call ends before the one it serves, expiry cancels the handler."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.policy import MethodPolicy

ONWARD_MARGIN_S = 0.005
"""Kept back from an onward call, so that its failure can still be answered before our own caller gives up."""


def server(method: MethodPolicy) -> Hook[ServerCall]:
    """Fixes the deadline: the caller's, else the policy's; a stream never outlives the policy's."""
    default = method.default_deadline_s

    def enter(call: ServerCall) -> None:
        remaining: float | None = cast("Any", call.context).time_remaining()  # None when the caller set none
        if remaining is None or (method.streams_answers and remaining > default):
            remaining = default
        if remaining <= 0:
            raise expired(method)
        call.deadline = time.monotonic() + remaining
        call.waited_for = context.Deadline(call.deadline)
        context.deadline.set(call.waited_for)

    def leave(call: ServerCall) -> None:
        if call.waited_for is not None:
            call.waited_for.at = None

    return Hook(enter=enter, leave=leave)


def client(method: MethodPolicy) -> Hook[ClientCall]:
    """Fixes the deadline: min(asked for or the policy's default, what is left to the call in hand − 5 ms)."""
    default = method.default_deadline_s

    def enter(call: ClientCall) -> None:
        now = time.monotonic()
        own = now + (default if call.timeout is None else call.timeout)
        inherited = context.time_limit()
        call.deadline = own if inherited is None else min(own, inherited - ONWARD_MARGIN_S)
        if call.deadline <= now:
            raise expired(method)

    return Hook(enter=enter)


def limit(call: ServerCall) -> asyncio.Timeout:
    """Cancels the handler at the deadline and raises TimeoutError in its place. Event loop time is monotonic
    time.
    """
    return asyncio.timeout_at(call.deadline)


def expired(method: MethodPolicy) -> FxError:
    """The refusal of a call whose time has run out."""
    return FxError(
        Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", f"{method.path} did not finish within its deadline"
    )
