"""Price, size and symbol text of a file line, checked against the instrument it must belong to.

Files are judged with more reasons than a typed number (`services.money.decimals`), so that a person sees at
once whether a line is damaged, has too many decimals, or belongs to another symbol.
"""

from __future__ import annotations

import re

from services.market.formats.rejects import (
    BAD_PRICE,
    BAD_SIZE,
    NON_POSITIVE_PRICE,
    PRICE_IMPLAUSIBLE,
    PRICE_PRECISION,
    WRONG_SYMBOL,
    LineError,
    quoted,
)
from services.market.instruments import Instrument
from services.money.decimals import format_trimmed

PRICE = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
"""A price in a file: at most 9 and 9 digits, so that the raw value always fits 64 bits. Zeros may pad it."""
_PRICE = re.compile(rf"(-?){PRICE}")
_MAX_KNOWN = 200_000
"""Prices remembered by their text: the same few thousand come again and again, at a tenth of the cost."""
_SIZE = re.compile(r"([0-9]{1,15})(?:\.0{1,9})?")
_SYMBOL = re.compile(r"([A-Za-z]{3})[/_-]?([A-Za-z]{3})(?:\.[A-Za-z0-9]{1,12})?")


class Prices:
    """Reads the prices of one instrument: text to its scaled integer, within its plausible band."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.digits = instrument.digits
        self.low = instrument.price_low
        self.high = instrument.price_high
        self._known: dict[str, int] = {}

    def parse(self, text: str, name: str) -> int:
        """The scaled integer of `text`; `name` is the column in messages.

        Decimals beyond the instrument's digits must be zeros. Raises LineError `BAD_PRICE`,
        `NON_POSITIVE_PRICE`, `PRICE_PRECISION` or `PRICE_IMPLAUSIBLE`.
        """
        raw = self._known.get(text)
        if raw is None:
            raw = self._judged(text, name)
            if len(self._known) < _MAX_KNOWN:
                self._known[text] = raw
        return raw

    def _judged(self, text: str, name: str) -> int:
        match = _PRICE.fullmatch(text)
        if match is None:
            raise LineError(BAD_PRICE, f"{name} is {quoted(text)}, expected a plain number like 1.38676")
        whole, _, decimals = text.lstrip("-").partition(".")
        if match[1] or not (whole + decimals).strip("0"):
            raise LineError(NON_POSITIVE_PRICE, f"{name} is {quoted(text)}, expected a price above zero")
        if decimals[self.digits :].strip("0"):
            expected = f"at most {self.digits} decimals for {self.instrument.symbol}"
            raise LineError(PRICE_PRECISION, f"{name} is {quoted(text)}, expected {expected}")
        raw = int(whole + decimals.ljust(self.digits, "0")[: self.digits])
        if not self.low <= raw <= self.high:
            raise LineError(PRICE_IMPLAUSIBLE, f"{name} is {quoted(text)}, {self._band()}")
        return raw

    def _band(self) -> str:
        low, high = format_trimmed(self.low, self.digits), format_trimmed(self.high, self.digits)
        return f"expected {low} to {high} for {self.instrument.symbol}: is this file of another symbol?"


def parse_size(text: str, name: str) -> int:
    """Whole units of the base currency. Raises LineError `BAD_SIZE`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise LineError(BAD_SIZE, f"{name} is {quoted(text)}, expected a whole number of units")
    return int(match[1])


def symbol_of(text: str) -> str | None:
    """The symbol that a file means by `text` (`EUR/USD`, `EUR_USD`, `eurusd`, `EUR/USD.SIM`), None if it is
    none.
    """
    match = _SYMBOL.fullmatch(text)
    return (match[1] + match[2]).upper() if match else None


def check_symbol(text: str, wanted: str) -> None:
    """Raises LineError `WRONG_SYMBOL` unless `text` means `wanted`."""
    if symbol_of(text) != wanted:
        raise LineError(WRONG_SYMBOL, f"the line is of {quoted(text)}, expected {wanted}")
