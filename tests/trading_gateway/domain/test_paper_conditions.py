"""The paper venue with its faults on: each alone, worked out by hand, then all of them at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.errors import FxError
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.conditions import PPM, Conditions
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import OrderStatus, OrderType, TimeInForce
from tests.trading_gateway.domain.test_whole_runs import RULES, Walk, books, events, ticks_of
from tests.trading_gateway.kit import SECOND, Floor, open_floor

GOOD = ("1.10000", "1.10010")
ALL = PPM
MIXED = Conditions(
    seed=7,
    slippage_ticks=3,
    latency_ns=2 * SECOND,
    partial_ppm=300_000,
    reject_ppm=50_000,
    lost_ppm=100_000,
    unanswered_ppm=100_000,
)


def floor_under(conditions: Conditions) -> Floor:
    return open_floor(GOOD, rules=Rules(paper=conditions))


def now(floor: Floor, order: Order) -> Order:
    return floor.engine.book.order(order.order_id)


def waiting_buy(floor: Floor, key: str = "a") -> Order:
    return floor.buy(key, type_=OrderType.LIMIT, limit="1.09990")


# Refusals, slippage, parts, latency


def test_a_venue_that_refuses_gives_its_reason() -> None:
    floor = floor_under(Conditions(reject_ppm=ALL))
    refused = floor.buy("a")
    assert (refused.status, refused.reason, refused.fills) == (OrderStatus.REJECTED, "VENUE_REJECTED", 0)


def test_fills_at_market_slip_by_up_to_the_most_and_limits_do_not() -> None:
    floor = floor_under(Conditions(slippage_ticks=3))
    bought = [floor.buy(f"b{number}", "1000").notional // 1_000_00 for number in range(12)]
    sold = [floor.sell(f"s{number}", "1000").notional // 1_000_00 for number in range(12)]
    assert set(bought) == {110_010, 110_011, 110_012, 110_013}
    assert set(sold) == {110_000, 109_999, 109_998, 109_997}
    limited = floor.buy("l", "1000", type_=OrderType.LIMIT, limit="1.10010")
    assert limited.notional == 1_000_00 * 110_010


def test_a_fill_in_part_leaves_the_rest_to_work_or_to_be_cancelled() -> None:
    floor = floor_under(Conditions(partial_ppm=ALL))
    at_once = floor.buy("a")
    assert (at_once.status, at_once.reason) == (OrderStatus.CANCELLED, "IOC_REMAINDER")
    assert 1_000_00 <= at_once.filled <= 9_000_00
    assert at_once.filled % 1_00 == 0  # whole units

    order = waiting_buy(floor, "b")
    sizes = []
    for _ in range(200):
        floor.tick(("1.09980", "1.09990"))
        sizes.append(now(floor, order).filled)
        if now(floor, order).final:
            break
    assert now(floor, order).status is OrderStatus.FILLED
    assert len(sizes) > 2
    assert sizes == sorted(set(sizes))


def test_a_fill_or_kill_order_is_not_filled_in_parts() -> None:
    floor = floor_under(Conditions(partial_ppm=ALL))
    assert floor.buy("a", tif=TimeInForce.FOK).status is OrderStatus.FILLED


def test_an_order_misses_the_quotes_of_its_latency() -> None:
    floor = floor_under(Conditions(latency_ns=2 * SECOND))
    order = floor.buy("a")
    assert (order.status, order.fills) == (OrderStatus.ACCEPTED, 0)
    floor.tick(("1.10020", "1.10030"))
    assert now(floor, order).fills == 0
    floor.tick(("1.10040", "1.10050"))
    assert now(floor, order).notional == 10_000_00 * 110_050


# Outcome unknown


def test_an_order_that_never_arrived_is_unknown_until_the_venue_is_asked_and_then_absent() -> None:
    floor = floor_under(Conditions(lost_ppm=ALL, settle_ns=5 * SECOND))
    order = floor.buy("a")
    assert (order.status, order.at_venue) == (OrderStatus.UNKNOWN, False)
    floor.tick(GOOD, GOOD, GOOD, GOOD)
    assert now(floor, order).status is OrderStatus.UNKNOWN
    floor.tick(GOOD)
    absent = now(floor, order)
    assert (absent.status, absent.reason, absent.fills) == (OrderStatus.REJECTED, "NOT_AT_VENUE", 0)
    assert absent.updated_ns == order.updated_ns + 5 * SECOND


def test_an_order_that_is_worked_unheard_is_found_when_the_venue_is_asked() -> None:
    floor = floor_under(Conditions(unanswered_ppm=ALL, settle_ns=2 * SECOND))
    order = waiting_buy(floor)
    assert order.status is OrderStatus.UNKNOWN
    floor.tick(GOOD, GOOD)
    found = now(floor, order)
    assert (found.status, found.at_venue, found.ask_ns) == (OrderStatus.ACCEPTED, True, None)
    floor.tick(("1.09980", "1.09990"))
    assert now(floor, order).status is OrderStatus.FILLED


def test_a_fill_of_an_order_nobody_answered_for_is_booked_and_ends_the_doubt() -> None:
    floor = floor_under(Conditions(unanswered_ppm=ALL))
    order = waiting_buy(floor)
    floor.tick(("1.09980", "1.09990"), sizes=(1, 4_000))
    part = now(floor, order)
    assert (part.status, part.filled, part.ask_ns) == (OrderStatus.PARTIALLY_FILLED, 4_000_00, None)
    floor.tick(("1.09980", "1.09990"))
    assert now(floor, order).status is OrderStatus.FILLED
    assert floor.engine.book.position("demo", "EURUSD").size == 10_000_00


@pytest.mark.parametrize(
    ("conditions", "ticks"), [(Conditions(lost_ppm=ALL), 5), (Conditions(unanswered_ppm=ALL), 0)]
)
def test_a_cancel_of_an_unknown_order_ends_it_once_the_venue_knows(
    conditions: Conditions, ticks: int
) -> None:
    floor = floor_under(conditions)
    order = waiting_buy(floor)
    with pytest.raises(FxError, match="ORDER_PENDING"):
        floor.amend(order, size=5_000_00)
    pending = floor.cancel(order)
    for _ in range(ticks):
        assert now(floor, order).status is OrderStatus.PENDING_CANCEL
        floor.tick(GOOD)
    assert now(floor, pending).status is OrderStatus.CANCELLED
    assert now(floor, pending).reason == "CANCELLED_BY_USER"


def test_an_unknown_order_is_asked_for_after_a_restart_too_and_never_sent_twice() -> None:
    floor = floor_under(Conditions(lost_ppm=ALL, settle_ns=3 * SECOND))
    order = waiting_buy(floor)
    floor.engine = _reborn(floor, order)
    assert floor.engine.resume() == []
    floor.tick(GOOD, GOOD, GOOD)
    assert now(floor, order).reason == "NOT_AT_VENUE"


def _reborn(floor: Floor, order: Order) -> Engine:
    """A new process on what is stored."""
    book = floor.engine.book
    saved = Saved(
        accounts=tuple(book.accounts.values()),
        orders=(now(floor, order),),
        sessions=tuple(book.markets.sessions.values()),
        feeds=tuple(feed.state for feed in book.markets.feeds.values()),
        order_number=book.order_number,
        journal_number=floor.engine.journal.number,
    )
    return Engine(floor.rules, floor.policy, saved)


# All at once


@pytest.mark.parametrize("seed", range(6))
def test_under_all_faults_the_books_reconcile_and_the_journal_gives_them_again(seed: int) -> None:
    rules = replace(RULES, paper=MIXED)
    floor = Walk(seed, rules=rules).run(250)
    book = floor.engine.book
    fills = [fill for changes in floor.stored for fill in changes.fills]
    transactions = [each for changes in floor.stored for each in changes.transactions]
    statuses = {order.status for changes in floor.stored for order in changes.orders.values()}
    assert OrderStatus.UNKNOWN in statuses
    for account in book.accounts.values():
        positions = {each.symbol: each for each in book.positions_of(account.account_id)}
        own = [fill for fill in fills if fill.account_id == account.account_id]
        posted = [each for each in transactions if each.account_id == account.account_id]
        assert reconcile(account, positions, own, posted).reconciled
    for order in book.working():
        assert order.ask_ns is None or order.ask_ns > _read_up_to(floor, order)

    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(rules, floor.policy, journal, ticks_of(floor.batches))
    stored = [again.take_changes()]
    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert events(stored) == events(floor.stored)


def _read_up_to(floor: Floor, order: Order) -> int:
    """Market time of the order's own symbol, whose ticks fire its timers."""
    feed = floor.engine.book.markets.feed(order.scope, order.symbol)
    assert feed is not None
    return feed.state.time_ns


def test_the_seed_decides_and_the_cut_of_batches_does_not() -> None:
    rules = replace(RULES, paper=MIXED)
    whole, cut, other = (
        Walk(3, rules=rules).run(150),
        Walk(3, 1, rules=rules).run(150),
        Walk(3, rules=replace(RULES, paper=replace(MIXED, seed=8))).run(150),
    )
    assert books(whole.engine.book, whole.stored) == books(cut.engine.book, cut.stored)
    assert books(whole.engine.book, whole.stored) != books(other.engine.book, other.stored)
