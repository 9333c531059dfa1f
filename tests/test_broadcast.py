"""Broadcast: order, newest-wins, heartbeats, slow readers, the end."""

import pytest

from services.broadcast import Broadcast
from services.errors import FxError


async def test_items_reach_every_reader_in_order() -> None:
    broadcast: Broadcast[int] = Broadcast()
    every, even = broadcast.subscribe(), broadcast.subscribe(lambda item: item % 2 == 0)
    for item in (1, 2, 3, 4):
        broadcast.publish(item)
    assert [await anext(every) for _ in range(4)] == [1, 2, 3, 4]
    assert [await anext(even) for _ in range(2)] == [2, 4]


async def test_a_slow_reader_of_quotes_skips_to_the_newest_of_each_key() -> None:
    broadcast: Broadcast[tuple[str, int]] = Broadcast()
    stream = broadcast.subscribe(first=[("a", 0)], keep_latest_by=lambda item: item[0])
    assert await anext(stream) == ("a", 0)
    for item in (("a", 1), ("b", 1), ("a", 2)):
        broadcast.publish(item)
    assert [await anext(stream), await anext(stream)] == [("a", 2), ("b", 1)]


async def test_silence_gives_heartbeats() -> None:
    broadcast: Broadcast[int] = Broadcast()
    stream = broadcast.subscribe(heartbeat_s=0.01)
    assert await anext(stream) is None


async def test_a_reader_that_falls_behind_is_told() -> None:
    broadcast: Broadcast[int] = Broadcast()
    stream = broadcast.subscribe(first=[0], room=2)
    assert await anext(stream) == 0
    for item in (1, 2, 3):
        broadcast.publish(item)
    assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(FxError, match="behind"):
        await anext(stream)
    assert len(broadcast) == 0


async def test_close_ends_streams_after_what_waits() -> None:
    broadcast: Broadcast[int] = Broadcast()
    stream = broadcast.subscribe(first=[7])
    assert await anext(stream) == 7
    broadcast.publish(8)
    broadcast.close()
    assert [item async for item in stream] == [8]
