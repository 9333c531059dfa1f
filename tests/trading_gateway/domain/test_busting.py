"""Executions that their venue takes back: the books are what they would be without, to the last digit."""

from __future__ import annotations

from fractions import Fraction

import pytest

from services.errors import FxError
from services.trading_gateway.domain.events import TradeExecuted
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.ids import bust_id
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reconcile import Reconciliation, reconcile
from services.trading_gateway.domain.reports import Executed
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.transactions import TransactionKind
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode
from tests.trading_gateway.domain.test_whole_runs import same_again
from tests.trading_gateway.kit import Floor

CHARGED = Rules(commission_per_million=Fraction(35))
DEPOSIT = 10_000_000
DEEP = (1_000_000, 1_000_000)


def floor_of(
    rules: Rules = CHARGED, *, currency: str = "USD", mode: PositionMode = PositionMode.NETTING
) -> Floor:
    floor = Floor(rules)
    floor.announce()
    floor.open(currency=currency, mode=mode)
    floor.tick(("1.10000", "1.10000"), sizes=DEEP)
    return floor


def at(floor: Floor, price: str) -> None:
    """The market is there, and tradable: a price that jumped is borne out by the next tick."""
    floor.tick((price, price), (price, price), sizes=DEEP)


def proof(floor: Floor) -> Reconciliation:
    """The books against fills and postings; that the journal gives them again is part of it."""
    positions = {each.name: each for each in floor.engine.book.positions_of("demo")}
    fills = [each for changes in floor.stored for each in changes.fills]
    posted = [each for changes in floor.stored for each in changes.transactions]
    found = reconcile(floor.account(), positions, fills, posted)
    assert found.reconciled, [each for each in found.lines if not each.equal]
    same_again(floor, floor.rules)
    return found


def held(floor: Floor, position_id: str = "") -> Position:
    return floor.engine.book.position("demo", "EURUSD", position_id)


def fills_of(floor: Floor) -> list[Fill]:
    return [each for changes in floor.stored for each in changes.fills]


def first(order: Order) -> str:
    """Its first execution on paper."""
    return f"{order.order_id}-1"


def figures(floor: Floor) -> tuple[int, int, int, int, int, int]:
    account, position = floor.account(), held(floor)
    return (
        account.balance,
        account.realised,
        account.commission,
        position.size,
        position.cost,
        position.realised_quote,
    )


def test_of_an_open_position_nothing_stays() -> None:
    floor = floor_of()
    order = floor.buy("a")
    assert floor.account().balance == DEPOSIT - 38  # 11,000 × 35 / 1,000,000
    after = floor.bust(order, first(order))
    assert (after.status, after.reason, after.filled, after.notional) == (
        OrderStatus.CANCELLED,
        "BUSTED",
        0,
        0,
    )
    assert figures(floor) == (DEPOSIT, 0, 0, 0, 0, 0)
    assert proof(floor).balances == (
        ("cash", "USD", Fraction(100_000)),
        ("funding", "USD", Fraction(-100_000)),
    )
    taken, reversal = fills_of(floor)
    assert (reversal.execution_id, reversal.busts) == (bust_id(taken.execution_id), taken.execution_id)
    assert reversal.signed_size == -taken.signed_size


def test_told_again_it_changes_nothing() -> None:
    floor = floor_of()
    order = floor.buy("a")
    floor.bust(order, first(order))
    before = figures(floor)
    for _ in range(3):
        floor.bust(order, first(order))
    assert figures(floor) == before
    assert len(fills_of(floor)) == 2
    proof(floor)


def test_the_average_of_what_is_left_is_that_of_its_own_fills() -> None:
    floor = floor_of()
    order = floor.buy("a")
    at(floor, "1.12000")
    floor.buy("b")
    floor.bust(order, first(order))
    # Not 1.11, which both came to; and no loss of 100, as a sale at 1.10 would have made.
    assert (held(floor).size, held(floor).cost) == (1_000_000, 1_000_000 * 112_000)
    assert floor.account().realised == 0
    assert floor.account().balance == DEPOSIT - 39
    proof(floor)


