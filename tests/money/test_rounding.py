"""Integer rounding against Python's Decimal, and steps."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_UP, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.money import Rounding, divide, on_step, quantise, rescale, rescale_exact, round_fraction

DECIMAL_MODES = {
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.UP: ROUND_UP,
    Rounding.FLOOR: ROUND_FLOOR,
    Rounding.CEILING: ROUND_CEILING,
}
EXACT = Context(prec=80)


def test_a_zero_divisor_a_zero_step_and_a_lossy_exact_rescale_are_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    with pytest.raises(ValueError, match="at least 1"):
        quantise(5, 0)
    with pytest.raises(ValueError, match="more than 2 decimals"):
        rescale_exact(1005, 3, 2)
    with pytest.raises(ValueError, match="more than 0 decimals"):
        rescale_exact(-1, 18, 0)


@pytest.mark.parametrize(
    ("numerator", "half_even", "down", "up", "floor", "ceiling"),
    [
        (5, 2, 2, 3, 2, 3),
        (7, 4, 3, 4, 3, 4),
        (-5, -2, -2, -3, -3, -2),
        (-7, -4, -3, -4, -4, -3),
        (4, 2, 2, 2, 2, 2),
    ],
)
def test_halves(numerator: int, half_even: int, down: int, up: int, floor: int, ceiling: int) -> None:
    modes = (Rounding.HALF_EVEN, Rounding.DOWN, Rounding.UP, Rounding.FLOOR, Rounding.CEILING)
    assert [divide(numerator, 2, mode) for mode in modes] == [half_even, down, up, floor, ceiling]
    assert [divide(-numerator, -2, mode) for mode in modes] == [half_even, down, up, floor, ceiling]


@given(raw=st.integers(-(10**24), 10**24), dropped=st.integers(0, 9), mode=st.sampled_from(Rounding))
def test_rescaling_rounds_as_decimal_does(raw: int, dropped: int, mode: Rounding) -> None:
    expected = Decimal(raw).scaleb(-dropped, EXACT).quantize(Decimal(1), DECIMAL_MODES[mode], EXACT)
    assert rescale(raw, dropped, 0, mode) == int(expected)


@given(raw=st.integers(-(10**18), 10**18), digits=st.integers(0, 9), more=st.integers(0, 9))
def test_a_finer_scale_loses_nothing(raw: int, digits: int, more: int) -> None:
    finer = rescale(raw, digits, digits + more)
    assert Fraction(finer, 10 ** (digits + more)) == Fraction(raw, 10**digits)
    assert rescale_exact(finer, digits + more, digits) == raw


@given(value=st.fractions())
def test_half_even_of_a_fraction_is_that_of_python(value: Fraction) -> None:
    assert round_fraction(value) == round(value)


@given(raw=st.integers(-(10**12), 10**12), step=st.integers(1, 10**6), mode=st.sampled_from(Rounding))
def test_a_quantised_value_is_on_its_step_and_near(raw: int, step: int, mode: Rounding) -> None:
    result = quantise(raw, step, mode)
    assert on_step(result, step)
    assert abs(result - raw) * (2 if mode is Rounding.HALF_EVEN else 1) <= step - (
        mode is not Rounding.HALF_EVEN
    )
    assert quantise(result, step, mode) == result
