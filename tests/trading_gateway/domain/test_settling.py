"""Fills into money: conversion, rounding, commission, ledger, and one effect per execution."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import pytest

from services.errors import FxError
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.events import (
    AccountChanged,
    OrderChanged,
    OrderStep,
    PositionChanged,
    TradeExecuted,
)
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.inputs import OpenAccount, PlaceOrder, SessionStarted
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order, Terms
from services.trading_gateway.domain.reports import Accepted, Ended, Executed, OrderReport
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.valuation import account_view, exposures
from services.trading_gateway.domain.values import LedgerKind, OrderStatus, OrderType, Side, TimeInForce
from tests.trading_gateway.kit import LIVE_SESSION, START, Floor, batch, open_floor

GOOD = ("1.10000", "1.10010")


def ledger(floor: Floor) -> list[LedgerEntry]:
    return [entry for changes in floor.stored for entry in changes.ledger]


def fills(floor: Floor) -> list[Fill]:
    return [fill for changes in floor.stored for fill in changes.fills]


def test_profit_in_the_account_currency_is_posted_as_it_is() -> None:
    floor = open_floor(GOOD)
    floor.buy("a", "10000")
    floor.tick(("1.10123", "1.10133"))
    floor.sell("b", "10000")

    assert [(entry.kind, entry.amount, entry.balance) for entry in ledger(floor)] == [
        (LedgerKind.DEPOSIT, 10_000_000, 10_000_000),
        (LedgerKind.REALISED_PROFIT, 1_130, 10_001_130),
    ]
    assert floor.account().balance == 10_001_130
    assert fills(floor)[-1].rate == "1/1"


@pytest.mark.parametrize(("currency", "profit", "margin"), [("USD", 1_700, 117_600), ("EUR", 1_545, 106_910)])
def test_gold_is_margined_and_settled_in_its_quote_currency(currency: str, profit: int, margin: int) -> None:
    """10 oz bought at 2350.30, sold at 2352.00: 17.00 USD; 5 % of 23,520.00 USD held in between."""
    floor = Floor()
    floor.announce(Session("syn-1", replay=False, symbols=("EURUSD", "XAUUSD"), always_open=True))
    floor.open(currency=currency)
    floor.tick(GOOD)
    floor.tick(("2350.000", "2350.300"), symbol="XAUUSD")
    floor.buy("a", "10", symbol="XAUUSD")
    floor.tick(("2352.000", "2352.300"), symbol="XAUUSD")

    view = account_view(floor.engine.book, floor.account())
    assert (view.unrealised, view.margin) == (profit, margin)
    held = exposures(floor.engine.book, floor.engine.book.positions_of("demo"), "")
    assert {code: each.raw / 10**each.digits for code, each in held.items()} == {"XAU": 10, "USD": -23_520}
    floor.sell("b", "10", symbol="XAUUSD")
    assert ledger(floor)[-1].amount == profit


def test_a_gain_is_sold_and_a_loss_is_bought() -> None:
    floor = open_floor(GOOD)
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    floor.buy("a", "10000", symbol="USDJPY")
    floor.tick(("110.500", "110.510"), symbol="USDJPY")
    floor.sell("b", "10000", symbol="USDJPY")  # +4,900 JPY, sold: 4,900 / 110.510
    floor.buy("c", "10000", symbol="USDJPY")
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    floor.sell("d", "10000", symbol="USDJPY")  # -5,100 JPY, bought: 5,100 / 110.000

    gain, loss = ledger(floor)[1:]
    assert (gain.amount, gain.source_amount, gain.source_currency) == (4_434, "4900", "JPY")
    assert loss.amount == -4_636
    assert fills(floor)[1].path == "1/USDJPY ask 110.510 #2"
    assert fills(floor)[3].path == "1/USDJPY bid 110.000 #3"
    assert fills(floor)[1].rate == "100/11051"


def test_profit_in_a_third_currency_goes_through_two_steps() -> None:
    floor = Floor()
    floor.announce()
    floor.open("pounds", currency="GBP")
    floor.tick(GOOD)
    floor.tick(("0.80000", "0.80010"), symbol="EURGBP")
    floor.tick(("121.000", "121.010"), symbol="EURJPY")
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    floor.place("a", Side.BUY, "10000", symbol="USDJPY", account="pounds")
    floor.tick(("110.500", "110.510"), symbol="USDJPY")
    floor.place("b", Side.SELL, "10000", symbol="USDJPY", account="pounds")

    # 4,900 JPY / 121.010 × 0.80000, rounded half-even to the penny
    assert floor.account("pounds").realised == round(Fraction(490_000 * 1_000 * 80_000, 121_010 * 100_000))
    assert fills(floor)[-1].path == "1/EURJPY ask 121.010 #1, EURGBP bid 0.80000 #1"


def test_commission_is_charged_on_the_notional_and_rounded_half_even() -> None:
    floor = open_floor(GOOD, rules=Rules(commission_per_million=Fraction(35)))
    floor.buy("a", "10000")  # 11,001.00 × 35 / 1,000,000 = 0.385035
    charge = ledger(floor)[-1]

    assert (charge.kind, charge.amount) == (LedgerKind.COMMISSION, -39)
    assert (charge.source_amount, charge.source_currency) == ("-0.385035", "USD")
    assert (floor.account().commission, floor.account().balance) == (39, 9_999_961)


def test_a_fill_that_turns_a_position_realises_what_it_closed() -> None:
    floor = open_floor(GOOD)
    floor.buy("a", "10000")
    floor.tick(("1.10110", "1.10120"))
    floor.sell("b", "30000")
    floor.tick(("1.10000", "1.10010"))
    floor.buy("c", "20000")

    assert [fill.closed for fill in fills(floor)] == [0, 10_000_00, 20_000_00]
    assert [fill.realised for fill in fills(floor)] == [0, 1_000, 2_000]
    assert floor.engine.book.position("demo", "EURUSD").flat


def test_what_one_step_tells_the_world() -> None:
    floor = open_floor(GOOD)
    already = sum(len(changes.events) for changes in floor.stored)
    order = floor.buy("a", "10000")
    events = [event for changes in floor.stored for event in changes.events][already:]

    assert [type(event) for event in events] == [
        OrderChanged, OrderChanged, TradeExecuted, PositionChanged, AccountChanged,
    ]  # fmt: skip
    placed, accepted, traded, moved, account = events
    assert isinstance(placed, OrderChanged) and isinstance(accepted, OrderChanged)
    assert (placed.step, placed.order.revision) == (OrderStep.PLACED, 1)
    assert (accepted.step, accepted.order.revision) == (OrderStep.ACCEPTED, 2)
    assert isinstance(traded, TradeExecuted) and traded.order == order and order.revision == 3
    assert isinstance(moved, PositionChanged) and moved.view.unrealised == -100
    assert isinstance(account, AccountChanged) and account.view.equity == 9_999_900
    assert account.view.margin == 36_630  # 10,000 × 1.10000 × 3.33 %


def test_the_intent_is_committed_before_the_venue_hears_of_it() -> None:
    floor = open_floor(GOOD)
    floor.buy("a")
    first, second = floor.stored[-2:]

    assert [order.status for order in first.orders.values()] == [OrderStatus.PLACED]
    assert first.requests and not first.fills
    assert second.fills and not second.requests


def waiting_order() -> tuple[Engine, Order]:
    """An engine without a venue of its own, and an order of 100 units that it was asked to place."""
    engine = Engine(Rules(), Floor().policy, live=False)
    engine.session_started(SessionStarted(START, LIVE_SESSION))
    engine.read(batch([GOOD]), 0)
    engine.open_account(OpenAccount(START, "demo", "USD", 10_000_000, False))
    terms = Terms("EURUSD", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100_00, limit=110_000)
    return engine, engine.place(PlaceOrder(START, "demo", "a", terms))


def execution(order: Order, number: int, size: int, price: int) -> Executed:
    return Executed(START + number, order.order_id, f"x{number}", size, price, "syn-1", 1)


def test_fills_acceptance_and_cancel_in_any_order_and_doubled_end_the_same() -> None:
    outcomes = set()
    _, order = waiting_order()
    reports: list[OrderReport] = [
        Accepted(START, order.order_id),
        execution(order, 1, 30_00, 110_000),
        execution(order, 2, 50_00, 109_999),
        Ended(START + 9, order.order_id, OrderStatus.CANCELLED, "CANCELLED_BY_USER", ""),
    ]
    for arrangement in permutations(reports):
        engine, _ = waiting_order()
        for report in (*arrangement, *reversed(arrangement)):
            engine.report(report)
        done = engine.book.order(order.order_id)
        position = engine.book.position("demo", "EURUSD")
        outcomes.add((done.status, done.filled, done.notional, done.fills, position.size, position.cost))

    assert outcomes == {
        (
            OrderStatus.CANCELLED,
            80_00,
            30_00 * 110_000 + 50_00 * 109_999,
            2,
            80_00,
            30_00 * 110_000 + 50_00 * 109_999,
        )
    }


def test_an_order_whose_late_fills_complete_it_is_filled_whatever_was_said_before() -> None:
    engine, order = waiting_order()
    engine.report(Ended(START, order.order_id, OrderStatus.CANCELLED, "CANCELLED_BY_USER", ""))
    engine.report(execution(order, 1, 40_00, 110_000))
    assert engine.book.order(order.order_id).status is OrderStatus.CANCELLED
    engine.report(execution(order, 2, 60_00, 110_000))

    done = engine.book.order(order.order_id)
    assert (done.status, done.reason) == (OrderStatus.FILLED, "")


def test_a_fill_of_an_order_long_over_is_booked_once_it_is_read_back() -> None:
    engine, order = waiting_order()
    engine.report(execution(order, 1, 40_00, 110_000))
    engine.report(Ended(START, order.order_id, OrderStatus.CANCELLED, "CANCELLED_BY_USER", ""))
    engine.book.forget_finished(keep=0)
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        engine.report(execution(order, 2, 60_00, 110_000))

    stored = engine.take_changes().orders[order.order_id]
    engine.book.adopt(stored, ["x1"])
    engine.report(execution(order, 1, 40_00, 110_000))
    engine.report(execution(order, 2, 60_00, 110_000))

    assert engine.book.order(order.order_id).status is OrderStatus.FILLED
    assert engine.book.position("demo", "EURUSD").size == 100_00
