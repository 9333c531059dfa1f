"""Quotes of symbols that the caller changes while they flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

from services.market_data.domain.quotes import Quote

Quotes = AsyncIterator[Quote | None]
T = TypeVar("T")


async def follow(wanted: AsyncIterator[Sequence[str]], quotes: Callable[[Sequence[str]], Quotes]) -> Quotes:
    """What `quotes` gives of the latest of `wanted`: each replaces the one before, an empty one pauses.

    Ends with `wanted`, and raises what reading it raises.
    """
    flow: Quotes | None = None
    coming: asyncio.Task[Quote | None] | None = None
    asked = _next(wanted)
    try:
        while True:
            await asyncio.wait(
                {asked} if coming is None else {asked, coming}, return_when=asyncio.FIRST_COMPLETED
            )
            if asked.done():
                symbols = asked.result()
                if symbols is None:
                    return
                await _leave(flow, coming)
                flow = quotes(symbols) if symbols else None
                asked = _next(wanted)
            elif coming is not None:
                yield coming.result()
            coming = None if flow is None else _next(flow)
    finally:
        await _leave(wanted, asked)
        await _leave(flow, coming)


def _next(source: AsyncIterator[T]) -> asyncio.Task[T | None]:
    """The next of a source on its way; None at its end."""
    return asyncio.ensure_future(anext(source, None))


async def _leave(source: AsyncIterator[object] | None, coming: asyncio.Task[T] | None) -> None:
    """Read no more: a subscription left open would gather quotes for nobody."""
    if coming is not None:
        coming.cancel()
        await asyncio.wait({coming})
        if not coming.cancelled():
            coming.exception()  # seen: nobody asks for it any more
    if isinstance(source, AsyncGenerator):
        await source.aclose()
