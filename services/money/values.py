"""The values of the ledger: Price, Size, Money, Pair. Scaled integers inside, decimal text outside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from services.errors import VALIDATION_FAILED, invalid_field
from services.money.currencies import Currency, currency
from services.money.decimals import MAX_DIGITS, format_decimal, format_trimmed, parse_decimal
from services.money.rounding import Rounding, power_of_ten, quantise, rescale, rescale_exact

_SYMBOL = re.compile("[A-Z]{6}")


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """value = raw × 10^-digits. Equal, ordered and hashed by value, whatever the scale."""

    raw: int
    digits: int

    def __post_init__(self) -> None:
        if type(self.raw) is not int or type(self.digits) is not int:
            raise TypeError(f"scaled integers only: {self.raw!r}, {self.digits!r}")
        if not 0 <= self.digits <= MAX_DIGITS:
            raise ValueError(f"digits lie in 0..{MAX_DIGITS}: {self.digits}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._aligned(other.digits) == other._aligned(self.digits)

    def __hash__(self) -> int:
        return hash((type(self), format_trimmed(self.raw, self.digits)))

    def __lt__(self, other: Self) -> bool:
        return self._aligned(other.digits) < other._aligned(self.digits)

    def __le__(self, other: Self) -> bool:
        return self._aligned(other.digits) <= other._aligned(self.digits)

    def __gt__(self, other: Self) -> bool:
        return other < self

    def __ge__(self, other: Self) -> bool:
        return other <= self

    def _aligned(self, digits: int) -> int:
        return self.raw * power_of_ten(max(digits - self.digits, 0))

    def at(self, digits: int) -> Self:
        """The same value at another scale. Raises ValueError where that would drop a decimal."""
        return type(self)(rescale_exact(self.raw, self.digits, digits), digits)

    def rounded(self, digits: int, rounding: Rounding = Rounding.HALF_EVEN) -> Self:
        """The nearest value at another scale."""
        return type(self)(rescale(self.raw, self.digits, digits, rounding), digits)

    def quantised(self, step: int, rounding: Rounding = Rounding.HALF_EVEN) -> Self:
        """The multiple of `step` (raw, at this scale) for this value."""
        return type(self)(quantise(self.raw, step, rounding), self.digits)


@dataclass(frozen=True, slots=True, eq=False)
class Price(_Scaled):
    """Units of the quote currency for one unit of the base currency; always above zero."""

    def __post_init__(self) -> None:
        _Scaled.__post_init__(self)  # super() without arguments fails in a slotted dataclass on 3.11
        if self.raw <= 0:
            raise ValueError(f"a price is above zero: {self.raw}e-{self.digits}")

    @classmethod
    def parse(cls, text: str, digits: int, field: str = "price") -> Self:
        """From decimal text. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`, for zero too."""
        raw = parse_decimal(text, digits, field=field)
        if raw == 0:
            raise invalid_field(VALIDATION_FAILED, field, "must be above zero")
        return cls(raw, digits)

    def __str__(self) -> str:
        return format_decimal(self.raw, self.digits)


@dataclass(frozen=True, slots=True, eq=False)
class Size(_Scaled):
    """Units of the base currency. Below zero only for the net of a short position; text is never signed."""

    @classmethod
    def parse(cls, text: str, digits: int, field: str = "size") -> Self:
        """From unsigned decimal text. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`; zero is a size."""
        return cls(parse_decimal(text, digits, field=field), digits)

    def __str__(self) -> str:
        return format_trimmed(self.raw, self.digits)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount posted to a ledger: `raw` minor units (cents; whole yen) of `currency`, either sign.

    Raises FxError as `currency` does when the currency has no entry in the table.
    """

    raw: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.raw) is not int:
            raise TypeError(f"minor units are whole: {self.raw!r}")
        currency(self.currency)

    @classmethod
    def parse(cls, text: str, code: str, field: str = "amount") -> Self:
        """From decimal text with an optional minus sign, at the currency's own scale."""
        return cls(parse_decimal(text, currency(code).digits, signed=True, field=field), code)

    @classmethod
    def zero(cls, code: str) -> Self:
        """Nothing, in `code`."""
        return cls(0, code)

    @property
    def unit(self) -> Currency:
        """The currency's row in the table: scale and name."""
        return currency(self.currency)

    @property
    def amount(self) -> str:
        """Decimal text without the currency: "-12.30"."""
        return format_decimal(self.raw, self.unit.digits)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.raw + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.raw - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.raw, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.raw < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.raw <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.raw > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.raw >= self._same(other)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise ValueError(f"convert first: {self.currency} and {other.currency}")
        return other.raw


@dataclass(frozen=True, slots=True)
class Pair:
    """A currency pair in market order: one unit of `base` costs so much of `quote`."""

    base: str
    quote: str

    @classmethod
    def parse(cls, symbol: str) -> Self:
        """From six letters (EURUSD). Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`."""
        if not _SYMBOL.fullmatch(symbol) or symbol[:3] == symbol[3:]:
            raise invalid_field(
                VALIDATION_FAILED,
                "symbol",
                f"must be two different currencies in six capital letters, not {symbol[:20]!a}",
            )
        return cls(symbol[:3], symbol[3:])

    @property
    def symbol(self) -> str:
        """The six letters."""
        return self.base + self.quote

    @property
    def inverse(self) -> Pair:
        """The pair seen from the other side (rarely one that is quoted)."""
        return Pair(self.quote, self.base)

    def __contains__(self, code: str) -> bool:
        return code in (self.base, self.quote)

    def __str__(self) -> str:
        return self.symbol
