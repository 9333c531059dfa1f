"""The instruments fxmesh knows: the 28 pairs of the eight major currencies in market order, gold and silver.

Everything that depends on the instrument alone is here and nowhere else: scales, steps, lots, margin, value
date, calendar, limits on price age, spread and price. Prices are scaled by `digits`, sizes by `size_digits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from services.errors import VALIDATION_FAILED, FxError, Kind, Violation, invalid_field
from services.market.instrument_table import ROWS, Row
from services.money.currencies import CURRENCIES, Currency, among
from services.money.decimals import format_decimal, format_trimmed
from services.money.rounding import on_step
from services.money.values import Pair, Price, Size

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable pair. Prices, tick, pip and spread are raw at `digits`; sizes at `size_digits`."""

    symbol: str
    base: str
    quote: str
    description: str
    digits: int
    """Decimals of a quoted price (the point): 5, JPY pairs 3."""
    tick: int
    """Smallest price step, raw: one point."""
    pip: int
    """One pip, raw: ten points for currencies."""
    size_digits: int
    size_step: int
    size_min: int
    size_max: int
    lot_units: int
    """Whole base units of one standard lot: 100,000; 100 oz of gold, 5,000 oz of silver."""
    margin_rate: Decimal
    """Share of the notional held as margin by default; the account's own leverage may ask for more."""
    value_date_lag: int
    """Business days from trade to spot value date: 2, USDCAD 1."""
    max_price_age_ns: int
    """Market time after which the last quote of a living feed is too old to trade on."""
    max_spread: int
    """Spread above which a quote is flagged wide."""
    max_jump_bp: int
    """Move of the middle from one tick to the next, in ten-thousandths, above which a tick is flagged."""
    price_low: int
    price_high: int
    """Plausible band: holds all trading since 2000 with room, and exposes a series with a wrong label."""
    calendar: str
    """Name for `services.market.calendar.calendar`."""

    @property
    def pair(self) -> Pair:
        """Base and quote currency."""
        return Pair(self.base, self.quote)

    @property
    def triple_charge_weekday(self) -> int:
        """Weekday (Monday 0) whose roll charges three days of financing: Wednesday, Thursday for T+1."""
        return 4 - self.value_date_lag

    def price_text(self, raw: int) -> str:
        """Decimal text of a raw price, always with all digits: "1.38650"."""
        return format_decimal(raw, self.digits)

    def size_text(self, raw: int) -> str:
        """Decimal text of a raw size without needless zeros: "10000"."""
        return format_trimmed(raw, self.size_digits)

    def plausible(self, raw: int) -> bool:
        """True when a price of this instrument may be `raw`; false means a wrong label, scale or file."""
        return self.price_low <= raw <= self.price_high

    def price(self, text: str, field: str = "price") -> Price:
        """A price on the tick from decimal text.

        Raises FxError INVALID_ARGUMENT: `VALIDATION_FAILED`, or `PRICE_TICK`.
        """
        price = Price.parse(text, self.digits, field)
        if not on_step(price.raw, self.tick):
            step = Price(self.tick, self.digits)
            raise invalid_field("PRICE_TICK", field, f"must be a multiple of {step}, not {price}")
        return price

    def size(self, text: str, field: str = "size") -> Size:
        """An order size on the step and between minimum and maximum, from decimal text of base units.

        Raises FxError INVALID_ARGUMENT: `VALIDATION_FAILED`, `SIZE_STEP`, `SIZE_BELOW_MINIMUM`,
        `SIZE_ABOVE_MAXIMUM`.
        """
        size = Size.parse(text, self.size_digits, field)
        self.check_size(size.raw, field)
        return size

    def check_size(self, raw: int, field: str = "size") -> None:
        """Refuses a raw order size as `size` does."""
        given = Size(raw, self.size_digits)
        if raw < self.size_min:
            least = Size(self.size_min, self.size_digits)
            raise invalid_field("SIZE_BELOW_MINIMUM", field, f"must be at least {least}, not {given}")
        if raw > self.size_max:
            most = Size(self.size_max, self.size_digits)
            raise invalid_field("SIZE_ABOVE_MAXIMUM", field, f"must be at most {most}, not {given}")
        if not on_step(raw, self.size_step):
            step = Size(self.size_step, self.size_digits)
            raise invalid_field("SIZE_STEP", field, f"must be a multiple of {step}, not {given}")


def _built(row: Row) -> Instrument:
    pair, kind = Pair.parse(row.symbol), row.kind
    digits = 3 if pair.quote == "JPY" else kind.digits
    point = 10**digits
    return Instrument(
        symbol=row.symbol,
        base=pair.base,
        quote=pair.quote,
        description=f"{pair.base}/{pair.quote}",
        digits=digits,
        tick=1,
        pip=10,
        size_digits=2,
        size_step=kind.size_step,
        size_min=kind.size_min,
        size_max=kind.size_max,
        lot_units=kind.lot_units,
        margin_rate=Decimal(row.margin_rate),
        value_date_lag=row.value_date_lag,
        max_price_age_ns=row.max_price_age_s * SECOND_NS,
        max_spread=row.max_spread_pips * 10,
        max_jump_bp=kind.max_jump_bp,
        price_low=int(Decimal(row.low) * point),
        price_high=int(Decimal(row.high) * point),
        calendar=kind.calendar,
    )


INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType({row.symbol: _built(row) for row in ROWS})
"""By symbol, in the order of the table: majors, crosses, metals."""


ACCOUNT_CURRENCIES = tuple(
    code
    for code, known in CURRENCIES.items()
    if not known.metal and any(code in (each.base, each.quote) for each in INSTRUMENTS.values())
)
"""What an account's cash can be kept in: an instrument leads there, so that profit and margin convert. Metals
are traded against a currency; nobody's cash is kept in them.
"""


def account_currency(code: str, field: str = "currency") -> Currency:
    """A currency that an account may be kept in.

    Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`, naming `field`.
    """
    if code in CURRENCIES and code not in ACCOUNT_CURRENCIES:
        known = ", ".join(ACCOUNT_CURRENCIES)
        detail = f"no instrument converts to {code}: an account is kept in one of {known}"
        raise invalid_field(VALIDATION_FAILED, field, detail)
    return among(ACCOUNT_CURRENCIES, code, field)


def instrument(symbol: str) -> Instrument:
    """The instrument of `symbol`. Raises FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL` with its violation."""
    found = INSTRUMENTS.get(symbol)
    if found is None:
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "UNKNOWN_SYMBOL",
            f"no instrument {symbol[:20]!a}; the market data service lists those it has",
            (Violation("symbol", "is not a known instrument"),),
        )
    return found


def require_known(symbols: Iterable[str]) -> None:
    """Refuse symbols that are no instruments, the first of them, as `instrument` does."""
    for symbol in symbols:
        instrument(symbol)