def test_a_partly_filled_order_works_again_what_was_taken_back() -> None:
    floor = floor_of()
    floor.tick(("1.10000", "1.10010"), sizes=(4_000, 4_000))
    order = floor.buy("a", "10000", type_=OrderType.LIMIT, limit="1.10010")
    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, 4_000_00)
    order = floor.bust(order, first(order))
    assert (order.status, order.filled, order.remaining) == (OrderStatus.ACCEPTED, 0, 10_000_00)
    assert floor.engine.book.adding("demo", "EURUSD", order.side) == 10_000_00
    floor.tick(("1.10000", "1.10010"), sizes=(20_000, 20_000))
    order = floor.engine.book.order(order.order_id)
    assert (order.status, order.filled) == (OrderStatus.FILLED, 10_000_00)
    assert held(floor).size == 10_000_00
    proof(floor)


def test_an_order_that_was_filled_works_again_where_the_venue_says_so() -> None:
    floor = floor_of()
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.10010")
    order = floor.bust(order, first(order), over=False)
    assert (order.status, order.reason, order.filled) == (OrderStatus.ACCEPTED, "", 0)
    floor.engine.book.forget_finished(0)
    assert floor.engine.book.working("demo") == [order]
    at(floor, "1.09990")
    order = floor.engine.book.order(order.order_id)
    assert (order.status, held(floor).size) == (OrderStatus.FILLED, 1_000_000)
    proof(floor)


def test_the_close_of_a_position_taken_back_opens_it_again_at_its_cost() -> None:
    floor = floor_of()
    floor.buy("a")
    at(floor, "1.11000")
    close = floor.sell("b")
    assert floor.account().realised == 10_000
    floor.bust(close, first(close))
    assert figures(floor) == (DEPOSIT - 38, 0, 38, 1_000_000, 1_000_000 * 110_000, 0)
    proof(floor)


def test_the_opening_of_a_closed_position_taken_back_leaves_what_closed_it_open() -> None:
    floor = floor_of()
    opened = floor.buy("a")
    at(floor, "1.11000")
    floor.sell("b")
    floor.bust(opened, first(opened))
    # It closed nothing: it is a short position at its own price, and the profit on it was none.
    assert figures(floor) == (DEPOSIT - 39, 0, 39, -1_000_000, -1_000_000 * 111_000, 0)
    kinds = [each.kind for changes in floor.stored for each in changes.transactions]
    assert kinds.count(TransactionKind.BUST) == 2
    proof(floor)


def test_profit_of_later_fills_is_that_of_what_they_closed_without_it() -> None:
    floor = floor_of()
    taken = floor.buy("a")
    at(floor, "1.12000")
    floor.buy("b")
    at(floor, "1.13000")
    floor.sell("c", "15000")
    assert floor.account().realised == 15_000 * 2  # of 1.11, the average
    floor.bust(taken, first(taken))
    # b: 10,000 at 1.12, closed at 1.13; the other 5,000 of c are short at 1.13.
    assert floor.account().realised == 10_000
    assert (held(floor).size, held(floor).cost) == (-500_000, -500_000 * 113_000)
    proof(floor)


def test_what_was_converted_goes_back_at_the_rate_of_then() -> None:
    floor = floor_of(currency="GBP")
    floor.tick(("0.80000", "0.80010"), symbol="EURGBP")
    floor.buy("a")
    at(floor, "1.11000")
    close = floor.sell("b")
    before = floor.account()
    assert before.realised
    floor.tick(("0.90000", "0.90010"), ("0.90000", "0.90010"), symbol="EURGBP")
    floor.bust(close, first(close))
    after = floor.account()
    assert after.realised == 0
    (charged,) = (each.commission for each in fills_of(floor) if each.order_id != close.order_id)
    assert after.balance == DEPOSIT - charged
    assert after.commission == charged
    proof(floor)


def test_a_bust_that_comes_first_waits_for_its_execution() -> None:
    floor = floor_of()
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09000")
    for _ in range(2):
        floor.bust(order, "late-1")
    assert [each for each, _ in floor.account().busts] == ["late-1"]
    assert fills_of(floor) == []
    filled = Executed(floor.now_ns, order.order_id, "late-1", 1_000_000, 109_000, commission=250)
    for _ in range(2):
        floor.report(filled)
    after = floor.engine.book.order(order.order_id)
    assert (after.status, after.reason, after.filled) == (OrderStatus.CANCELLED, "BUSTED", 0)
    assert floor.account().busts == ()
    assert figures(floor) == (DEPOSIT, 0, 0, 0, 0, 0)
    assert len(fills_of(floor)) == 2
    proof(floor)


def test_cash_that_is_no_amount_is_refused_and_nothing_has_changed() -> None:
    floor = floor_of()
    order = floor.buy("a")
    before = floor.account(), order
    for execution in (first(order), "never-told"):
        with pytest.raises(FxError) as refused:
            floor.bust(order, execution, cash="1e5")
        assert refused.value.reason == "VALIDATION_FAILED"
        assert (floor.account(), floor.engine.book.order(order.order_id)) == before
    proof(floor)


