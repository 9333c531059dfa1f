"""The whole-number valuation of checks is the conversion that postings are made with, to the minor unit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import FxError
from services.market.instruments import ACCOUNT_CURRENCIES, INSTRUMENTS
from services.money.conversion import ExactAmount, Way, convert
from services.money.rounding import Rounding
from services.trading_gateway.domain import valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.positions import Position
from tests.trading_gateway.kit import Floor

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "USDCHF", "USDCAD", "EURGBP", "GBPJPY")


def market(middles: dict[str, int], spread: int, currency: str) -> tuple[Floor, Account]:
    floor = Floor()
    floor.announce()
    account = floor.open(currency=currency)
    for symbol, middle in middles.items():
        of = INSTRUMENTS[symbol]
        prices = (of.price_text(middle), of.price_text(middle + spread))
        floor.tick(prices, symbol=symbol)
    return floor, account


def quotes() -> st.SearchStrategy[dict[str, int]]:
    """Prices within the plausible band of some symbols; not all of them, so that steps are needed."""
    bands = {each: st.integers(INSTRUMENTS[each].price_low, INSTRUMENTS[each].price_high) for each in SYMBOLS}
    return st.fixed_dictionaries({}, optional=bands)


@settings(deadline=None)  # the machine may be busy
@given(
    quotes(),
    st.integers(0, 50),
    st.sampled_from(("USD", "EUR", "GBP", "JPY", "CHF")),
    st.sampled_from(SYMBOLS),
    st.integers(-(10**9), 10**9).filter(bool),
    st.integers(-(10**14), 10**14),
)
def test_profit_margin_and_notional_are_what_convert_gives(
    middles: dict[str, int], spread: int, currency: str, symbol: str, size: int, cost: int
) -> None:
    assert currency in ACCOUNT_CURRENCIES
    floor, account = market(middles, spread, currency)
    book, of = floor.engine.book, INSTRUMENTS[symbol]
    rates, price = book.markets.rates(""), of.price_high
    position = Position("demo", symbol, size, cost)
    digits = valuation.cost_digits(of)

    def converted(raw: int, way: Way | None, rounding: Rounding) -> int | None:
        try:
            return convert(ExactAmount(raw, digits, of.quote), currency, rates, way, rounding).money.raw
        except FxError:
            return None

    profit = converted(size * price - cost, None, Rounding.HALF_EVEN)
    assert valuation.profit(account, position, price, rates) == profit
    notional = converted(abs(size) * price, Way.BUY, Rounding.UP)
    assert valuation.notional(book, account, of, abs(size), price) == notional
    assert valuation.convertible(book, account, of) == (notional is not None)
    rate = book.limits.of("demo", symbol).margin_rate
    share = abs(size) * price * rate.numerator
    held = valuation.margin_at(book, account, position, price, rates)
    if held is None:
        assert notional is None
    else:
        bought = convert(ExactAmount(share, digits, of.quote), currency, rates, Way.BUY)
        units = bought.exact / rate.denominator * 10 ** (0 if currency == "JPY" else 2)
        assert held - 1 < units <= held


def test_a_kept_valuation_is_made_anew_when_anything_moves() -> None:
    floor, _ = market({"EURUSD": 110_000, "GBPUSD": 169_000}, 10, "USD")
    floor.buy("a", "10000")
    book = floor.engine.book
    first = valuation.valued(book, floor.account())
    assert valuation.valued(book, floor.account()) is first
    floor.tick(("1.10020", "1.10030"))
    moved = valuation.valued(book, floor.account())
    assert moved.view.unrealised == first.view.unrealised + 200
    floor.tick(("1.69000", "1.69010"), symbol="GBPUSD")
    floor.buy("b", "1000")
    assert valuation.valued(book, floor.account()).positions["EURUSD"].position.size == 11_000_00
