"""Conversion to the account currency: missing and crossed quotes first, then sides, paths, exactness."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.money import ExactAmount, Money, RateQuote, Rounding, Way, convert

EURUSD = RateQuote("EUR", "USD", 138650, 138658, 5, "s1", 17)
USDJPY = RateQuote("USD", "JPY", 102340, 102350, 3, "s1", 18)
EURCHF = RateQuote("EUR", "CHF", 121950, 121970, 5, "s1", 19)
GBPUSD = RateQuote("GBP", "USD", 168800, 168815, 5, "s1", 20)
QUOTES = {quote.base + quote.quote: quote for quote in (EURUSD, USDJPY, EURCHF, GBPUSD)}


def test_without_a_path_the_error_says_which_currencies() -> None:
    with pytest.raises(FxError, match="from NZD to USD") as caught:
        convert(ExactAmount(100, 2, "NZD"), "USD", QUOTES)
    assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "NO_CONVERSION_RATE")


def test_three_steps_are_not_taken() -> None:
    with pytest.raises(FxError, match="NO_CONVERSION_RATE"):
        convert(ExactAmount(100, 2, "CHF"), "JPY", QUOTES)


def test_an_unknown_account_currency_is_refused_even_for_nothing() -> None:
    with pytest.raises(FxError, match="VALIDATION_FAILED"):
        convert(ExactAmount(0, 2, "USD"), "ZZZ", QUOTES)


@pytest.mark.parametrize(("bid", "ask"), [(138658, 138650), (0, 5), (-5, 5), (0, 0)])
def test_a_crossed_or_empty_quote_cannot_be_converted_at(bid: int, ask: int) -> None:
    with pytest.raises(ValueError, match="cannot convert"):
        RateQuote("EUR", "USD", bid, ask, 5)


def test_the_same_currency_is_only_rounded() -> None:
    result = convert(ExactAmount(12_345_000, 7, "USD"), "USD", {})  # 1.2345 USD
    assert (result.money, result.legs, result.rate_text) == (Money(123, "USD"), (), "1")
    assert result.rounded_off == Fraction(-45, 10000)


def test_ties_go_to_the_even_cent_once() -> None:
    assert convert(ExactAmount(125, 3, "USD"), "USD", {}).money == Money(12, "USD")
    assert convert(ExactAmount(135, 3, "USD"), "USD", {}).money == Money(14, "USD")
    assert convert(ExactAmount(-125, 3, "USD"), "USD", {}).money == Money(-12, "USD")


def test_a_gain_is_sold_at_the_bid_and_a_loss_bought_at_the_ask() -> None:
    gain = convert(ExactAmount(100_00, 2, "EUR"), "USD", QUOTES)
    loss = convert(ExactAmount(-100_00, 2, "EUR"), "USD", QUOTES)
    assert (gain.money, gain.path) == (Money(138_65, "USD"), "EURUSD bid 1.38650 #17")
    assert (loss.money, loss.path) == (Money(-138_66, "USD"), "EURUSD ask 1.38658 #17")


def test_through_an_inverse_quote_a_gain_divides_by_the_ask_and_a_loss_by_the_bid() -> None:
    gain = convert(ExactAmount(100_000, 0, "JPY"), "USD", QUOTES)
    loss = convert(ExactAmount(-100_000, 0, "JPY"), "USD", QUOTES)
    assert (gain.money, gain.path) == (Money(977_04, "USD"), "1/USDJPY ask 102.350 #18")
    assert (loss.money, loss.path) == (Money(-977_14, "USD"), "1/USDJPY bid 102.340 #18")
    assert gain.rate_text == "0.009770395701"
    assert gain.rate == Fraction(1000, 102350)


def test_two_steps_take_the_same_way_on_each_and_round_once() -> None:
    gain = convert(ExactAmount(10_000, 0, "JPY"), "GBP", QUOTES)
    assert gain.path == "1/USDJPY ask 102.350 #18, 1/GBPUSD ask 1.68815 #20"
    assert gain.exact == Fraction(10_000) / Fraction(102350, 1000) / Fraction(168815, 100000)
    assert gain.money == Money(57_88, "GBP")
    loss = convert(ExactAmount(-10_000, 0, "JPY"), "GBP", QUOTES)
    assert loss.path == "1/USDJPY bid 102.340 #18, 1/GBPUSD bid 1.68800 #20"


def test_a_direct_quote_wins_over_two_steps_and_the_dollar_over_other_steps() -> None:
    direct = RateQuote("GBP", "JPY", 172700, 172750, 3, "s1", 21)
    assert len(convert(ExactAmount(1, 0, "JPY"), "GBP", {**QUOTES, "GBPJPY": direct}).legs) == 1
    eurjpy = RateQuote("EUR", "JPY", 141900, 141930, 3, "s1", 22)
    eurgbp = RateQuote("EUR", "GBP", 82100, 82120, 5, "s1", 23)
    through = convert(ExactAmount(1, 0, "JPY"), "GBP", {"EURGBP": eurgbp, "EURJPY": eurjpy, **QUOTES})
    assert [leg.symbol for leg in through.legs] == ["USDJPY", "GBPUSD"]


def test_a_reserve_is_valued_at_what_buying_costs_and_rounded_up() -> None:
    margin = convert(ExactAmount(100_00, 2, "EUR"), "USD", QUOTES, Way.BUY, Rounding.UP)
    assert (margin.money, margin.legs[0].side) == (Money(138_66, "USD"), "ask")


def test_what_was_used_is_recorded() -> None:
    (leg,) = convert(ExactAmount.of(Money(5, "EUR")), "USD", QUOTES).legs
    assert (leg.symbol, leg.side, leg.raw, leg.digits, leg.inverse) == ("EURUSD", "bid", 138650, 5, False)
    assert (leg.session_id, leg.sequence) == ("s1", 17)


@st.composite
def quotes(draw: st.DrawFn) -> dict[str, RateQuote]:
    made = {}
    for base, quote in (("EUR", "USD"), ("USD", "JPY"), ("EUR", "CHF")):
        bid = draw(st.integers(1, 10**7))
        ask = bid + draw(st.integers(0, 1000))
        made[base + quote] = RateQuote(base, quote, bid, ask, draw(st.integers(0, 6)))
    return made


AMOUNTS = st.builds(
    ExactAmount, st.integers(-(10**15), 10**15), st.integers(0, 9), st.sampled_from(["USD", "EUR", "JPY"])
)


@given(amount=AMOUNTS, to=st.sampled_from(["USD", "EUR", "JPY"]), market=quotes())
def test_the_exact_amount_is_never_more_than_half_a_minor_unit_away(
    amount: ExactAmount, to: str, market: dict[str, RateQuote]
) -> None:
    result = convert(amount, to, market)
    assert result.exact == amount.value * result.rate
    assert abs(result.rounded_off) <= Fraction(1, 2 * 10**result.money.unit.digits)


@given(amount=AMOUNTS, to=st.sampled_from(["USD", "EUR", "JPY"]), market=quotes())
def test_no_conversion_favours_the_account(
    amount: ExactAmount, to: str, market: dict[str, RateQuote]
) -> None:
    by_sign = convert(amount, to, market).exact
    ways = [convert(amount, to, market, way).exact for way in Way]
    assert by_sign == min(ways)


@given(amount=AMOUNTS, market=quotes())
def test_there_and_back_never_gains(amount: ExactAmount, market: dict[str, RateQuote]) -> None:
    there = convert(amount, "JPY", market, Way.SELL)
    back = there.exact
    for leg in convert(ExactAmount(1, 0, "JPY"), amount.currency, market, Way.SELL).legs:
        back *= leg.rate
    assert abs(back) <= abs(amount.value)


@given(raw=st.integers(-(10**12), 10**12), market=quotes())
def test_decimal_arithmetic_agrees(raw: int, market: dict[str, RateQuote]) -> None:
    exact = Context(prec=120)
    quote = market["EURUSD"]
    price = Decimal(quote.bid if raw >= 0 else quote.ask).scaleb(-quote.digits)
    expected = exact.multiply(Decimal(raw).scaleb(-7), price).quantize(
        Decimal("0.01"), ROUND_HALF_EVEN, exact
    )
    assert Decimal(convert(ExactAmount(raw, 7, "EUR"), "USD", market).money.amount) == expected
