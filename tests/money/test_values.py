"""Price, Size, Money, Pair: what they refuse, and that value, not scale, decides equality and order."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.money import CURRENCIES, Money, Pair, Price, Rounding, Size, currency


@pytest.mark.parametrize("raw", [1.5, "1", None, True])
def test_only_integers_make_a_value(raw: Any) -> None:
    for make in (lambda: Price(raw, 5), lambda: Size(raw, 2), lambda: Money(raw, "USD")):
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("digits", [-1, 19])
def test_a_scale_outside_the_range_is_refused(digits: int) -> None:
    with pytest.raises(ValueError, match="digits"):
        Size(1, digits)


@pytest.mark.parametrize("text", ["0", "0.00000", "-1.2", "1e5", "1.234567"])
def test_no_price_that_could_not_be_one(text: str) -> None:
    with pytest.raises(FxError) as caught:
        Price.parse(text, 5, field="limit_price")
    assert caught.value.violations[0].field == "limit_price"


def test_a_price_of_zero_cannot_be_made_at_all() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Price(0, 5)
    with pytest.raises(ValueError, match="above zero"):
        Price(1, 5).rounded(2)


def test_a_coarser_scale_is_refused_unless_rounded() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        Price.parse("1.38658", 5).at(2)
    assert Price.parse("1.38658", 5).rounded(2) == Price(139, 2)
    assert Price.parse("1.38658", 5).quantised(5, Rounding.DOWN) == Price(138655, 5)


def test_currencies_do_not_mix() -> None:
    dollars, yen = Money(100, "USD"), Money(100, "JPY")
    for operation in ("__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"):
        with pytest.raises(ValueError, match="convert first"):
            getattr(dollars, operation)(yen)
    assert dollars != yen


@pytest.mark.parametrize("code", ["", "usd", "XXX", "USDX", "U" * 1000])
def test_an_unknown_currency_is_the_callers_mistake(code: str) -> None:
    with pytest.raises(FxError) as caught:
        Money.parse("1", code)
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize(
    "symbol", ["", "EURUS", "EURUSDX", "eurusd", "EUR/USD", "EUREUR", "EURUS1", "EURUSD\n", "ＥURUSD"]
)
def test_a_symbol_is_six_capitals_of_two_currencies(symbol: str) -> None:
    with pytest.raises(FxError) as caught:
        Pair.parse(symbol)
    assert caught.value.violations[0].field == "symbol"


def test_yen_have_no_cents() -> None:
    with pytest.raises(FxError, match="at most 0 decimals"):
        Money.parse("100.5", "JPY")
    assert str(Money.parse("-100", "JPY")) == "-100 JPY"


def test_minor_units_are_those_of_iso_4217() -> None:
    scales = {code: currency(code).digits for code in CURRENCIES}
    assert {code for code, digits in scales.items() if digits == 0} == {"JPY", "KRW"}
    assert {code for code, digits in scales.items() if digits == 3} == {"KWD", "XAU", "XAG"}
    assert {scales[code] for code in ("USD", "EUR", "GBP", "CHF", "AUD", "NZD", "CAD")} == {2}


def test_text_forms() -> None:
    assert str(Price.parse("1.3865", 5)) == "1.38650"
    assert str(Size.parse("10000", 2)) == "10000"
    assert str(Size(-1_050, 2)) == "-10.5"
    assert (str(Money(-5, "USD")), Money(123456, "EUR").amount) == ("-0.05 USD", "1234.56")
    assert (Pair.parse("EURUSD").symbol, str(Pair("EUR", "USD").inverse)) == ("EURUSD", "USDEUR")
    assert "EUR" in Pair.parse("EURUSD") and "GBP" not in Pair.parse("EURUSD")


def test_a_price_is_not_a_size() -> None:
    assert Price(100, 2) != Size(100, 2)
    assert len({Price(100, 2), Price(10, 1), Size(100, 2)}) == 2


@given(st.integers(1, 10**15), st.integers(0, 8), st.integers(1, 10**15), st.integers(0, 8))
def test_order_equality_and_hash_follow_the_value(a: int, a_digits: int, b: int, b_digits: int) -> None:
    one, other = Price(a, a_digits), Price(b, b_digits)
    left, right = Fraction(a, 10**a_digits), Fraction(b, 10**b_digits)
    assert ((one < other), (one <= other), (one == other)) == (left < right, left <= right, left == right)
    assert ((one > other), (one >= other)) == (left > right, left >= right)
    assert hash(one) == hash(one.at(a_digits + 3)) and one == one.at(a_digits + 3)


@given(st.lists(st.integers(-(10**14), 10**14)))
def test_sums_of_money_are_sums_of_minor_units(raws: list[int]) -> None:
    total = sum((Money(raw, "USD") for raw in raws), Money.zero("USD"))
    assert total == Money(sum(raws), "USD")
    assert total - total == -Money.zero("USD")
    assert Money.parse(total.amount, "USD") == total
