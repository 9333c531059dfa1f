"""What a restart reads: orders at work and what belongs to them, whatever the years before have left."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import FxError
from services.runtime.clock import EventClock
from services.runtime.store import SqliteStore, _raw
from services.trading_gateway.domain.order_rate import SECOND_NS
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from tests.trading_gateway.kit import START
from tests.trading_gateway.world import World

BOUNDED = ("accounts", "positions", "limits", "standing", "sessions", "feeds", "venue_cursors")
"""Tables that orders do not make longer."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_restart_looks_for_open_orders_by_index(world: World) -> None:
    await world.start()
    statements: list[str] = []
    assert isinstance(world.database, SqliteStore)
    raw = _raw(world.database._read_connection)
    raw.set_trace_callback(statements.append)
    await world.store.load()
    await world.store.stories()
    raw.set_trace_callback(None)

    asked = [each for each in statements if each.startswith("SELECT")]
    plans = {each: [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {each}")] for each in asked}

    def whole(step: str) -> bool:
        """Reads every row of a table that grows; an index alone is a fraction of it, and some have only
        what is open.
        """
        table, *using = step.removeprefix("SCAN ").split(" USING ")
        short = table in BOUNDED or using == ["INDEX tickets_open"]
        return step.startswith("SCAN ") and "COVERING INDEX" not in step and not short

    assert any("orders" in each for each in asked)
    assert {each: plan for each, plan in plans.items() if any(map(whole, plan))} == {}
    await world.stop()


async def test_ended_orders_stay_in_the_store_and_their_keys_are_known(world: World) -> None:
    await world.start()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    done = await world.place("done", Side.BUY)
    works = await world.place("works", Side.BUY, type_=OrderType.LIMIT, limit="1.09000")
    await world.restart()

    assert list(world.desk.engine.book.orders) == [works.order_id]
    again = await world.place("done", Side.BUY)
    assert (again, again.status) == (done, OrderStatus.FILLED)
    await world.stop()


async def test_an_answer_shows_the_order_as_it_is_stored(world: World) -> None:
    await world.start()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    placed = await world.place("a", Side.BUY)

    assert placed.status is OrderStatus.FILLED
    assert placed == await world.store.order(placed.order_id)
    await world.stop()


async def test_a_restart_goes_on_with_the_orders_of_the_last_second(world: World) -> None:
    world.clock = EventClock(START + 1_000 * SECOND_NS)
    await world.start()
    with pytest.raises(FxError, match="FEED_STALE"):
        await world.place("early", Side.BUY)  # its time is the clock's: nothing of a market was heard
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    before = await world.place("before", Side.BUY)
    await world.tick(*(("1.10000", "1.10010"),) * 2)
    last = [await world.place(key, Side.BUY) for key in "ab"]
    early = world.desk.engine.book.find("demo", "early")
    assert early is not None
    assert before.created_ns <= last[0].created_ns - SECOND_NS
    assert early.created_ns > last[-1].created_ns

    def lately() -> int:
        return world.desk.engine.book.order_rate.lately("demo", last[-1].created_ns)

    assert lately() == len(last)
    await world.restart()
    assert lately() == len(last)
    await world.stop()
