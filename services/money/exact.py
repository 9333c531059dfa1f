"""Exact numbers as text, for what is stored and shown beside an amount that was rounded.

A number that some decimal text gives exactly is written so; any other (what dividing by a price leaves) as a
fraction "n/d". `Fraction` reads both back.
"""

from __future__ import annotations

from fractions import Fraction

from services.money.decimals import format_trimmed
from services.money.rounding import round_fraction

READ_DIGITS = 12
"""Decimals shown of a number that has no end."""


def exact_text(value: Fraction) -> str:
    """Decimal text where it is exact, else "numerator/denominator"."""
    digits = _decimals(value.denominator)
    if digits is None:
        return f"{value.numerator}/{value.denominator}"
    return format_trimmed(int(value * 10**digits), digits)


def decimal_text(value: Fraction) -> str:
    """Decimal text to read: exact where it can be, else rounded half-even to `READ_DIGITS`."""
    digits = _decimals(value.denominator)
    if digits is not None:
        return exact_text(value)
    return format_trimmed(round_fraction(value * 10**READ_DIGITS), READ_DIGITS)


def _decimals(denominator: int) -> int | None:
    """How many decimals a fraction in lowest terms has; None without end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None
