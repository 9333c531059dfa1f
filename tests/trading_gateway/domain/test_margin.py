"""Margin, margin call and stop-out, worked out by hand.

Margin is the notional at the closing price × the instrument's rate (ESMA's minimum, 3.33 % for majors, or
what the leverage asks for), in the quote currency, bought with the account currency and rounded up.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from services.market.instruments import instrument
from services.trading_gateway.domain import margin_watch, matching
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.events import Event, MarginCallChanged, PositionStoppedOut
from services.trading_gateway.domain.financing_table import FinancingTable, Rates
from services.trading_gateway.domain.inputs import SetLimits, SetTradingState
from services.trading_gateway.domain.limits import LimitName, LimitSetting, margin_rate
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.valuation import account_view
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, Side, TradingState
from tests.trading_gateway.domain.test_double_entry import differing, transactions
from tests.trading_gateway.domain.test_whole_runs import books, same_again, ticks_of
from tests.trading_gateway.kit import START, Floor, batch

QUOTES = {
    "EURUSD": ("1.10000", "1.10010"),
    "GBPUSD": ("1.69000", "1.69010"),
    "USDCHF": ("0.88000", "0.88010"),
    "USDCAD": ("1.09000", "1.09010"),
    "CADJPY": ("93.500", "93.520"),
    "EURGBP": ("0.80000", "0.80010"),
    "EURJPY": ("140.000", "140.020"),
    "GBPJPY": ("170.000", "170.050"),
}


def floor_of(currency: str, *symbols: str, rules: Rules | None = None, deposit: int = 10_000_000) -> Floor:
    floor = Floor(rules or Rules())
    floor.announce()
    floor.open(currency=currency, deposit=deposit)
    for symbol in symbols:
        floor.tick(QUOTES[symbol], symbol=symbol)
    return floor


def limit(floor: Floor, symbol: str = "", **limits: int | None) -> None:
    settings = tuple(LimitSetting("demo", symbol, LimitName(name), value) for name, value in limits.items())
    floor.engine.set_limits(SetLimits(floor.now_ns, "demo", settings, "key:ada", "a test", START))
    floor.settle()


@pytest.mark.parametrize(
    ("currency", "symbol", "side", "others", "leverage", "margin"),
    [
        # 1,700,000 JPY × 3.33 % = 56,610 JPY; / 140.000 = 404.357…
        ("EUR", "GBPJPY", Side.BUY, ["EURJPY"], 0, 40_436),
        # × 5 % = 85,000 JPY; / 140.000 = 607.142…
        ("EUR", "GBPJPY", Side.BUY, ["EURJPY"], 20, 60_715),
        # leverage that asks for less than the instrument changes nothing
        ("EUR", "GBPJPY", Side.BUY, ["EURJPY"], 100, 40_436),
        # 8,001 GBP × 3.33 % = 266.4333 GBP; × 1.69010 = 450.2989…
        ("USD", "EURGBP", Side.SELL, ["GBPUSD"], 0, 45_030),
        # 10,901 CAD × 3.33 % = 363.0033 CAD; × 93.520 = 33,948.06…
        ("JPY", "USDCAD", Side.SELL, ["CADJPY"], 0, 33_949),
        # 11,000 USD × 3.33 % = 366.30 USD; × 0.88010 = 322.3806…
        ("CHF", "EURUSD", Side.BUY, ["USDCHF"], 0, 32_239),
        # the inverse: 366.30 / 1.69000 = 216.7455…
        ("GBP", "EURUSD", Side.BUY, ["GBPUSD"], 0, 21_675),
        # 1 / 30 is a little more than 3.33 %: 11,000 / 30 = 366.6667 USD; / 1.10000 = 333.333…
        ("EUR", "EURUSD", Side.BUY, [], 30, 33_334),
        # 366.6667 / 1.69000 = 216.962…
        ("GBP", "EURUSD", Side.BUY, ["GBPUSD"], 30, 21_697),
    ],
)
def test_margin_in_every_account_currency(
    currency: str, symbol: str, side: Side, others: list[str], leverage: int, margin: int
) -> None:
    floor = floor_of(currency, *others, symbol, rules=Rules(leverage=leverage))
    floor.place("a", side, "10000", symbol=symbol)
    assert account_view(floor.engine.book, floor.account()).margin == margin


def test_margin_converted_in_two_steps() -> None:
    """GBPJPY for a franc account: 56,610 JPY; / 140.000 = 404.3571… EUR; × 1.22010 = 493.3561… CHF."""
    floor = floor_of("CHF", "EURJPY")
    floor.tick(("1.22000", "1.22010"), symbol="EURCHF")
    floor.tick(QUOTES["GBPJPY"], symbol="GBPJPY")
    floor.buy("a", "10000", symbol="GBPJPY")
    assert account_view(floor.engine.book, floor.account()).margin == 49_336


def test_leverage_of_a_symbol_comes_before_that_of_the_account() -> None:
    floor = floor_of("USD", "EURUSD", "GBPUSD")
    limit(floor, leverage=10)
    limit(floor, "GBPUSD", leverage=5)
    floor.buy("a", "10000")  # 11,000 / 10
    floor.buy("b", "10000", symbol="GBPUSD")  # 16,900 / 5
    assert account_view(floor.engine.book, floor.account()).margin == 110_000 + 338_000


def test_the_rate_of_a_leverage_is_exact() -> None:
    assert margin_rate(instrument("EURUSD"), 0) == Fraction(333, 10_000)
    assert margin_rate(instrument("EURUSD"), 30) == Fraction(1, 30)
    assert margin_rate(instrument("XAGUSD"), 30) == Fraction(1, 10)


def thin() -> Floor:
    """500 USD, long 10,000 EURUSD at 1.10010: 366.30 of margin, 1 USD of spread lost."""
    floor = floor_of("USD", "EURUSD", deposit=50_000)
    floor.buy("a", "10000")
    return floor


def move(floor: Floor, bid: str, ask: str, symbol: str = "EURUSD") -> None:
    """Twice, since a price that jumped is not traded on until the next tick bears it out."""
    floor.tick((bid, ask), (bid, ask), symbol=symbol)


def told(floor: Floor, kind: type[Event]) -> list[Event]:
    return [each for changes in floor.stored for each in changes.events if isinstance(each, kind)]


def test_a_margin_call_is_told_once_and_again_when_it_is_over() -> None:
    """Equity 500 - 10,000 × (1.10010 - bid): below the margin of 362.30 at 1.08700 (363.00 - … = 369.00)."""
    floor = thin()
    move(floor, "1.08700", "1.08710")  # 369.00 against 361.97
    assert not floor.account().margin_called
    move(floor, "1.08600", "1.08610")  # 359.00 against 361.64
    move(floor, "1.08590", "1.08600")
    assert floor.account().margin_called
    move(floor, "1.08700", "1.08710")  # 369.00 is above the level, but not by 5 %
    assert floor.account().margin_called
    move(floor, "1.08900", "1.08910")  # 389.00 against 362.64 × 1.05 = 380.77
    assert not floor.account().margin_called
    calls = told(floor, MarginCallChanged)
    assert [
        (each.raised, each.view.equity, each.view.margin)
        for each in calls
        if isinstance(each, MarginCallChanged)
    ] == [(True, 35_900, 36_164), (False, 38_900, 36_264)]
    assert told(floor, PositionStoppedOut) == []


def test_below_half_of_the_margin_the_position_is_closed() -> None:
    """At 1.06800: equity 500 - 321 = 179.00, half of 355.65 is 177.82; at 1.06780: 177.00 against 177.79."""
    floor = thin()
    resting = floor.buy("b", "1000", type_=OrderType.LIMIT, limit="1.06000")
    move(floor, "1.06800", "1.06810")
    assert told(floor, PositionStoppedOut) == []
    move(floor, "1.06780", "1.06790")

    (out,) = told(floor, PositionStoppedOut)
    assert isinstance(out, PositionStoppedOut)
    assert (out.account.equity, out.account.margin) == (17_700, 35_558)
    closing = floor.engine.book.order(out.order_id)
    assert (closing.origin, closing.status, closing.side) == (OrderOrigin.RISK, OrderStatus.FILLED, Side.SELL)
    withdrawn = floor.engine.book.order(resting.order_id)
    assert (withdrawn.status, withdrawn.reason) == (OrderStatus.CANCELLED, "STOP_OUT")
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.account().balance == 17_700
    assert differing(floor, transactions(floor)) == set()
    move(floor, "1.06780", "1.06790")
    assert not floor.account().margin_called  # nothing is held any more


def test_the_largest_loss_is_closed_first_and_no_more_than_needed() -> None:
    """EURUSD lost 90.00 and GBPUSD 20.00; without the first the account is above the level again."""
    floor = floor_of("USD", "EURUSD", "GBPUSD", deposit=30_000)
    floor.buy("a", "3000")  # 109.89 of margin
    floor.buy("b", "2000", symbol="GBPUSD")  # 112.55
    move(floor, "1.68010", "1.68020", "GBPUSD")  # 2,000 × 0.01 = 20.00 lost
    move(floor, "1.04010", "1.04020")  # 3,000 × 0.06 = 180.00 lost: 100.00 against 215.80
    assert [
        each.position.position.symbol
        for each in told(floor, PositionStoppedOut)
        if isinstance(each, PositionStoppedOut)
    ] == ["EURUSD"]
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert not floor.engine.book.position("demo", "GBPUSD").flat


def test_all_go_one_after_the_other_where_one_is_not_enough() -> None:
    floor = thin()
    floor.tick(QUOTES["GBPUSD"], symbol="GBPUSD")
    floor.sell("b", "1000", symbol="GBPUSD")
    limit(floor, stop_out=100_000_000)
    move(floor, "1.10000", "1.10010")
    symbols = [
        each.position.position.symbol
        for each in told(floor, PositionStoppedOut)
        if isinstance(each, PositionStoppedOut)
    ]
    assert symbols == ["EURUSD", "GBPUSD"]
    assert all(each.flat for each in floor.engine.book.positions_of("demo"))


def test_a_halted_account_is_closed_like_any_other_and_takes_no_order_after_it() -> None:
    floor = thin()
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", TradingState.HALTED, "drill"))
    move(floor, "1.06800", "1.06810")
    assert floor.account().margin_called
    assert not floor.engine.book.position("demo", "EURUSD").flat
    move(floor, "1.06780", "1.06790")
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert len(told(floor, PositionStoppedOut)) == 1
    assert floor.account().trading_state is TradingState.HALTED
    for side in Side:
        assert floor.place(f"b-{side.value}", side, "1000").reason == "TRADING_HALTED"


def test_a_fill_that_takes_the_account_below_a_level_is_told_with_it() -> None:
    """366.80 suffices for 366.30 of margin until the spread is paid: 365.80."""
    floor = floor_of("USD", "EURUSD", deposit=36_680)
    order = floor.buy("a", "10000")
    assert order.status is OrderStatus.FILLED
    (call,) = told(floor, MarginCallChanged)
    assert isinstance(call, MarginCallChanged)
    assert (call.raised, call.view.equity, call.view.margin) == (True, 36_580, 36_630)
    assert call.time_ns == order.updated_ns
    same_again(floor)


def test_a_fill_that_takes_the_account_below_its_stop_out_level_is_closed_at_once() -> None:
    floor = floor_of("USD", "EURUSD", deposit=36_680)
    limit(floor, margin_call=1_000_000, stop_out=1_000_000)  # both at the whole of the margin
    floor.buy("a", "10000")
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert len(told(floor, PositionStoppedOut)) == 1
    same_again(floor)


@pytest.mark.parametrize(
    "limits", [{"leverage": 10}, {"margin_call": 2_000_000}], ids=["margin held", "level of the call"]
)
def test_a_limit_that_takes_the_account_below_a_level_is_told_with_it(limits: dict[str, int]) -> None:
    """499 of equity, 366.30 of margin: enough until a tenth of 11,000 must be held, or twice the margin."""
    floor = thin()
    limit(floor, "", **limits)
    (call,) = told(floor, MarginCallChanged)
    assert isinstance(call, MarginCallChanged)
    assert (call.raised, call.time_ns) == (True, floor.now_ns)
    limit(floor, "", **dict.fromkeys(limits))
    assert [
        each.raised for each in told(floor, MarginCallChanged) if isinstance(each, MarginCallChanged)
    ] == [True, False]
    same_again(floor)


def test_a_limit_that_takes_the_account_below_its_stop_out_level_closes_it_at_once() -> None:
    floor = thin()
    waiting = floor.buy("b", "1000", type_=OrderType.LIMIT, limit="1.09000")
    limit(floor, "EURUSD", leverage=5)  # 2,200 USD of margin: 499 is less than half
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.engine.book.order(waiting.order_id).reason == "STOP_OUT"
    assert len(told(floor, PositionStoppedOut)) == 1
    same_again(floor)


def test_a_roll_that_takes_the_account_below_a_level_is_told_with_it() -> None:
    """At 10 % a year 10,000 EUR cost 3.01 USD a day: 370.20 - 1.00 of spread - 3.01 is below 366.30."""
    held = FinancingTable({"EURUSD": (Rates(date(2000, 1, 1), -100_000, 0),)})
    rules = Rules(financing=held)
    floor = floor_of("USD", "EURUSD", rules=rules, deposit=37_020)
    floor.buy("a", "10000")
    assert told(floor, MarginCallChanged) == []
    roll_ns = floor.account().day_roll_ns
    floor.engine.read(batch([])[:0], roll_ns)  # no tick: the clock alone
    floor.settle()
    (call,) = told(floor, MarginCallChanged)
    assert isinstance(call, MarginCallChanged)
    assert (call.raised, call.time_ns) == (True, roll_ns)
    same_again(floor, rules)


def test_a_position_without_a_quote_to_trade_on_waits_for_one() -> None:
    floor = thin()
    floor.tick(("1.06500", "1.06510"), skip=2)  # the first after missing ticks is not traded on
    assert told(floor, PositionStoppedOut) == []
    floor.tick(("1.06500", "1.06510"))
    assert len(told(floor, PositionStoppedOut)) == 1


def test_the_journal_gives_margin_calls_and_stop_outs_again() -> None:
    floor = thin()
    move(floor, "1.08600", "1.08610")
    move(floor, "1.06780", "1.06790")
    floor.engine.journal.mark_all()
    floor.settle()
    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(Rules(), floor.policy, journal, ticks_of(floor.batches))
    stored = [again.take_changes()]
    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert [repr(each) for changes in stored for each in changes.events] == [
        repr(each) for changes in floor.stored for each in changes.events
    ]
    assert {"MarginCalled", "StoppedOut"} <= {entry.kind for entry in journal}


def test_a_batch_that_cannot_reach_the_level_is_passed_at_once_and_one_that_can_is_not() -> None:
    floor = thin()
    account: Account = floor.account()

    def safe(*prices: tuple[str, str]) -> bool:
        extremes = matching.Extremes.of(batch(prices))
        return margin_watch.safe(floor.engine.book, account, extremes)

    assert safe(("1.08900", "1.08910"), ("1.10000", "1.10010"))
    assert not safe(("1.10000", "1.10010"), ("1.08600", "1.08610"), ("1.10000", "1.10010"))
