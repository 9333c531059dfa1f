"""Hedging accounts: a position for each order that opens one, worked out by hand.

Margin of a symbol held on both sides is that of the larger side, as cTrader documents it and as MetaTrader 5
does where its option for the larger leg is set; a position's id is that of the order that opened it, as
there.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.events import PositionChanged, PositionStoppedOut
from services.trading_gateway.domain.exposure import risk_state
from services.trading_gateway.domain.inputs import Advice, SignalDecided
from services.trading_gateway.domain.ledger_check import Line
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.reports import Executed
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.valuation import account_view, position_view
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode
from tests.trading_gateway.domain.test_autotrade import SIGNAL
from tests.trading_gateway.domain.test_financing import WEDNESDAY, financed, reach, rules
from tests.trading_gateway.kit import NO_FACTS, Floor

GOOD = ("1.10000", "1.10010")


def hedged(*, deposit: int = 10_000_000, rules: Rules | None = None, policy: Policy | None = None) -> Floor:
    floor = Floor(rules or Rules(), policy or Policy())
    floor.announce()
    floor.open(deposit=deposit, mode=PositionMode.HEDGING)
    floor.tick(GOOD)
    return floor


def held(floor: Floor) -> list[tuple[str, int]]:
    return [(each.position_id, each.size) for each in floor.engine.book.holdings.open("demo")]


def margin(floor: Floor) -> int:
    return account_view(floor.engine.book, floor.account()).margin


def move(floor: Floor, bid: str, ask: str) -> None:
    """Twice, since a price that jumped is not traded on until the next tick bears it out."""
    floor.tick((bid, ask), (bid, ask))


def differing(floor: Floor, account_id: str = "demo") -> list[Line]:
    """Figures that the fills, position by position, and the postings do not bear out."""
    positions = {each.name: each for each in floor.engine.book.positions_of(account_id)}
    fills = [each for changes in floor.stored for each in changes.fills if each.account_id == account_id]
    posted = [
        each for changes in floor.stored for each in changes.transactions if each.account_id == account_id
    ]
    result = reconcile(floor.account(account_id), positions, fills, posted)
    assert result.fills == len(fills)
    return [line for line in result.lines if not line.equal]


def test_opposite_orders_open_opposite_positions() -> None:
    floor = hedged()
    first, second, third = floor.buy("a", "10000"), floor.sell("b", "4000"), floor.buy("c", "1000")
    assert held(floor) == [
        (first.order_id, 10_000_00),
        (second.order_id, -4_000_00),
        (third.order_id, 1_000_00),
    ]
    # Each has paid the spread on its own size: 0.0001 × 10,000, 4,000 and 1,000.
    views = [position_view(floor.engine.book, each) for each in floor.engine.book.positions_of("demo")]
    assert [each.unrealised for each in views] == [-100, -40, -10]
    assert floor.account().realised == 0
    assert differing(floor) == []


def test_margin_is_that_of_the_larger_side() -> None:
    floor = hedged()
    floor.buy("a", "10000")
    assert margin(floor) == 36_630  # 10,000 × 1.10000 × 3.33 %
    floor.sell("b", "4000")
    assert margin(floor) == 36_630  # 4,000 × 1.10010 × 3.33 % = 146.54 is less
    floor.sell("c", "20000")
    assert margin(floor) == 87_920  # 24,000 × 1.10010 × 3.33 % = 879.1999…
    floor.buy("d", "20000")
    assert margin(floor) == 109_890  # 30,000 × 1.10000 × 3.33 %


def test_a_hedge_needs_no_margin_beyond_the_larger_side() -> None:
    """Of 500 USD 10,000 hold 366.30: 10,000 more on the same side are too much, on the other they are not."""
    floor = hedged(deposit=50_000)
    floor.buy("a", "10000")
    assert floor.buy("b", "10000").reason == "INSUFFICIENT_MARGIN"
    assert floor.sell("c", "10000").status is OrderStatus.FILLED
    assert floor.sell("d", "4000").reason == "INSUFFICIENT_MARGIN"  # 14,000 × 1.10000 × 3.33 % = 512.82
    assert floor.sell("e", "3000").status is OrderStatus.FILLED  # 476.19, with 498.00 of equity
    assert differing(floor) == []


def test_a_position_is_closed_by_its_id_in_parts() -> None:
    floor = hedged()
    first, second = floor.buy("a", "10000"), floor.buy("b", "10000")
    floor.tick(("1.10120", "1.10130"))
    closing = floor.sell("c", "4000", position=first.order_id)
    assert closing.reduce_only
    assert (floor.ticket(first).size, floor.ticket(second).size) == (6_000_00, 10_000_00)
    assert (floor.ticket(first).realised, floor.ticket(second).realised) == (440, 0)  # 4,000 × 0.0011
    # What is more than it holds is not traded, and opens nothing.
    over = floor.sell("d", "9000", position=first.order_id)
    assert (over.status, over.filled, over.reason) == (OrderStatus.CANCELLED, 6_000_00, "NOTHING_TO_REDUCE")
    assert held(floor) == [(second.order_id, 10_000_00)]
    assert floor.ticket(first).realised == 1_100
    assert floor.account().realised == 1_100
    assert differing(floor) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"reduce_only": True}, "POSITION_REQUIRED"),
        ({"position": "o-nobody"}, "NOTHING_TO_REDUCE"),
        ({"position": "SAME SIDE"}, "NOTHING_TO_REDUCE"),
        ({"position": "CLOSED"}, "NOTHING_TO_REDUCE"),
        ({"position": "OTHER SYMBOL"}, "NOTHING_TO_REDUCE"),
    ],
)
def test_a_position_that_cannot_be_reduced(given: dict[str, str], reason: str) -> None:
    floor = hedged()
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    ids = {
        "SAME SIDE": floor.sell("a"),
        "CLOSED": floor.buy("b"),
        "OTHER SYMBOL": floor.buy("c", symbol="USDJPY"),
    }
    floor.sell("d", position=ids["CLOSED"].order_id)
    before = held(floor)
    if given.get("position") in ids:
        given = {"position": ids[given["position"]].order_id}
    refused = floor.sell("e", **given)
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, reason)
    assert held(floor) == before


def test_a_netting_account_names_no_position() -> None:
    floor = Floor()
    floor.announce()
    floor.open()
    floor.tick(GOOD)
    first = floor.buy("a")
    assert floor.sell("b", position=first.order_id).reason == "POSITION_NOT_ALLOWED"
    floor.sell("c", "4000")
    assert held(floor) == [("", 6_000_00)]


def test_an_order_that_fills_in_parts_opens_one_position() -> None:
    floor = hedged()
    order = floor.buy("a", "10000", type_=OrderType.LIMIT, limit="1.09950")
    floor.tick(("1.09930", "1.09940"), sizes=(4_000, 4_000))
    floor.tick(("1.09920", "1.09930"), sizes=(9_000, 9_000))
    assert held(floor) == [(order.order_id, 10_000_00)]
    assert floor.ticket(order).cost == 4_000_00 * 109_940 + 6_000_00 * 109_930
    assert differing(floor) == []


def leg_states(floor: Floor, parent: Order) -> set[tuple[OrderStatus, str]]:
    orders = floor.engine.book.orders.values()
    return {(each.status, each.reason) for each in orders if each.parent_id == parent.order_id}


def test_take_profit_and_stop_loss_belong_to_their_position() -> None:
    floor = hedged()
    near, far = TypedLeg(distance="0.00100"), TypedLeg(distance="0.00500")
    first = floor.buy("a", "10000", take_profit=far, stop_loss=near)
    second = floor.buy("b", "7000", take_profit=near, stop_loss=far)
    third = floor.sell("c", "5000", take_profit=far, stop_loss=far)
    assert all(
        each.position_id == each.parent_id for each in floor.engine.book.working("demo") if each.parent_id
    )
    floor.tick(("1.09905", "1.09915"))  # the stop of the first, at 1.09910
    assert held(floor) == [(second.order_id, 7_000_00), (third.order_id, -5_000_00)]
    assert leg_states(floor, first) == {(OrderStatus.FILLED, ""), (OrderStatus.CANCELLED, "LINK_FILLED")}
    floor.tick(("1.10110", "1.10120"))  # the profit of the second, at 1.10110
    assert held(floor) == [(third.order_id, -5_000_00)]
    floor.buy("d", "5000", position=third.order_id)
    assert held(floor) == []
    assert leg_states(floor, third) == {(OrderStatus.CANCELLED, "POSITION_CLOSED")}
    assert not floor.engine.book.working("demo")
    assert differing(floor) == []


def test_a_leg_shrinks_with_what_its_position_holds() -> None:
    floor = hedged()
    order = floor.buy("a", "10000", stop_loss=TypedLeg(distance="0.00100"))
    floor.sell("b", "6000", position=order.order_id)
    floor.tick(("1.09905", "1.09915"))
    assert held(floor) == []
    (stop,) = (each for each in floor.engine.book.orders.values() if each.parent_id)
    assert (stop.filled, stop.reason) == (4_000_00, "NOTHING_TO_REDUCE")


def test_each_position_is_financed_by_its_own_side() -> None:
    """A Wednesday charges three days. Long 10,000: 11,000 × 2 % × 3 / 365 = 1.8082 USD to pay; long 5,000:
    0.9041; short 20,000 at 1.10010: 22,002 × 0.5 % × 3 / 365 = 0.9042 USD to receive.
    """
    floor = hedged(rules=rules("EURUSD", -20_000, 5_000))
    orders = floor.buy("a", "10000"), floor.buy("b", "5000"), floor.sell("c", "20000")
    reach(floor, WEDNESDAY)
    assert [entry.amount for entry in financed(floor)] == [-181, -90, 90]
    assert [floor.ticket(each).financing for each in orders] == [-181, -90, 90]
    assert floor.account().financing == -181
    assert [entry.detail.split(" at ")[0] for entry in financed(floor)] == [
        "long 10000",
        "long 5000",
        "short 20000",
    ]
    assert differing(floor) == []


def test_stop_out_closes_the_position_with_the_largest_loss() -> None:
    """Long 10,000 at 1.10010 and 10,000 at 1.11010, short 5,000 at 1.11000, of 1,000 USD. At 1.06000/1.06010
    equity is 1,000 - 401 - 501 + 249.50 = 347.50 and margin that of the long side, 20,000 × 1.06000 × 3.33 %
    = 705.96: a level of 0.492. Without the second it is 347.50 to 352.98, above it.
    """
    floor = hedged(deposit=100_000)
    first = floor.buy("a", "10000")
    move(floor, "1.11000", "1.11010")
    second, third = floor.buy("b", "10000"), floor.sell("c", "5000")
    move(floor, "1.06000", "1.06010")
    assert held(floor) == [(first.order_id, 10_000_00), (third.order_id, -5_000_00)]
    (told,) = (
        each for changes in floor.stored for each in changes.events if isinstance(each, PositionStoppedOut)
    )
    assert told.position.position.position_id == second.order_id
    assert (told.account.equity, told.account.margin) == (34_750, 70_596)
    assert (margin(floor), floor.account().realised) == (35_298, -50_100)
    assert differing(floor) == []


def test_of_two_equal_losses_the_older_position_is_closed_first() -> None:
    floor = hedged(deposit=100_000)
    first = floor.buy("a", "10000")
    floor.tick(GOOD)
    second = floor.buy("b", "10000")
    # Equity 1,000 - 2 × 332 = 336 of a margin of 2 × 355.34: closing one is enough.
    move(floor, "1.06690", "1.06700")
    assert held(floor) == [(second.order_id, 10_000_00)]
    assert floor.ticket(first).flat


def test_a_fill_that_nobody_asked_for_turns_its_position_and_is_kept() -> None:
    """A venue that fills a closing order twice: a fill is a fact, and the books say what is held."""
    floor = hedged()
    first = floor.buy("a", "10000")
    closing = floor.sell("b", "10000", position=first.order_id)
    report = Executed(floor.now_ns, closing.order_id, "again", 3_000_00, 110_000, "syn-1", 1)
    floor.engine.report(report)
    floor.engine.report(report)
    floor.settle()
    assert held(floor) == [(first.order_id, -3_000_00)]
    assert differing(floor) == []


def test_changes_of_the_positions_of_a_symbol_are_told_apart() -> None:
    floor = hedged()
    first, second = floor.buy("a"), floor.sell("b")
    floor.sell("c", "4000", position=first.order_id)
    floor.buy("d", position=second.order_id)
    told = [
        each.view.position
        for changes in floor.stored
        for each in changes.events
        if isinstance(each, PositionChanged)
    ]
    assert [each.revision for each in told] == [1, 2, 3, 4]
    assert [each.position_id for each in told] == [
        first.order_id,
        second.order_id,
        first.order_id,
        second.order_id,
    ]


def test_exposure_is_net_and_the_position_limit_counts_a_side() -> None:
    floor = hedged(rules=Rules(position_notional=2_500_000))
    floor.buy("a", "20000")
    floor.sell("b", "15000")
    # 20,000 - 15,000 EUR; -20,000 × 1.10000 + 15,000 × 1.10010 USD
    assert risk_state(floor.engine.book, floor.account(), floor.now_ns).exposure == {
        "EUR": "5000",
        "USD": "-5498.5",
    }
    # 25,000 on the long side would be 27,502.50 USD; on the short side 20,000 are 22,000.
    assert floor.buy("c", "5000").reason == "POSITION_LIMIT"
    assert floor.sell("d", "5000").status is OrderStatus.FILLED


def test_a_signal_closes_what_is_held_on_the_other_side_and_opens_a_position() -> None:
    floor = hedged(policy=Policy(threshold_ppm=0))
    first, second = floor.sell("a", "10000"), floor.sell("b", "5000")
    asked = SignalDecided(floor.now_ns, "demo", SIGNAL, Advice.COMPLETE, "", 100, (), NO_FACTS)
    decision = floor.engine.decide(asked)
    floor.settle()
    assert decision.reason == "ORDERED"
    assert floor.ticket(first).flat
    assert floor.ticket(second).flat
    ((position_id, size),) = held(floor)
    assert position_id == decision.order_id
    assert size > 0
    again = replace(SIGNAL, signal_id="another")
    assert floor.engine.decide(replace(asked, signal=again)).reason == "ALREADY_IN_POSITION"
    assert differing(floor) == []


def test_realised_profit_of_each_position_is_converted_at_its_own_rate() -> None:
    """Yen made on two positions of a euro account, each at the rate of its own moment: 10,000 × 0.100 = 1,000
    JPY gained, sold for euros at the ask 140.020 = 7.1418; 10,000 × -0.110 = -1,100 JPY lost, bought at the
    bid 139.900 = -7.8627.
    """
    floor = Floor(Rules(commission_per_million=Fraction(0)))
    floor.announce()
    floor.open(currency="EUR", mode=PositionMode.HEDGING)
    floor.tick(("140.000", "140.020"), symbol="EURJPY")
    floor.tick(("170.000", "170.010"), symbol="GBPJPY")
    first, second = floor.buy("a", symbol="GBPJPY"), floor.sell("b", symbol="GBPJPY")
    floor.tick(("170.110", "170.120"), symbol="GBPJPY")
    floor.sell("c", symbol="GBPJPY", position=first.order_id)
    floor.tick(("139.900", "139.920"), symbol="EURJPY")
    floor.tick(("170.100", "170.110"), symbol="GBPJPY")
    floor.buy("d", symbol="GBPJPY", position=second.order_id)
    assert floor.ticket(first).realised == 714
    assert floor.ticket(second).realised == -786
    assert floor.account().realised == -72
    assert differing(floor) == []
