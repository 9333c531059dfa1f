"""The same request again gets the first answer; another request under its id is refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol
from weakref import WeakValueDictionary

from services.errors import FxError, Kind


class Answers(Protocol):
    """What requests were answered with, kept for ever. `content` is the request as text."""

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        """The (content, result) remembered under a request id."""

    async def remember(self, request_id: str, content: str, result: str) -> None:
        """Keep it, unless there is one already: the first stays."""


class Requests:
    """Carries each request out once. The same one that comes while the first is in hand waits for its answer:
    a caller who lost patience asks again before the service is done.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(self, request_id: str, content: str, act: Callable[[], Awaitable[str]]) -> str:
        """What `act` gives, or gave when the same request came before.

        FxError ALREADY_EXISTS `REQUEST_ID_REUSED` for another one. What `act` raises is not remembered.
        """
        async with self._turns.setdefault(request_id, asyncio.Lock()):
            known = await self._answers.recall(request_id)
            if known is None:
                result = await act()
                await self._answers.remember(request_id, content, result)
                return result
            if known[0] != content:
                raise reused(request_id)
            return known[1]


def derived_id(request_id: str) -> str:
    """The same for the same request. What is made under it is found again when the process that made it died
    before it could remember that.
    """
    return hashlib.sha256(request_id.encode()).hexdigest()[:24]


def reused(request_id: str) -> FxError:
    """The error of an id that came with another request before."""
    detail = f"request_id {request_id} was used for a different request"
    return FxError(Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED", detail)
