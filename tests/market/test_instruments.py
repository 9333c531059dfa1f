"""The instrument table: wrong input is refused; the 28 pairs follow market convention."""

from __future__ import annotations

import gzip
from dataclasses import fields
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.market.calendar import calendar
from services.market.instruments import INSTRUMENTS, instrument
from services.money import Price, Size, currency

MAJORS = (
    "EUR",
    "GBP",
    "AUD",
    "NZD",
    "USD",
    "CAD",
    "CHF",
    "JPY",
)  # the market's order: the earlier is the base


@pytest.mark.parametrize(
    "symbol", ["", "eurusd", "USDEUR", "EURUSD ", "BTCUSD", "EUR/USD", "E" * 10_000, "ＥURUSD"]
)
def test_an_unknown_symbol_is_not_found(symbol: str) -> None:
    with pytest.raises(FxError) as caught:
        instrument(symbol)
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("symbol", "text", "reason"),
    [
        ("EURUSD", "0", "SIZE_BELOW_MINIMUM"),
        ("EURUSD", "0.99", "SIZE_BELOW_MINIMUM"),
        ("EURUSD", "1000.5", "SIZE_STEP"),
        ("EURUSD", "50000001", "SIZE_ABOVE_MAXIMUM"),
        ("EURUSD", "99999999999", "SIZE_ABOVE_MAXIMUM"),
        ("XAUUSD", "0.001", "VALIDATION_FAILED"),
        ("EURUSD", "1e5", "VALIDATION_FAILED"),
        ("EURUSD", "-1000", "VALIDATION_FAILED"),
    ],
)
def test_a_size_off_the_rules_has_its_own_reason(symbol: str, text: str, reason: str) -> None:
    with pytest.raises(FxError) as caught:
        instrument(symbol).size(text, "order.size")
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, reason)
    assert caught.value.violations[0].field == "order.size"


@pytest.mark.parametrize("text", ["1.386585", "0", "-1.38", "NaN"])
def test_a_price_between_ticks_is_refused(text: str) -> None:
    with pytest.raises(FxError):
        instrument("EURUSD").price(text)


def test_the_plausible_band_unmasks_a_wrong_label() -> None:
    euro = instrument("EURUSD")
    assert not euro.plausible(13_970_000)  # 139.7: EURJPY under the wrong name
    assert not euro.plausible(0)
    assert euro.plausible(82_300) and euro.plausible(160_380)  # lowest and highest trade since 2000
    assert not instrument("USDJPY").plausible(1_386)  # 1.386: EURUSD under the wrong name
    assert not instrument("XAUUSD").plausible(23_456)  # 23.456: silver


def test_the_28_pairs_of_the_majors_are_there_in_market_order() -> None:
    currencies = {symbol for symbol, each in INSTRUMENTS.items() if each.calendar == "fx"}
    assert currencies == {base + quote for base, quote in combinations(MAJORS, 2)}
    assert len(currencies) == 28
    assert set(INSTRUMENTS) - currencies == {"XAUUSD", "XAGUSD"}


@pytest.mark.parametrize("symbol", INSTRUMENTS)
def test_every_row_is_consistent(symbol: str) -> None:
    each = INSTRUMENTS[symbol]
    assert symbol == each.symbol == each.pair.symbol
    assert currency(each.base).code != currency(each.quote).code
    assert calendar(each.calendar).name == each.calendar
    assert (
        0 < each.size_min <= each.size_max
        and each.size_min % each.size_step == each.size_max % each.size_step == 0
    )
    assert each.pip == 10 * each.tick
    assert 0 < each.price_low < each.price_high
    assert 2 < each.price_high / each.price_low < 130  # wide enough for history, a tenth of a decimal slip
    assert Decimal(0) < each.margin_rate <= Decimal("0.1")
    assert each.value_date_lag == (1 if symbol == "USDCAD" else 2)
    assert each.triple_charge_weekday == (3 if symbol == "USDCAD" else 2)
    assert each.max_spread > each.pip and each.max_price_age_ns >= 60 * 10**9
    assert all(type(getattr(each, field.name)) is not float for field in fields(each))


def test_the_scale_of_yen_pairs_and_of_the_others() -> None:
    assert {each.digits for each in INSTRUMENTS.values() if each.quote == "JPY"} == {3}
    assert {
        each.digits for each in INSTRUMENTS.values() if each.quote != "JPY" and each.calendar == "fx"
    } == {5}
    assert instrument("USDJPY").price_text(instrument("USDJPY").pip) == "0.010"
    assert instrument("EURUSD").price_text(instrument("EURUSD").pip) == "0.00010"
    assert instrument("EURUSD").lot_units == 100_000


def test_prices_and_sizes_from_text() -> None:
    euro, gold = instrument("EURUSD"), instrument("XAUUSD")
    assert euro.price("1.3865") == Price(138650, 5)
    assert euro.size("10000") == Size(1_000_000, 2)
    assert gold.size("0.01") == Size(1, 2)
    assert (euro.size_text(1_000_000), gold.size_text(1)) == ("10000", "0.01")


def test_a_mislabelled_file_is_outside_its_band_and_an_honest_one_inside(shared_data: Path) -> None:
    euro = instrument("EURUSD")
    with gzip.open(shared_data / "bad_input/mislabelled_symbol_h1_2019.csv.gz", "rt") as file:
        next(file)
        closes = [int(Decimal(line.split(",")[5]).scaleb(euro.digits)) for line in file]
    assert closes and not any(map(euro.plausible, closes))
    with gzip.open(shared_data / "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz", "rt") as file:
        next(file)
        closes = [int(Decimal(line.split(",")[4]).scaleb(euro.digits)) for line in file]
    assert closes and all(map(euro.plausible, closes))
