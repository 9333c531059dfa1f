"""Amounts from one currency to another at live quotes, exactly, rounded once when they become Money.

A gain in a foreign currency is worth what selling it brings, a loss what buying it costs. For a pair quoted
foreign/account that is amount × bid or × ask; quoted the other way round, amount / ask or / bid. Without a
direct quote two steps through a third currency do. The quotes used are part of the result and go on the
posting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Self

from services.errors import FxError, Kind
from services.money.currencies import CURRENCIES, currency
from services.money.decimals import format_decimal, format_trimmed
from services.money.rounding import Rounding, round_fraction
from services.money.values import Money

RATE_DIGITS = 12
"""Decimals of a rate's text. For reading: the legs give the exact rate."""


class Way(Enum):
    """What happens to the foreign currency."""

    SELL = "sell"
    """Gains, credits: the foreign amount is sold for the account currency."""
    BUY = "buy"
    """Losses, charges, and reserves to be held: the foreign amount is bought with it."""


@dataclass(frozen=True, slots=True)
class ExactAmount:
    """An amount before posting: raw × 10^-digits of `currency`, either sign, at any scale.

    Size (2 digits) × price difference (5 digits) has 7 digits and nothing is lost.
    """

    raw: int
    digits: int
    currency: str

    @classmethod
    def of(cls, money: Money) -> Self:
        """A posted amount, to convert it further."""
        return cls(money.raw, money.unit.digits, money.currency)

    @property
    def value(self) -> Fraction:
        """The exact number."""
        return Fraction(self.raw, 10**self.digits)

    def __str__(self) -> str:
        return f"{format_trimmed(self.raw, self.digits)} {self.currency}"


@dataclass(frozen=True, slots=True)
class RateQuote:
    """A tradable quote to convert at. Raises ValueError for a crossed one or prices not above zero."""

    base: str
    quote: str
    bid: int
    ask: int
    digits: int
    session_id: str = ""
    sequence: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.bid <= self.ask:
            raise ValueError(f"cannot convert at {self.base}{self.quote} {self.bid}/{self.ask}")


@dataclass(frozen=True, slots=True)
class Leg:
    """One step of a conversion: the price used, of which quote, and whether it multiplied or divided."""

    symbol: str
    side: str
    """`bid` or `ask`."""
    raw: int
    digits: int
    inverse: bool
    """True where the amount was divided by the price."""
    session_id: str
    sequence: int

    @property
    def rate(self) -> Fraction:
        """What one unit of the leg's source currency came to."""
        price = Fraction(self.raw, 10**self.digits)
        return 1 / price if self.inverse else price

    def __str__(self) -> str:
        price = format_decimal(self.raw, self.digits)
        return f"{'1/' if self.inverse else ''}{self.symbol} {self.side} {price} #{self.sequence}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out: `money` to post, and what it rests on. No legs when the currency did not change."""

    source: ExactAmount
    money: Money
    exact: Fraction
    """The converted amount before rounding."""
    legs: tuple[Leg, ...]

    @property
    def rate(self) -> Fraction:
        """Exact account units for one source unit."""
        return rate_of(self.legs)

    @property
    def rate_text(self) -> str:
        """The rate as decimal text with at most twelve decimals, rounded half-even."""
        return format_trimmed(round_fraction(self.rate * 10**RATE_DIGITS), RATE_DIGITS)

    @property
    def path(self) -> str:
        """The legs for a person: `1/USDJPY ask 102.345 #17`; empty without any."""
        return path_of(self.legs)

    @property
    def rounded_off(self) -> Fraction:
        """`money` minus the exact amount: at most half a minor unit, either sign."""
        return Fraction(self.money.raw, 10**self.money.unit.digits) - self.exact


def rate_of(legs: Iterable[Leg]) -> Fraction:
    """What one unit of the first leg's source currency came to; 1 without legs."""
    rate = Fraction(1)
    for leg in legs:
        rate *= leg.rate
    return rate


def path_of(legs: Iterable[Leg]) -> str:
    """Legs for a person."""
    return ", ".join(map(str, legs))


def convert(
    amount: ExactAmount,
    to: str,
    quotes: Mapping[str, RateQuote],
    way: Way | None = None,
    rounding: Rounding = Rounding.HALF_EVEN,
) -> Conversion:
    """`amount` in the currency `to`, as Money of its scale.

    `quotes` by symbol, tradable ones only. `way` defaults to SELL for a gain (or zero) and BUY for a loss;
    give BUY to value a reserve such as margin. A direct quote wins over two steps, a step through USD over
    others, in the order of the currency table, so that the same quotes always give the same path.

    Raises FxError: INVALID_ARGUMENT `VALIDATION_FAILED` for an unknown currency `to`, FAILED_PRECONDITION
    `NO_CONVERSION_RATE` when no path exists.
    """
    currency(to)  # known, or no path to it is looked for
    legs = legs_between(amount.currency, to, quotes, way or (Way.BUY if amount.raw < 0 else Way.SELL))
    return convert_at(amount, to, legs, rounding)


def convert_at(
    amount: ExactAmount, to: str, legs: tuple[Leg, ...], rounding: Rounding = Rounding.HALF_EVEN
) -> Conversion:
    """`amount` through legs that lead to the currency `to`: of now, or of a posting that is there. Raises
    FxError INVALID_ARGUMENT `VALIDATION_FAILED` for an unknown currency.
    """
    exact = amount.value * rate_of(legs)
    raw = round_fraction(exact * 10 ** currency(to).digits, rounding)
    return Conversion(amount, Money(raw, to), exact, legs)


def legs_between(source: str, to: str, quotes: Mapping[str, RateQuote], way: Way) -> tuple[Leg, ...]:
    """The steps from one currency to another; none for the same. Raises FxError `NO_CONVERSION_RATE`."""
    if source == to:
        return ()
    direct = _leg(source, to, quotes, way)
    if direct is not None:
        return (direct,)
    for through in CURRENCIES:
        first = _leg(source, through, quotes, way)
        second = _leg(through, to, quotes, way) if first is not None else None
        if first is not None and second is not None:
            return (first, second)
    raise FxError(
        Kind.FAILED_PRECONDITION, "NO_CONVERSION_RATE", f"no tradable quote leads from {source} to {to}"
    )


def _leg(source: str, to: str, quotes: Mapping[str, RateQuote], way: Way) -> Leg | None:
    """The step from `source` to `to`, or None without a quote of the two."""
    inverse = False
    quote = quotes.get(source + to)
    if quote is None:
        quote = quotes.get(to + source)
        inverse = True
    if quote is None:
        return None
    # Selling the base hits the bid. With `source` on the quote side, selling it is buying the base.
    side = "bid" if (way is Way.SELL) != inverse else "ask"
    return Leg(
        symbol=quote.base + quote.quote,
        side=side,
        raw=quote.bid if side == "bid" else quote.ask,
        digits=quote.digits,
        inverse=inverse,
        session_id=quote.session_id,
        sequence=quote.sequence,
    )
