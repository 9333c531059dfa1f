"""A fill that comes after the venue has ended its order, when the legs of the order are over as well."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import SetTradingState
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Ended, Executed
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, TradingState
from tests.trading_gateway.domain.test_whole_runs import same_again
from tests.trading_gateway.kit import Floor, open_floor

STOP = TypedLeg(distance="0.00200")


def bracket(stop: TypedLeg = STOP) -> tuple[Floor, Order]:
    """An entry that waits, with both legs."""
    floor = open_floor()
    gain = TypedLeg(distance="0.00100")
    entry = floor.buy("entry", type_=OrderType.LIMIT, limit="1.09990", take_profit=gain, stop_loss=stop)
    return floor, entry


def end(floor: Floor, entry: Order) -> None:
    """By the venue, before anything was filled."""
    floor.engine.report(Ended(floor.now_ns, entry.order_id, OrderStatus.CANCELLED, "VENUE", ""))
    floor.settle()


def fill_late(floor: Floor, entry: Order, number: int = 1, units: int = 6_000) -> None:
    """Heard of twice, which changes nothing."""
    execution = f"late-{number}"
    for _ in range(2):
        floor.engine.report(
            Executed(floor.now_ns, entry.order_id, execution, units * 100, 109_990, "syn-1", 1)
        )
        floor.settle()


def test_it_is_protected_as_was_asked_for() -> None:
    floor, entry = bracket()
    end(floor, entry)
    assert floor.engine.book.working("demo") == []
    fill_late(floor, entry)

    book = floor.engine.book
    filled = book.order(entry.order_id)
    assert (filled.status, filled.filled) == (OrderStatus.CANCELLED, 6_000_00)
    gain, loss = book.working("demo")
    assert (gain.client_order_id, loss.client_order_id) == (f"t-{entry.order_id}-1", f"p-{entry.order_id}-1")
    assert (gain.status, gain.size, gain.limit) == (OrderStatus.ACCEPTED, 6_000_00, 110_090)
    assert (loss.status, loss.size, loss.stop) == (OrderStatus.ACCEPTED, 6_000_00, 109_790)
    assert all(each.reduce_only and each.origin is OrderOrigin.RISK for each in (gain, loss))

    floor.tick(("1.09780", "1.09790"), ("1.09780", "1.09790"))
    assert book.order(loss.order_id).status is OrderStatus.FILLED
    over = book.order(gain.order_id)
    assert (over.status, over.reason) == (OrderStatus.CANCELLED, "LINK_FILLED")
    assert book.position("demo", "EURUSD").flat
    same_again(floor)


def test_each_such_fill_has_legs_of_its_own() -> None:
    floor, entry = bracket()
    end(floor, entry)
    fill_late(floor, entry)
    fill_late(floor, entry, 2, 4_000)
    sizes = [each.size for each in floor.engine.book.working("demo")]
    assert sizes == [6_000_00, 6_000_00, 4_000_00, 4_000_00]
    floor.tick(("1.10100", "1.10110"))
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.engine.book.working("demo") == []
    same_again(floor)


def test_a_trailing_stop_starts_where_the_market_is_by_then() -> None:
    floor, entry = bracket(TypedLeg(trail_distance="0.00150"))
    end(floor, entry)
    floor.tick(("1.10050", "1.10060"))
    fill_late(floor, entry)
    _, loss = floor.engine.book.working("demo")
    assert (loss.type, loss.stop) == (OrderType.TRAILING_STOP, 109_900)
    same_again(floor)


def test_a_stop_that_the_market_has_passed_closes_the_fill_at_once_also_while_trading_is_halted() -> None:
    floor, entry = bracket()
    end(floor, entry)
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", TradingState.HALTED, "drill"))
    floor.tick(("1.09700", "1.09710"))
    fill_late(floor, entry)
    floor.tick(("1.09700", "1.09710"))
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.engine.book.working("demo") == []
    same_again(floor)


def test_a_leg_that_somebody_cancelled_stays_cancelled() -> None:
    floor, entry = bracket()
    loss = floor.engine.book.find("demo", f"p-{entry.order_id}")
    assert loss is not None
    floor.cancel(loss)
    end(floor, entry)
    fill_late(floor, entry)
    assert [each.client_order_id for each in floor.engine.book.working("demo")] == [f"t-{entry.order_id}-1"]
    same_again(floor)


def test_a_fill_that_only_closes_the_other_side_needs_no_protection() -> None:
    floor, entry = bracket()
    end(floor, entry)
    floor.sell("short", "6000")
    fill_late(floor, entry)
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.engine.book.working("demo") == []
    same_again(floor)


def test_amending_what_was_placed_anew_is_the_callers_doing() -> None:
    floor, entry = bracket()
    end(floor, entry)
    fill_late(floor, entry)
    _, loss = floor.engine.book.working("demo")
    with pytest.raises(FxError, match="STOP_WRONG_SIDE"):
        floor.amend(loss, stop=1_085_000)
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", TradingState.HALTED, "drill"))
    with pytest.raises(FxError, match="TRADING_HALTED"):
        floor.amend(loss, stop=109_800)
    same_again(floor)
