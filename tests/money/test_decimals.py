"""Decimal text: what must never pass, what passes exactly, and that text and integers are inverse."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.money import format_decimal, format_trimmed, parse_decimal
from services.money.decimals import MAX_RAW

HOSTILE = [
    "",
    " ",
    "1e5",
    "1E5",
    "1e-2",
    "NaN",
    "nan",
    "inf",
    "Infinity",
    "-inf",
    "1_000",
    "1,000",
    "1,5",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "\n1",
    "1\x00",
    "１",  # full-width one
    "1.２",
    "١",  # Arabic-Indic one
    "²",
    "1.",
    ".5",
    ".",
    "-",
    "-.5",
    "01",
    "00",
    "-01",
    "0x10",
    "1.2.3",
    "--1",
    "1-",
    "−1",  # the minus sign of typography
    "½",
    "one",
    "1" * 49,
    "0." + "0" * 5000,
    "9" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_text_is_refused_as_a_field_violation(text: str) -> None:
    with pytest.raises(FxError) as caught:
        parse_decimal(text, 5, signed=True, field="order.price")
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert [violation.field for violation in caught.value.violations] == ["order.price"]
    assert len(caught.value.detail) < 500
    assert caught.value.detail.isascii() and caught.value.detail.isprintable()


def test_a_minus_sign_is_refused_where_only_unsigned_numbers_make_sense() -> None:
    with pytest.raises(FxError, match="must not be negative"):
        parse_decimal("-1.5", 2)
    assert parse_decimal("-1.5", 2, signed=True) == -150


def test_decimals_beyond_the_scale_are_refused_not_rounded() -> None:
    with pytest.raises(FxError, match="at most 5 decimals"):
        parse_decimal("1.386581", 5)
    with pytest.raises(FxError, match="at most 0 decimals"):
        parse_decimal("100.5", 0)


def test_zeros_beyond_the_scale_change_nothing_and_pass() -> None:
    assert parse_decimal("1.3865800", 5) == 138658
    assert parse_decimal("100.00", 0) == 100


def test_the_largest_value_is_that_of_sint64() -> None:
    assert parse_decimal("9223372036854775807", 0) == MAX_RAW
    assert parse_decimal("-9.223372036854775807", 18, signed=True) == -MAX_RAW
    with pytest.raises(FxError, match="too large"):
        parse_decimal("9223372036854775808", 0)
    with pytest.raises(FxError, match="too large"):
        parse_decimal("92233720368547758.08", 3)


@pytest.mark.parametrize(
    ("text", "digits", "raw"),
    [("0", 5, 0), ("-0", 2, 0), ("1", 5, 100000), ("1.5", 2, 150), ("0.00001", 5, 1), ("162.003", 3, 162003)],
)
def test_plain_numbers_are_taken_exactly(text: str, digits: int, raw: int) -> None:
    assert parse_decimal(text, digits, signed=True) == raw


@pytest.mark.parametrize(
    ("raw", "digits", "fixed", "trimmed"),
    [
        (0, 0, "0", "0"),
        (0, 2, "0.00", "0"),
        (-5, 2, "-0.05", "-0.05"),
        (5, 5, "0.00005", "0.00005"),
        (138650, 5, "1.38650", "1.3865"),
        (1_000_000, 2, "10000.00", "10000"),
        (-100, 0, "-100", "-100"),
    ],
)
def test_formatting(raw: int, digits: int, fixed: str, trimmed: str) -> None:
    assert format_decimal(raw, digits) == fixed
    assert format_trimmed(raw, digits) == trimmed


@given(raw=st.integers(-MAX_RAW, MAX_RAW), digits=st.integers(0, 18))
def test_text_and_integer_are_inverse(raw: int, digits: int) -> None:
    assert parse_decimal(format_decimal(raw, digits), digits, signed=True) == raw
    assert parse_decimal(format_trimmed(raw, digits), digits, signed=True) == raw
    assert Decimal(format_decimal(raw, digits)) == Decimal(raw).scaleb(-digits)


@given(text=st.text(alphabet="0123456789.-+eE_ ,naif１", max_size=12), digits=st.integers(0, 8))
def test_whatever_passes_is_what_decimal_reads(text: str, digits: int) -> None:
    try:
        raw = parse_decimal(text, digits, signed=True)
    except FxError:
        return
    assert Decimal(text) == Decimal(raw).scaleb(-digits)
