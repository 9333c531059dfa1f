"""Whole lives of positions in yen and franc accounts, every posting worked out by hand beside it.

The rules, and who states them:

- Profit is (closing - opening price) × units in the quote currency. A gain is converted at the price at which
  that currency is sold, a loss and a charge at the price at which it is bought: OANDA v20, `HomeConversions`,
  which has a factor for gains and another for losses.
- Commission is a share of the traded amount, so much a million: how cTrader states it for currencies.
- Financing is position value at 17:00 New York × annual rate / 365 for each day: OANDA, "Financing costs".
  Spot is settled two business days on, so a Wednesday's roll, Friday to Monday, is three days.
- Margin is 3.33 % of the notional for pairs of USD, EUR, JPY, GBP, CAD and CHF: ESMA, Decision (EU) 2018/796,
  Annex I. It is a reserve and rounded up; every other amount is rounded half-even to the minor unit, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from services.money.conversion import Leg
from services.trading_gateway.domain.financing_table import FinancingTable, Rates
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.valuation import account_view
from services.trading_gateway.domain.values import LedgerKind
from tests.trading_gateway.domain.test_double_entry import differing, transactions
from tests.trading_gateway.domain.test_financing import WEDNESDAY, reach
from tests.trading_gateway.kit import SECOND, Floor

PROFIT, COMMISSION, FINANCING = LedgerKind.REALISED_PROFIT, LedgerKind.COMMISSION, LedgerKind.FINANCING
Quotes = dict[str, tuple[str, str]]


def floor_of(currency: str, deposit: int, quotes: Quotes, **rates: Rates) -> Floor:
    """35 a million, and annual rates in millionths by symbol."""
    table = FinancingTable({symbol: (each,) for symbol, each in rates.items()})
    floor = Floor(Rules(commission_per_million=Fraction(35), financing=table))
    floor.announce()
    floor.open(currency=currency, deposit=deposit)
    move(floor, quotes)
    return floor


def move(floor: Floor, quotes: Quotes) -> None:
    """Twice each, since a price after a silence is not traded on until the next bears it out."""
    for symbol, quote in quotes.items():
        floor.tick(quote, quote, symbol=symbol)


def postings(floor: Floor) -> list[tuple[LedgerKind, int]]:
    entries = (entry for changes in floor.stored for entry in changes.ledger)
    return [(each.kind, each.amount) for each in entries if each.kind is not LedgerKind.DEPOSIT]


def legs(floor: Floor) -> list[list[tuple[str, str, bool]]]:
    """The quotes that each conversion used: symbol, side, and whether it divided."""

    def shown(used: Sequence[Leg]) -> list[tuple[str, str, bool]]:
        return [(each.symbol, each.side, each.inverse) for each in used]

    return [shown(each.legs) for each in transactions(floor) if each.legs]


def overnight(floor: Floor) -> None:
    reach(floor, WEDNESDAY)
    floor.now_ns = WEDNESDAY + SECOND


def test_a_yen_account_long_the_euro_against_the_franc() -> None:
    floor = floor_of(
        "JPY",
        10_000_000,
        {"EURCHF": ("1.21900", "1.21910"), "CHFJPY": ("116.000", "116.020")},
        EURCHF=Rates(date(2000, 1, 1), -18_000, 5_000),
    )
    floor.buy("a", "30000", symbol="EURCHF")
    view = account_view(floor.engine.book, floor.account())
    # 30,000 × (1.21900 - 1.21910) = -3.00 CHF; × 116.020 = -348.06 JPY
    assert view.unrealised == -348
    # 30,000 × 1.21900 × 3.33 % = 1,217.781 CHF; × 116.020 = 141,286.95… JPY
    assert view.margin == 141_287

    overnight(floor)
    move(floor, {"CHFJPY": ("116.500", "116.520"), "EURCHF": ("1.22150", "1.22160")})
    floor.sell("b", "10000", symbol="EURCHF")
    move(floor, {"EURCHF": ("1.21500", "1.21510")})
    floor.sell("c", "20000", symbol="EURCHF")
    assert postings(floor) == [
        (COMMISSION, -149),  # 36,573.00 CHF × 35 / 1,000,000 = 1.280055 CHF; × 116.020 = 148.51 JPY
        (FINANCING, -628),  # 36,570 CHF × 1.8 % × 3 / 365 = 5.4103… CHF; × 116.020 = 627.71 JPY
        (PROFIT, 2_796),  # 10,000 × (1.22150 - 1.21910) = 24.00 CHF; × 116.500
        (COMMISSION, -50),  # 12,215.00 CHF: 0.427525 CHF; × 116.520 = 49.82 JPY
        (PROFIT, -9_555),  # 20,000 × (1.21500 - 1.21910) = -82.00 CHF; × 116.520 = -9,554.64 JPY
        (COMMISSION, -99),  # 24,300.00 CHF: 0.8505 CHF; × 116.520 = 99.10 JPY
    ]
    # 10,000,000 - 149 - 628 + 2,796 - 50 - 9,555 - 99
    assert floor.account().balance == 9_992_315
    bought, sold = [("CHFJPY", "ask", False)], [("CHFJPY", "bid", False)]
    assert legs(floor) == [bought, bought, sold, bought, bought, bought]
    assert differing(floor, transactions(floor)) == set()


def test_a_franc_account_short_the_pound_against_the_yen() -> None:
    """The only quote between them is CHFJPY, which divides: yen are bought at its bid and sold at its ask."""
    floor = floor_of(
        "CHF",
        10_000_000,
        {"GBPJPY": ("170.000", "170.020"), "CHFJPY": ("116.000", "116.020")},
        GBPJPY=Rates(date(2000, 1, 1), -18_000, 5_000),
    )
    floor.sell("a", "20000", symbol="GBPJPY")
    view = account_view(floor.engine.book, floor.account())
    # 20,000 × (170.000 - 170.020) = -400 JPY; / 116.000 = -3.448… CHF
    assert view.unrealised == -345
    # 20,000 × 170.020 × 3.33 % = 113,233.32 JPY; / 116.000 = 976.149… CHF
    assert view.margin == 97_615

    overnight(floor)
    move(floor, {"CHFJPY": ("116.200", "116.220"), "GBPJPY": ("169.500", "169.520")})
    floor.buy("b", "12000", symbol="GBPJPY")
    move(floor, {"GBPJPY": ("170.700", "170.720")})
    floor.buy("c", "8000", symbol="GBPJPY")
    assert postings(floor) == [
        (COMMISSION, -103),  # 3,400,000 JPY × 35 / 1,000,000 = 119 JPY; / 116.000 = 1.0258… CHF
        (FINANCING, 120),  # 3,400,400 JPY × 0.5 % × 3 / 365 = 139.7424… JPY; / 116.020 = 1.2044… CHF
        (PROFIT, 4_956),  # 12,000 × (170.000 - 169.520) = 5,760 JPY; / 116.220 = 49.5611… CHF
        (COMMISSION, -61),  # 2,034,240 JPY: 71.1984 JPY; / 116.200 = 0.6127… CHF
        (PROFIT, -4_957),  # 8,000 × (170.000 - 170.720) = -5,760 JPY; / 116.200 = -49.5697… CHF
        (COMMISSION, -41),  # 1,365,760 JPY: 47.8016 JPY; / 116.200 = 0.4113… CHF
    ]
    # 100,000.00 - 1.03 + 1.20 + 49.56 - 0.61 - 49.57 - 0.41
    assert floor.account().balance == 9_999_914
    bought, sold = [("CHFJPY", "bid", True)], [("CHFJPY", "ask", True)]
    assert legs(floor) == [bought, sold, sold, bought, bought, bought]
    assert differing(floor, transactions(floor)) == set()


def test_a_franc_account_long_the_us_dollar_against_the_canadian() -> None:
    """No quote leads from CAD to CHF: through USD, divided by USDCAD and multiplied by USDCHF."""
    floor = floor_of("CHF", 10_000_000, {"USDCAD": ("1.09000", "1.09010"), "USDCHF": ("0.88000", "0.88010")})
    floor.buy("a", "10000", symbol="USDCAD")
    # 10,000 × 1.09000 × 3.33 % = 362.97 CAD; / 1.09000 = 333.00 USD; × 0.88010 = 293.0733 CHF
    assert account_view(floor.engine.book, floor.account()).margin == 29_308
    move(floor, {"USDCAD": ("1.09200", "1.09210")})
    floor.sell("b", "10000", symbol="USDCAD")
    assert postings(floor) == [
        (COMMISSION, -31),  # 10,901 CAD: 0.381535 CAD; / 1.09000 × 0.88010 = 0.3080… CHF
        (PROFIT, 1_531),  # 10,000 × (1.09200 - 1.09010) = 19 CAD; / 1.09210 × 0.88000 = 15.3099… CHF
        (COMMISSION, -31),  # 10,920 CAD: 0.3822 CAD; / 1.09200 × 0.88010 = 0.3080… CHF
    ]
    assert floor.account().balance == 10_001_469
    bought = [("USDCAD", "bid", True), ("USDCHF", "ask", False)]
    assert legs(floor) == [bought, [("USDCAD", "ask", True), ("USDCHF", "bid", False)], bought]
    assert differing(floor, transactions(floor)) == set()


def test_a_yen_account_short_the_euro_against_the_dollar() -> None:
    """In its quote currency's own pair, multiplied: a short position receives financing, which is sold."""
    floor = floor_of(
        "JPY",
        5_000_000,
        {"EURUSD": ("1.10000", "1.10010"), "USDJPY": ("102.000", "102.010")},
        EURUSD=Rates(date(2000, 1, 1), -21_500, 4_500),
    )
    floor.sell("a", "10000")
    # 10,000 × 1.10010 × 3.33 % = 366.3333 USD; × 102.010 = 37,369.65… JPY
    assert account_view(floor.engine.book, floor.account()).margin == 37_370
    overnight(floor)
    move(floor, {"USDJPY": ("101.500", "101.510"), "EURUSD": ("1.09740", "1.09750")})
    floor.buy("b", "10000")
    assert postings(floor) == [
        (COMMISSION, -39),  # 11,000 USD × 35 / 1,000,000 = 0.385 USD; × 102.010 = 39.27 JPY
        (FINANCING, 42),  # 11,001 USD × 0.45 % × 3 / 365 = 0.406886… USD; × 102.000 = 41.5024… JPY
        (PROFIT, 2_538),  # 10,000 × (1.10000 - 1.09750) = 25.00 USD; × 101.500 = 2,537.5 JPY, to the even yen
        (COMMISSION, -39),  # 10,975 USD: 0.384125 USD; × 101.510 = 38.99 JPY
    ]
    assert differing(floor, transactions(floor)) == set()
