"""Exact numbers as text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.money.exact import decimal_text, exact_text


@pytest.mark.parametrize(
    ("value", "exact", "read"),
    [
        (Fraction(0), "0", "0"),
        (Fraction(-5, 4), "-1.25", "-1.25"),
        (Fraction(11_000), "11000", "11000"),
        (Fraction(1, 3), "1/3", "0.333333333333"),
        (Fraction(-2, 3), "-2/3", "-0.666666666667"),
        (Fraction(1, 2**40), "0." + f"{5**40:040d}", "0." + f"{5**40:040d}"),
    ],
)
def test_text_of_a_number(value: Fraction, exact: str, read: str) -> None:
    assert (exact_text(value), decimal_text(value)) == (exact, read)


@settings(deadline=None)  # the machine may be busy
@given(st.fractions())
def test_exact_text_is_read_back_as_the_same_number(value: Fraction) -> None:
    assert Fraction(exact_text(value)) == value
