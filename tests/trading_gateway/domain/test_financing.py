"""Overnight financing: golden cases worked out by hand, once a roll, in every account currency.

Days: `services/market/settlement` and its sources. Amount: |size| × closing price × rate × days / 365, as
OANDA and other retail houses state it, in the quote currency; converted like profit, a loss bought and a gain
sold.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from services.market.calendar import roll_ns
from services.trading_gateway.adapters.financing import read_table
from services.trading_gateway.domain import financing
from services.trading_gateway.domain.events import AccountChanged, PositionChanged
from services.trading_gateway.domain.fills import LedgerEntry
from services.trading_gateway.domain.financing_table import FinancingTable, Rates, parse_table
from services.trading_gateway.domain.inputs import DayRolled, SetAutoTrade
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import LedgerKind, Side
from tests.trading_gateway.domain.test_double_entry import differing, transactions
from tests.trading_gateway.domain.test_whole_runs import books, ticks_of
from tests.trading_gateway.kit import SECOND, START, Floor

WEDNESDAY, THURSDAY = roll_ns(date(2014, 5, 7)), roll_ns(date(2014, 5, 8))


def rules(symbol: str, long: int, short: int) -> Rules:
    """Annual rates in millionths."""
    return Rules(financing=FinancingTable({symbol: (Rates(date(2000, 1, 1), long, short),)}))


def floor_of(currency: str, quotes: dict[str, tuple[str, str]], rates: Rules) -> Floor:
    floor = Floor(rates)
    floor.announce()
    floor.open(currency=currency)
    for symbol, quote in quotes.items():
        floor.tick(quote, symbol=symbol)
    return floor


def reach(floor: Floor, time_ns: int) -> None:
    """The market's clock passes a time without a tick."""
    floor.engine.read(floor.batches[-1][1:], time_ns)
    floor.settle()


def financed(floor: Floor) -> list[LedgerEntry]:
    entries = (entry for changes in floor.stored for entry in changes.ledger)
    return [entry for entry in entries if entry.kind is LedgerKind.FINANCING]


def test_a_euro_account_long_the_pound_against_the_yen_on_a_wednesday() -> None:
    """1,700,000 JPY × 2 % × 3 / 365 = 279.4520… JPY owed, bought for euros at the bid: / 140.000 = 1.9961."""
    quotes = {"EURJPY": ("140.000", "140.020"), "GBPJPY": ("170.000", "170.050")}
    floor = floor_of("EUR", quotes, rules("GBPJPY", -20_000, 5_000))
    floor.buy("a", "10000", symbol="GBPJPY")
    reach(floor, WEDNESDAY)

    (entry,) = financed(floor)
    assert (entry.amount, entry.symbol, entry.time_ns) == (-200, "GBPJPY", WEDNESDAY)
    assert entry.detail == "long 10000 at -2 % a year, 3 days: 2014-05-09 to 2014-05-12"
    assert entry.path == "1/EURJPY bid 140.000 #1"
    made = transactions(floor)[-1]
    assert made.reference == "GBPJPY 2014-05-07"
    owed = Fraction(1_700_000) * Fraction(2, 100) * 3 / 365
    line = next(each for each in made.postings if each.ledger_account == "financing")
    assert line.currency == "JPY" and abs(line.exact - owed) < Fraction(1, 10**16)
    assert floor.account().financing == floor.engine.book.position("demo", "GBPJPY").financing == -200
    assert differing(floor, transactions(floor)) == set()


def test_a_dollar_account_short_receives_and_its_gain_is_sold() -> None:
    """20,000 × 170.050 × 1 % × 3 / 365 = 279.5342… JPY, sold at the ask: / 102.010 = 2.7403 USD."""
    quotes = {"USDJPY": ("102.000", "102.010"), "GBPJPY": ("170.000", "170.050")}
    floor = floor_of("USD", quotes, rules("GBPJPY", -20_000, 10_000))
    floor.sell("a", "20000", symbol="GBPJPY")
    reach(floor, WEDNESDAY)
    (entry,) = financed(floor)
    assert (entry.amount, entry.path) == (274, "1/USDJPY ask 102.010 #1")