def test_a_correction_is_a_bust_and_another_execution_in_whatever_order() -> None:
    orders: list[tuple[OrderStatus, int, int]] = []
    for swapped in (False, True):
        floor = floor_of()
        order = floor.buy("a")
        corrected = Executed(floor.now_ns, order.order_id, "corrected", 1_000_000, 109_500)
        if swapped:
            floor.report(corrected)
            floor.bust(order, first(order))
        else:
            floor.bust(order, first(order))
            floor.report(corrected)
        after = floor.engine.book.order(order.order_id)
        assert (held(floor).size, held(floor).cost) == (1_000_000, 1_000_000 * 109_500)
        orders.append((after.status, after.filled, after.notional))
        proof(floor)
    assert orders == [(OrderStatus.FILLED, 1_000_000, 1_000_000 * 109_500)] * 2


def test_what_the_venue_says_that_it_moved_is_what_moves() -> None:
    floor = floor_of(Rules())
    opened = floor.buy("a", type_=OrderType.LIMIT, limit="1.09000")
    told = Executed(floor.now_ns, opened.order_id, "x-1", 1_000_000, 109_000, cash="-1.2345")
    floor.report(told)
    assert (floor.account().balance, floor.account().fraction) == (DEPOSIT - 123, "-0.0045")
    floor.bust(opened, "x-1", cash="1.0001")
    assert (floor.account().balance, floor.account().fraction) == (DEPOSIT - 23, "-0.0044")
    proof(floor)


def test_without_a_word_of_it_what_the_execution_moved_goes_back() -> None:
    floor = floor_of(Rules())
    opened = floor.buy("a", type_=OrderType.LIMIT, limit="1.09000")
    floor.report(Executed(floor.now_ns, opened.order_id, "x-1", 1_000_000, 109_000, cash="-1.2345"))
    floor.bust(opened, "x-1")
    assert (floor.account().balance, floor.account().fraction) == (DEPOSIT, "0")
    assert floor.account().adjusted == 0
    proof(floor)


def test_a_gain_that_is_taken_back_is_a_loss_of_the_day() -> None:
    floor = floor_of(Rules())
    floor.buy("a", "90000")
    at(floor, "1.11000")
    close = floor.sell("b", "90000")
    peak = floor.account().peak_equity
    at(floor, "1.09000")
    floor.bust(close, first(close))
    account = floor.account()
    assert account.balance == DEPOSIT
    assert (account.day_start_equity, account.peak_equity) == (DEPOSIT, peak)


def test_a_ticket_that_is_open_and_one_that_is_closed() -> None:
    floor = floor_of(mode=PositionMode.HEDGING)
    one = floor.buy("a")
    other = floor.sell("b")
    at(floor, "1.11000")
    close = floor.sell("c", position=one.order_id, reduce_only=True)
    assert (held(floor, one.order_id).size, floor.account().realised) == (0, 10_000)
    floor.bust(other, first(other))
    assert held(floor, other.order_id).flat
    assert floor.account().realised == 10_000
    floor.bust(close, first(close))
    assert (held(floor, one.order_id).size, held(floor, one.order_id).cost) == (
        1_000_000,
        1_000_000 * 110_000,
    )
    assert floor.account().realised == 0
    proof(floor)


def test_a_closed_ticket_whose_opening_is_taken_back_holds_what_closed_it() -> None:
    floor = floor_of(mode=PositionMode.HEDGING)
    opened = floor.buy("a")
    at(floor, "1.11000")
    floor.sell("b", position=opened.order_id, reduce_only=True)
    floor.bust(opened, first(opened))
    ticket = held(floor, opened.order_id)
    assert (ticket.size, ticket.cost, ticket.realised) == (-1_000_000, -1_000_000 * 111_000, 0)
    assert floor.account().realised == 0
    proof(floor)


def test_the_event_of_a_bust_names_what_it_takes_back() -> None:
    floor = floor_of()
    order = floor.buy("a")
    floor.bust(order, first(order))
    trades = [each for changes in floor.stored for each in changes.events if isinstance(each, TradeExecuted)]
    assert [(each.fill.busts, each.order.status) for each in trades] == [
        ("", OrderStatus.FILLED),
        (first(order), OrderStatus.CANCELLED),
    ]
