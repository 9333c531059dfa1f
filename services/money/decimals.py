"""Decimal text to scaled integers and back: the only way for a number that a person or program typed.

Strict on purpose. What `Decimal` or `float` would take and a person did not mean (1e5, NaN, 1_000, +1,
full-width digits) is refused with its reason. Zeros beyond the scale are accepted (1.386580 is a EURUSD
price: the value is exact); any other decimal beyond it is refused, never rounded.
"""

from __future__ import annotations

import re

from services.errors import VALIDATION_FAILED, FxError, invalid_field

MAX_DIGITS = 18
"""Largest scale: 10**18 still fits the sint64 columns that carry scaled integers."""
MAX_RAW = 2**63 - 1
MAX_TEXT = 48
"""Longer text is refused unread: a sign, the 19 digits of sint64, a point and room for zeros need less."""

# [0-9], not \d: \d takes every script's digits. fullmatch, not $: $ lets a newline through.
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?")


def parse_decimal(text: str, digits: int, *, signed: bool = False, field: str = "value") -> int:
    """The scaled integer of `text` at the scale `digits`: ("1.5", 2) is 150.

    Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`, naming `field`, for: an exponent, NaN, infinity,
    underscore, plus sign, space, non-ASCII digit, leading zero ("01"), missing digit (".5", "5."), a minus
    sign unless `signed`, decimals beyond the scale that are not zero, values beyond 64 bits, text beyond 48
    characters.
    """
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise _refused(field, f"must be a plain decimal number such as 1234.5, not {_shown(text)}")
    sign, whole, decimals = match.groups(default="")
    if sign and not signed:
        raise _refused(field, f"must not be negative, not {_shown(text)}")
    if len(decimals) > digits:
        if decimals[digits:].strip("0"):
            raise _refused(field, f"must have at most {digits} decimals, not {_shown(text)}")
        decimals = decimals[:digits]
    raw = int(whole + decimals.ljust(digits, "0"))
    if raw > MAX_RAW:
        raise _refused(field, f"is too large: {_shown(text)}")
    return -raw if sign else raw


def format_decimal(raw: int, digits: int) -> str:
    """Decimal text with exactly `digits` decimals: (150, 2) is "1.50". The inverse of `parse_decimal`."""
    sign = "-" if raw < 0 else ""
    if digits == 0:
        return f"{raw}"
    text = f"{abs(raw):0{digits + 1}d}"
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def format_trimmed(raw: int, digits: int) -> str:
    """Decimal text without needless zeros: (1_000_000, 2) is "10000", (150, 2) is "1.5"."""
    text = format_decimal(raw, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(text: str) -> str:
    """What the caller typed, escaped and cut: no control characters or megabytes in an error."""
    return ascii(text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…")


def _refused(field: str, description: str) -> FxError:
    return invalid_field(VALIDATION_FAILED, field, description)