def test_a_franc_account_converts_in_two_steps() -> None:
    """8,000 GBP × 1.5 % × 3 / 365 = 0.9863… GBP, bought: × 1.69010 × 0.88010 = 1.4671 CHF."""
    quotes = {
        "GBPUSD": ("1.69000", "1.69010"),
        "USDCHF": ("0.88000", "0.88010"),
        "EURGBP": ("0.80000", "0.80010"),
    }
    floor = floor_of("CHF", quotes, rules("EURGBP", -15_000, 0))
    floor.buy("a", "10000", symbol="EURGBP")
    reach(floor, WEDNESDAY)
    (entry,) = financed(floor)
    assert (entry.amount, entry.path) == (-147, "GBPUSD ask 1.69010 #1, USDCHF ask 0.88010 #1")


def test_a_yen_account_short_the_canadian_dollar_is_charged_three_days_on_thursday() -> None:
    """10,901 CAD × 3.65 % / 365 = 1.0901 CAD a day, bought at 93.520: 101.946 JPY; three days 305.838."""
    quotes = {"CADJPY": ("93.500", "93.520"), "USDCAD": ("1.09000", "1.09010")}
    floor = floor_of("JPY", quotes, rules("USDCAD", 0, -36_500))
    floor.sell("a", "10000", symbol="USDCAD")
    reach(floor, WEDNESDAY)
    reach(floor, THURSDAY)
    assert [(entry.amount, entry.detail.split(", ")[1][:6]) for entry in financed(floor)] == [
        (-102, "1 day:"),
        (-306, "3 days"),
    ]


def test_a_pound_account_in_its_own_quote_currency_is_not_converted() -> None:
    """8,000 GBP × 0.365 % × 3 / 365 = 0.24 GBP."""
    floor = floor_of("GBP", {"EURGBP": ("0.80000", "0.80010")}, rules("EURGBP", -3_650, 0))
    floor.buy("a", "10000", symbol="EURGBP")
    reach(floor, WEDNESDAY)
    (entry,) = financed(floor)
    assert (entry.amount, entry.path, entry.rate_text) == (-24, "", "1")


def euros(rates: Rules | None = None) -> Floor:
    floor = floor_of("USD", {"EURUSD": ("1.10000", "1.10010")}, rates or rules("EURUSD", -36_500, -10_000))
    floor.buy("a", "10000")
    return floor


def test_a_roll_is_charged_once_however_often_the_timer_comes() -> None:
    """11,000 USD × 3.65 % × 3 / 365 = 3.30 USD."""
    floor = euros()
    reach(floor, WEDNESDAY)
    again = DayRolled(WEDNESDAY, "demo", financing.due(floor.engine.book, "demo", WEDNESDAY).rates)
    floor.engine.roll_day(again)
    floor.settle()
    reach(floor, WEDNESDAY + SECOND)
    assert [entry.amount for entry in financed(floor)] == [-330]
    assert differing(floor, transactions(floor)) == set()


def test_rolls_that_were_missed_are_made_up_for_one_by_one_and_weekends_are_free() -> None:
    floor = euros()
    reach(floor, roll_ns(date(2014, 5, 13)))  # Tuesday: Wednesday, Thursday, Friday, Monday, Tuesday
    assert [entry.amount for entry in financed(floor)] == [-330, -110, -110, -110, -110]
    days = [entry.time_ns for entry in financed(floor)]
    assert days == [roll_ns(date(2014, 5, day)) for day in (7, 8, 9, 12, 13)]


def test_what_was_closed_before_the_roll_is_not_financed() -> None:
    floor = euros()
    floor.sell("b", "10000")
    reach(floor, THURSDAY)
    assert financed(floor) == []


def test_the_day_begins_with_the_equity_after_its_financing() -> None:
    floor = euros()
    reach(floor, WEDNESDAY)
    assert floor.account().day_start_equity == 10_000_000 - 100 - 330


