"""The end of a server, as its callers see it: what has begun is finished, what has not is refused.

A server that goes down takes no more calls: each is refused with UNAVAILABLE `SHUTTING_DOWN` before it
begins. Streams of answers, which may live for a day, are ended with the same words, and so is what is not
done when the time for the rest is over. What health says can still be asked.
"""

from __future__ import annotations

import asyncio

from interceptors.calls import ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime.policy import BUILT_IN, MethodPolicy

_LAST_WORDS_S = 1.0
"""How long a handler that is cancelled may take to end."""


class Drain:
    """The calls in hand of one server."""

    def __init__(self) -> None:
        self._begun = False
        self._in_hand: set[ServerCall] = set()
        self._changed = asyncio.Event()

    def hook(self, method: MethodPolicy) -> Hook[ServerCall]:
        """Knows of each call of `method`, and refuses it once the drain has begun."""
        refused = method.path not in BUILT_IN or method.streams_answers

        def enter(call: ServerCall) -> None:
            if self._begun and refused:
                raise going_down()
            self._in_hand.add(call)

        def leave(call: ServerCall) -> None:
            self._in_hand.discard(call)
            self._changed.set()

        return Hook(enter=enter, leave=leave)

    async def run(self, grace_s: float) -> None:
        """Refuse from now on, end the streams, and return once nothing is in hand: after `grace_s` and a
        moment at the latest.
        """
        self._begun = True
        _end([call for call in self._in_hand if call.method.streams_answers])
        await self._empty(grace_s)
        _end(list(self._in_hand))
        await self._empty(_LAST_WORDS_S)

    async def _empty(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                while self._in_hand:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return


def _end(calls: list[ServerCall]) -> None:
    for call in calls:
        call.end(going_down())


def going_down() -> FxError:
    """What a caller is told."""
    return FxError(
        Kind.UNAVAILABLE, "SHUTTING_DOWN", "this instance is going down: call again to reach another"
    )
