"""Retries, client side, as gRFC A6 describes them: the one layer that repeats a call.

At most three attempts under the one deadline of the call, 100 ms apart, doubling, ±20 %, each at an instance
picked anew. Only UNAVAILABLE, only methods whose contract says that the call may be sent again, never once
the server has begun to answer, and only within the budget (`retry_budget.py`). A server says when, or never,
with `grpc-retry-pushback-ms` in its trailing metadata.

Calls that stream requests are not retried at all: what their caller gave out cannot be asked for again. Nor
is a refusal of our own (breaker, bulkhead, no instance): it holds for every instance, and nothing was sent. A
call that meets one after an attempt failed fails with what that attempt said, since its outcome is unknown.

A lost connection, told by a status that no server sent, takes no token while a fit instance is there to take
over: it says nothing of the others' load, and the calls in flight on a killed instance would spend the bucket
at one blow. The share of all calls bounds these too.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import grpc

from interceptors.calls import ClientCall
from interceptors.errors import PUSHBACK_KEY
from interceptors.plan import Hook, Proceed
from interceptors.retry_budget import TOKENS, Budget, Budgets
from services.errors import FxError
from services.runtime.policy import BUILT_IN, MethodPolicy, Shape

ATTEMPTS = 3
_FIRST_S = 0.1
_LONGEST_S = 1.0
_JITTER = 0.2
_SHAPES = (Shape.UNARY, Shape.SERVER_STREAM)
_NEVER_S = -1.0
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII).fullmatch


def retried(method: MethodPolicy) -> bool:
    """Whether calls of `method` are sent again: they may be repeated, and stream no requests."""
    return method.repeatable and method.shape in _SHAPES and method.path not in BUILT_IN


def in_words() -> str:
    """The rule, for whoever asks what applies."""
    return (
        f"at most {ATTEMPTS} attempts on UNAVAILABLE, {_FIRST_S:g} s apart, doubling to {_LONGEST_S:g} s, "
        f"± {_JITTER:.0%}"
    )


class Retries:
    """The retries of one process. `random` decides on the jitter; `now` and `sleep` share a clock."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.now = now
        self._sleep = sleep
        self._random = random or Random()
        self.budgets = Budgets()
        self.made: Counter[tuple[str, str]] = Counter()
        """Retries by path and how they ended: "ok", "failed" or "cancelled"."""
        self.withheld: Counter[tuple[str, str]] = Counter()
        """Failures that might have been retried, by path and why they were not."""

    def hook(self, method: MethodPolicy) -> Hook[ClientCall] | None:
        """Wraps calls of a method that may be repeated."""
        if not retried(method):
            return None
        budget = self.budgets.of(method)
        return Hook(wrap=lambda proceed: _Attempts(self, budget, proceed))

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts."""
        await self._sleep(seconds)

    def delay_s(self, call: ClientCall, failure: grpc.aio.AioRpcError, budget: Budget) -> float | None:
        """Seconds until the next attempt, None when there is none. The attempt is then paid for."""
        if failure.code() is not grpc.StatusCode.UNAVAILABLE:
            budget.bucket.answered()
            return None
        lost = not failure.trailing_metadata()
        free = lost and call.endpoint is not None and call.endpoint.spare(call.tried)
        if not free:
            budget.bucket.failed()
        delay_s, asked = self._backoff_s(call, failure)
        why_not = self._why_not(call, failure, delay_s, budget, free=free)
        if why_not:
            self.withheld[call.method.path, why_not] += 1
            return None
        budget.share.retried(self.now())
        call.again()
        call.backoffs = 0 if asked else call.backoffs + 1
        return delay_s

    def _backoff_s(self, call: ClientCall, failure: grpc.aio.AioRpcError) -> tuple[float, bool]:
        """(delay, whether the server asked for it)."""
        asked_s = pushback_s(failure)
        if asked_s is not None:
            return asked_s, True
        step_s = min(_LONGEST_S, _FIRST_S * 2**call.backoffs)
        return step_s * self._random.uniform(1 - _JITTER, 1 + _JITTER), False

    def _why_not(
        self, call: ClientCall, failure: grpc.aio.AioRpcError, delay_s: float, budget: Budget, *, free: bool
    ) -> str:
        if call.attempts >= ATTEMPTS:
            return "attempts"
        if delay_s < 0:
            return "pushback"
        if failure.initial_metadata():
            return "headers"
        if not (free or budget.bucket.allows):
            return "tokens"
        now = self.now()
        if not budget.share.allows(now):
            return "share"
        # Failing now, with what really happened, is worth more than the expiry that would follow.
        return "deadline" if call.deadline is not None and now + delay_s >= call.deadline else ""


class _Attempts:
    """The attempts of calls of one method of one target."""

    def __init__(self, retries: Retries, budget: Budget, proceed: Proceed[ClientCall]) -> None:
        self._retries = retries
        self._budget = budget
        self._proceed = proceed

    async def __call__(self, call: ClientCall, payload: Any) -> Any:
        retries, budget = self._retries, self._budget
        budget.share.called(retries.now())
        failed: grpc.aio.AioRpcError | None = None
        while True:
            try:
                answer = await self._proceed(call, payload)
            except grpc.aio.AioRpcError as failure:
                self._count(call, "failed")
                delay_s = retries.delay_s(call, failure, budget)
                if delay_s is None:
                    raise
                failed = failure
            except FxError:
                if failed is None:
                    raise
                raise failed from None
            except asyncio.CancelledError:
                self._count(call, "cancelled")
                raise
            else:
                if budget.bucket.tokens < TOKENS:
                    budget.bucket.answered()
                if call.attempts > 1:
                    self._count(call, "ok")
                return answer
            await retries.pause(delay_s)

    def _count(self, call: ClientCall, how: str) -> None:
        if call.attempts > 1:
            self._retries.made[call.method.path, how] += 1


def pushback_s(failure: grpc.aio.AioRpcError) -> float | None:
    """Seconds the server asks to wait, below zero for never; None when it does not say. What cannot be read
    is never.
    """
    found = [value for key, value in failure.trailing_metadata() or () if key == PUSHBACK_KEY]
    if not found:
        return None
    value = found[0]
    readable = len(found) == 1 and isinstance(value, str) and _WHOLE(value) is not None
    return int(value) / 1000 if readable else _NEVER_S
