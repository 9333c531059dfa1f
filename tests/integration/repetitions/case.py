"""What cases are written with: the platform's services, and a method that is sent the same thing again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import Message

from tests.kit.live import LivePlatform

Count: TypeAlias = Callable[[], Awaitable[Any]]
Case: TypeAlias = "Callable[[Platform, Twice], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform and stubs of its services by area, typed as they are at run time."""

    live: LivePlatform
    trading: Any
    marketdata: Any
    pipeline: Any
    inference: Any
    workbench: Any
    monitoring: Any

    def method(self, path: str) -> Any:
        """What calls `/fxmesh.<area>.v1.<Service>/<Method>`."""
        service, _, name = path.rpartition("/")
        return getattr(getattr(self, service.split(".")[1]), name)


def key() -> str:
    """A key that was never used."""
    return uuid.uuid4().hex


class Twice:
    """Sends a request of one method again. What a client stream is sent is the list of its messages."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.sent = False
        """A request was sent, answered, sent again and answered again."""

    async def __call__(self, request: Any, count: Count, effects: int = 1) -> Any:
        """Two at once, as by a caller who lost patience, and one more: the count has changed by `effects`.

        The first answer.
        """
        before = await count()
        first, second = await asyncio.gather(self._send(request), self._send(request))
        assert await count() == before + effects
        third = await self._send(request)
        assert await count() == before + effects
        assert type(first) is type(second) is type(third)
        self.sent = True
        return first

    async def late(self, request: Any, meanwhile: Callable[[], Awaitable[Any]], state: Count) -> None:
        """Once, and again after something else was done: what that led to stays."""
        await self._send(request)
        await meanwhile()
        after = await state()
        await self._send(request)
        assert await state() == after
        self.sent = True

    async def _send(self, request: Any) -> Any:
        return await self._call(request if isinstance(request, Message) else iter(request))
