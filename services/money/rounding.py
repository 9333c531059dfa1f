"""Integer rounding and scaling. Half-even is the rule for money, applied once, when it is posted."""

from __future__ import annotations

from enum import Enum
from fractions import Fraction


class Rounding(Enum):
    """Where a value between two steps goes."""

    HALF_EVEN = "half_even"
    """Nearest; a tie to the even step. Sums of many roundings do not drift."""
    DOWN = "down"
    """Towards zero: a size never grows."""
    UP = "up"
    """Away from zero: a reserve never falls short."""
    FLOOR = "floor"
    """Towards minus infinity: a buy limit or a bid never gets worse."""
    CEILING = "ceiling"
    """Towards plus infinity: a sell limit or an ask never gets worse."""


def power_of_ten(exponent: int) -> int:
    """10^exponent. Raises ValueError below zero, where Python would answer with a float."""
    if 0 <= exponent < _KEPT:
        return _POWERS[exponent]
    if exponent < 0:
        raise ValueError(f"no whole number: 10^{exponent}")
    return int(10**exponent)


_KEPT = 40
_POWERS = tuple(int(10**exponent) for exponent in range(_KEPT))


def divide(numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_EVEN) -> int:
    """`numerator / denominator` as a whole number, exact before rounding. Raises ZeroDivisionError."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    floor, rest = divmod(numerator, denominator)
    if not rest:
        return floor
    match rounding:
        case Rounding.HALF_EVEN:
            twice = 2 * rest
            return floor + (twice > denominator or (twice == denominator and floor % 2 == 1))
        case Rounding.DOWN:
            return floor + (numerator < 0)
        case Rounding.UP:
            return floor + (numerator > 0)
        case Rounding.FLOOR:
            return floor
        case Rounding.CEILING:
            return floor + 1


def round_fraction(value: Fraction, rounding: Rounding = Rounding.HALF_EVEN) -> int:
    """The whole number for `value`."""
    return divide(value.numerator, value.denominator, rounding)


def rescale(raw: int, digits: int, to_digits: int, rounding: Rounding = Rounding.HALF_EVEN) -> int:
    """`raw` of scale `digits` at the scale `to_digits`; rounds only where decimals are dropped."""
    if to_digits >= digits:
        return raw * power_of_ten(to_digits - digits)
    return divide(raw, power_of_ten(digits - to_digits), rounding)


def rescale_exact(raw: int, digits: int, to_digits: int) -> int:
    """Like `rescale`; raises ValueError where a decimal other than zero would be dropped."""
    scaled = rescale(raw, digits, to_digits, Rounding.FLOOR)
    if to_digits < digits and scaled * power_of_ten(digits - to_digits) != raw:
        raise ValueError(f"{raw}e-{digits} has more than {to_digits} decimals")
    return scaled


def on_step(raw: int, step: int) -> bool:
    """True when `raw` is a whole multiple of `step` (a price of the tick, a size of the size step)."""
    return raw % step == 0


def quantise(raw: int, step: int, rounding: Rounding = Rounding.HALF_EVEN) -> int:
    """The multiple of `step` for `raw`. Raises ValueError for a step below 1."""
    if step < 1:
        raise ValueError(f"a step is at least 1: {step}")
    return divide(raw, step, rounding) * step