def test_positions_and_the_account_are_told() -> None:
    floor = euros()
    already = sum(len(changes.events) for changes in floor.stored)
    reach(floor, WEDNESDAY)
    position, account = [event for changes in floor.stored for event in changes.events][already:]
    assert isinstance(position, PositionChanged) and isinstance(account, AccountChanged)
    assert (position.view.position.financing, position.by_fill) == (-330, False)
    assert (account.view.account.balance, account.by_fill) == (10_000_000 - 330, False)


def test_the_journal_gives_the_financing_again_whatever_the_table_says_by_then() -> None:
    floor = euros()
    reach(floor, THURSDAY)
    floor.engine.set_auto_trade(SetAutoTrade(THURSDAY, "demo", auto_trade=False))
    floor.settle()
    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(Rules(), floor.policy, journal, ticks_of(floor.batches))
    assert len(financed(floor)) == 2
    assert books(again.book, [again.take_changes()]) == books(floor.engine.book, floor.stored)


def test_rates_count_from_their_trading_day_on() -> None:
    table = parse_table(
        ["# by hand", "symbol,from,long,short", "EURUSD,2014-01-01,-0.5,0.25", "EURUSD,2014-05-08,-1,0.1"]
    )
    assert table.annual_ppm("EURUSD", date(2013, 12, 31), 1) == 0
    assert table.annual_ppm("EURUSD", date(2014, 5, 7), 1) == -5_000
    assert table.annual_ppm("EURUSD", date(2014, 5, 7), -1) == 2_500
    assert table.annual_ppm("EURUSD", date(2014, 5, 8), 1) == -10_000
    assert table.annual_ppm("USDJPY", date(2014, 5, 8), 1) == 0
    floor = euros(Rules(financing=table))
    reach(floor, THURSDAY)
    # 11,000 × 0.5 % × 3 / 365 = 0.452; 11,000 × 1 % / 365 = 0.301
    assert [entry.amount for entry in financed(floor)] == [-45, -30]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["EURUSD,2014-01-01,1,1"], "line 1: the first line is symbol,from,long,short"),
        (["symbol,from,long,short", "EURXXX,2014-01-01,1,1"], "line 2: no instrument EURXXX"),
        (["symbol,from,long,short", "EURUSD,2014-13-01,1,1"], "line 2: month must be in 1..12"),
        (["symbol,from,long,short", "EURUSD,2014-01-01,1e5,1"], "line 2: .*plain decimal number"),
        (["symbol,from,long,short", "EURUSD,2014-01-01,0.00001,1"], "line 2: .*at most 4 decimals"),
        (["symbol,from,long,short", "EURUSD,2014-01-01,1001,1"], "line 2: .*at most 1000"),
        (["symbol,from,long,short", "EURUSD,2014-01-01,1"], "line 2: expected symbol,from,long,short"),
        (["symbol,from,long,short", *["EURUSD,2014-01-01,1,1"] * 2], "line 3: dates of EURUSD must grow"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(lines: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_table(lines)


def test_the_table_that_ships_has_every_instrument_and_files_replace_it() -> None:
    table = read_table("")
    for symbol in ("EURUSD", "GBPJPY", "USDCAD", "XAUUSD"):
        assert table.annual_ppm(symbol, date(2014, 5, 7), 1)
    assert read_table("none") == FinancingTable()
    with pytest.raises(ValueError, match="cannot read /nowhere"):
        read_table("/nowhere/rates.csv")


def test_a_long_position_is_valued_at_the_bid_and_a_short_one_at_the_ask() -> None:
    """10,000 × 1.10000 × 36.5 % × 3 / 365 = 33.00; short at the ask 33.003, the same to the cent."""
    for side, price in ((Side.BUY, "1.10000"), (Side.SELL, "1.10010")):
        floor = floor_of("USD", {"EURUSD": ("1.10000", "1.10010")}, rules("EURUSD", -365_000, -365_000))
        floor.place("a", side, "10000")
        reach(floor, START + 10 * 3_600 * SECOND)
        (entry,) = financed(floor)
        assert entry.amount == -3_300
        owed = Fraction(price) * 10_000 * Fraction(365, 1_000) * 3 / 365
        assert Fraction(entry.source_amount) == -owed
