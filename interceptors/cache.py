"""Answers kept on the caller's side, for read methods whose contract gives them a lifetime.

Keyed by method, by whom the call is made for, and by the bytes of the request. Concurrent equal calls share
one that is made in a task of its own, so whoever gives up waiting takes nobody along; when all have, it is
cancelled. Errors are not kept. An event named in the contract drops what is kept, and so does losing the way
on which events come: without it nothing is kept or served. Calls with metadata of their caller's are not
cached.

An answer asked for before an event came, or within two seconds after, is not kept: the peer hears the event
when we do and needs a moment to act on it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import structlog

from interceptors import deadline
from interceptors.calls import ClientCall
from interceptors.plan import Hook, Proceed
from services.runtime import context
from services.runtime.policy import MethodPolicy, Shape

MOST_ENTRIES = 4096
MOST_BYTES = 16 * 1024 * 1024
SETTLE_S = 2.0
_WORTH_S = 0.01
"""What must be left of a call for another try to make sense."""
_ENTRY_BYTES = 500
"""What an entry takes beside its two texts, about."""

Key: TypeAlias = tuple[str, str, bytes]
"""Path, principal, request."""

_log = structlog.get_logger("fxmesh.mesh")


@dataclass(slots=True)
class Usage:
    """The numbers of one method."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    """Calls that took the answer to another, asked for at the same time."""
    evictions: int = 0
    """Kept answers that had to make room."""
    invalidated: int = 0
    """Kept answers dropped by an event, or because none could be heard."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A call under way and how many wait for it."""

    call: ClientCall
    answer: asyncio.Task[bytes]
    waiting: int = 0


@dataclass(slots=True)
class _Method:
    policy: MethodPolicy
    lifetime_s: float
    usage: Usage = field(default_factory=Usage)
    dropped_at: float = float("-inf")
    """When an event last dropped its answers."""


class Cache:
    """The cache of one process. It is off until turned on; `hear` is told of events by full name."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        most_entries: int = MOST_ENTRIES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._now = now
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._methods: dict[str, _Method] = {}
        self._kept: OrderedDict[Key, tuple[float, bytes]] = OrderedDict()
        """(expiry, answer), the one used longest ago first."""
        self._flights: dict[Key, _Flight] = {}
        self.on = False
        """Whether answers are kept."""
        self.kept_bytes = 0

    @property
    def kept(self) -> int:
        """Answers held."""
        return len(self._kept)

    @property
    def usage(self) -> dict[str, Usage]:
        """By path."""
        return {path: method.usage for path, method in self._methods.copy().items()}

    def hook(self, policy: MethodPolicy) -> Hook[ClientCall] | None:
        """Wraps calls of a method with one answer and a lifetime for it."""
        if policy.cache_lifetime_s is None or policy.shape is not Shape.UNARY:
            return None
        method = self._methods.setdefault(policy.path, _Method(policy, policy.cache_lifetime_s))
        return Hook(wrap=lambda proceed: _Cached(self, method, proceed))

    def hear(self, event: str) -> None:
        """Drop what `event` makes untrue."""
        now = self._now()
        for path, method in self._methods.items():
            if event in method.policy.invalidated_by:
                method.dropped_at = now
                self._drop(path)

    def turn_on(self) -> None:
        """Every event from now on will be heard: keep answers."""
        self._turn(on=True)

    def turn_off(self) -> None:
        """Events may pass unheard: drop every answer, and keep none."""
        self._turn(on=False)

    def _turn(self, *, on: bool) -> None:
        if on == self.on:
            return
        self.on = on
        now = self._now()
        for path, method in self._methods.items():
            method.dropped_at = now
            self._drop(path)
        _log.info("cache.on" if on else "cache.off")

    def look_up(self, method: _Method, key: Key) -> bytes | None:
        """The answer that may be given without asking."""
        found = self._kept.get(key)
        if found is None:
            return None
        expiry, answer = found
        if self._now() >= expiry:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        method.usage.hits += 1
        return answer

    def join(self, method: _Method, key: Key, call: ClientCall, proceed: Proceed[ClientCall]) -> _Flight:
        """The call under way for `key`, begun if there is none."""
        flight = self._flights.get(key)
        if flight is not None:
            method.usage.shared += 1
            return flight
        method.usage.misses += 1
        made = call.detached()
        flight = _Flight(made, asyncio.ensure_future(self._fetch(method, key, made, proceed)))
        self._flights[key] = flight
        flight.answer.add_done_callback(lambda _: self._landed(key, flight))
        return flight

    async def _fetch(
        self, method: _Method, key: Key, call: ClientCall, proceed: Proceed[ClientCall]
    ) -> bytes:
        asked_at = self._now()
        answer: bytes = await proceed(call, key[2])
        if self.on and asked_at >= method.dropped_at + SETTLE_S:
            self._keep(key, asked_at + method.lifetime_s, answer)
        return answer

    def _landed(self, key: Key, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.answer.cancelled():
            flight.answer.exception()  # those who waited have seen it

    def _keep(self, key: Key, expiry: float, answer: bytes) -> None:
        self._forget(key)
        if _size(key, answer) > self._most_bytes:
            return
        self._kept[key] = (expiry, answer)
        self.kept_bytes += _size(key, answer)
        while len(self._kept) > self._most_entries or self.kept_bytes > self._most_bytes:
            oldest = next(iter(self._kept))
            self._methods[oldest[0]].usage.evictions += 1
            self._forget(oldest)

    def _forget(self, key: Key) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.kept_bytes -= _size(key, found[1])

    def _drop(self, path: str) -> None:
        gone = [key for key in self._kept if key[0] == path]
        for key in gone:
            self._forget(key)
        self._methods[path].usage.invalidated += len(gone)
        # Those who wait asked before the event; who comes now must not get what they get.
        for key in [key for key in self._flights if key[0] == path]:
            del self._flights[key]


class _Cached:
    """Calls of one method of one target."""

    def __init__(self, cache: Cache, method: _Method, proceed: Proceed[ClientCall]) -> None:
        self._cache = cache
        self._method = method
        self._proceed = proceed

    async def __call__(self, call: ClientCall, payload: bytes) -> Any:
        if call.personal or not self._cache.on:
            return await self._proceed(call, payload)
        cache, method = self._cache, self._method
        key = (method.policy.path, context.principal.get().label, payload)
        kept = cache.look_up(method, key)
        while kept is None:
            flight = cache.join(method, key, call, self._proceed)
            kept = await self._wait(flight, call)
        return kept

    async def _wait(self, flight: _Flight, call: ClientCall) -> bytes | None:
        """The answer, or None when the one that was waited for had less time than this call has."""
        flight.waiting += 1
        try:
            async with asyncio.timeout_at(call.deadline):
                return await asyncio.shield(flight.answer)
        except TimeoutError as late:
            raise deadline.expired(self._method.policy) from late
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED and _time_left(call):
                return None
            raise
        finally:
            call.attempts = flight.call.attempts
            flight.waiting -= 1
            if not flight.waiting:
                flight.answer.cancel()


def _time_left(call: ClientCall) -> bool:
    return call.deadline is None or time.monotonic() < call.deadline - _WORTH_S


def _size(key: Key, answer: bytes) -> int:
    return len(key[2]) + len(answer) + _ENTRY_BYTES
