"""Deadlines: every call has one, an onward call ends before the one it serves, expiry cancels the handler."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.policy import MethodPolicy

_NEVER = float("inf")
ONWARD_MARGIN_S = 0.005
"""Kept back from an onward call, so that its failure can still be answered before our own caller gives up."""


def server(method: MethodPolicy) -> Hook[ServerCall]:
    """Fixes the deadline: the caller's, else the policy's; a stream never outlives the policy's. From here to
    its end the call is cancelled when that comes.
    """
    watch = _Watch(method)
    return Hook(enter=watch.enter, leave=watch.leave)


class _Watch:
    """The calls of one method and their deadlines.

    One timer of the loop for all of them, set for the earliest: nearly every call ends long before its
    deadline, and a timer for each would cost more than the rest of its plan. Event loop time is monotonic
    time.
    """

    def __init__(self, method: MethodPolicy) -> None:
        self._method = method
        self._default = method.default_deadline_s
        self._longest = self._default if method.streams_answers else _NEVER
        self._ends: dict[ServerCall, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = _NEVER

    def enter(self, call: ServerCall) -> None:
        served: Any = call.context  # whose type does not say that it tells the time
        remaining: float | None = served.time_remaining()  # None when the caller set none
        if remaining is None or remaining > self._longest:
            remaining = self._default
        if remaining <= 0:
            raise expired(self._method)
        call.deadline = at = time.monotonic() + remaining
        call.waited_for = context.Deadline(at)
        context.deadline.set(call.waited_for)
        self._ends[call] = at
        if at < self._looks_at:
            self._look_at(at)

    def leave(self, call: ServerCall) -> None:
        self._ends.pop(call, None)
        if call.waited_for is not None:
            call.waited_for.at = None

    def _look_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        """Cancel what is due. Mostly that is nothing: the call the timer was set for has ended before."""
        self._timer, self._looks_at = None, _NEVER
        now = time.monotonic()
        for call in [call for call, at in self._ends.items() if at <= now]:
            del self._ends[call]
            call.end(expired(call.method))
        if self._ends:
            self._look_at(min(self._ends.values()))


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


def expired(method: MethodPolicy) -> FxError:
    """The refusal of a call whose time has run out."""
    return FxError(
        Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", f"{method.path} did not finish within its deadline"
    )
