"""Ticks into the engine: timers first, then the quote, then the orders that wait for it.

A batch that nothing waits for is read at once; only where an order could fill or trigger, or a timer is due,
is it walked tick by tick. Both ways give the same books.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.market.ticks import TickBatch
from services.trading_gateway.domain import financing, margin_watch, matching, stop_out
from services.trading_gateway.domain.feeds import Feed
from services.trading_gateway.domain.inputs import AskDue, DayRolled, OrderDue
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.values import OrderStatus

if TYPE_CHECKING:
    from services.trading_gateway.domain.engine import Engine


def read(engine: Engine, batch: TickBatch, clock_ns: int) -> None:
    """As `Engine.read`."""
    session = engine.session(batch.session_id)
    feed = engine.book.markets.follow(session, batch.symbol)
    fresh = feed.fresh(batch)
    if len(fresh):
        if fresh.first_sequence != feed.state.sequence + 1:
            engine.journal.mark(feed)
            feed.begin(fresh)
        _take(engine, feed, fresh)
    # A replay's time is its ticks': a clock that runs on between them depends on how fast they were sent.
    if engine.live and session.scope == LIVE and clock_ns > feed.state.time_ns:
        _fire_timers(engine, feed, clock_ns)
        feed.reach(clock_ns)


def _take(engine: Engine, feed: Feed, fresh: TickBatch) -> None:
    if not engine.live or _nothing_waits(engine, feed, fresh):
        feed.skip(fresh, 0, len(fresh))
        engine.journal.note_read(feed)
        return
    lane = engine.book.lane(feed.state.scope, feed.state.symbol)
    for index, time_ns in enumerate(fresh.times_ns):
        _fire_timers(engine, feed, time_ns)
        feed.take(fresh, index)
        engine.journal.note_read(feed)  # anew for each tick: what came of the one before was journalled
        for order in list(lane.values()):
            engine.match(order.order_id)
        stop_out.watch(engine, feed.state.scope, feed.state.symbol, feed.state.time_ns)


def _nothing_waits(engine: Engine, feed: Feed, fresh: TickBatch) -> bool:
    last_ns, scope = fresh.times_ns[-1], feed.state.scope
    if any(
        each.session_id == scope and each.day_roll_ns <= last_ns for each in engine.book.accounts.values()
    ):
        return False
    extremes = matching.Extremes.of(fresh)
    if not all(
        margin_watch.safe(engine.book, each, extremes)
        for each in margin_watch.watched(engine.book, scope, feed.state.symbol)
    ):
        return False
    lane = engine.book.lane(scope, feed.state.symbol)
    if not lane:
        return True
    return not any(
        any(due_ns <= last_ns for due_ns, _ in _timers(engine, order))
        or (engine.works(order) and matching.may_touch(order, extremes))
        for order in lane.values()
    )


def _fire_timers(engine: Engine, feed: Feed, time_ns: int) -> None:
    """Fire what is due at `time_ns` or before, before the tick of that time is read; earliest first."""
    while (due := _next_due(engine, feed, time_ns)) is not None:
        if isinstance(due, DayRolled):
            engine.roll_day(financing.due(engine.book, due.account_id, due.time_ns))
        else:
            engine.apply(due)


def _next_due(engine: Engine, feed: Feed, time_ns: int) -> DayRolled | OrderDue | AskDue | None:
    """The earliest timer due; days roll before orders expire, orders expire in the order of placing, and one
    that expires need not be asked for.
    """
    scope, symbol = feed.state.scope, feed.state.symbol
    days = [
        (each.day_roll_ns, 0, DayRolled, each.account_id)
        for each in engine.book.accounts.values()
        if each.session_id == scope and each.day_roll_ns <= time_ns
    ]
    orders = [
        (due_ns, each.number, timer, each.order_id)
        for each in engine.book.lane(scope, symbol).values()
        for due_ns, timer in _timers(engine, each)
        if due_ns <= time_ns
    ]
    if not days and not orders:
        return None
    due_ns, _, timer, key = min([*days, *orders], key=lambda each: each[:2])
    return timer(due_ns, key)


def _timers(engine: Engine, order: Order) -> Iterator[tuple[int, type[OrderDue | AskDue]]]:
    """When an order expires and is asked for. A venue outside ends what it works by itself, and is asked in
    wall time.
    """
    here = engine.book.on_paper(order)
    if order.expires_ns is not None and (here or order.status is OrderStatus.HELD):
        yield order.expires_ns, OrderDue
    if order.ask_ns is not None and here:
        yield order.ask_ns, AskDue
