"""What positions and accounts are worth, and how much margin and exposure they carry, at the last good
quotes.

A long position is worth what selling it now would bring, a short one what buying it back would cost. Profit
is converted as it would be posted; margin is a reserve, so it is bought and rounded up. Of a symbol that is
held on both sides, in a hedging account, the side with the larger margin counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from services.market.instruments import Instrument, instrument
from services.money.conversion import Way
from services.money.currencies import CURRENCIES
from services.money.rounding import divide, power_of_ten
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.events import AccountView, PositionView
from services.trading_gateway.domain.positions import Position

if TYPE_CHECKING:
    from services.trading_gateway.domain.book import Book
    from services.trading_gateway.domain.feeds import Feed


class Exchange(Protocol):
    """What currencies come to in one another."""

    def factor(self, source: str, to: str, way: Way) -> tuple[int, int] | None:
        """Numerator and denominator of one unit; None where no quote leads there."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Net amount of a currency, raw at `digits` decimals."""

    currency: str
    raw: int
    digits: int


def closing_price(book: Book, scope: str, symbol: str, size: int) -> int | None:
    """What a position of that sign would be closed at: the bid for a long one; None without a good quote."""
    feed = book.markets.feed(scope, symbol)
    good = None if feed is None else feed.state.good
    if good is None:
        return None
    return good.bid if size > 0 else good.ask


def position_view(book: Book, position: Position) -> PositionView:
    """A position valued at the quotes of its account."""
    account = book.account(position.account_id)
    if position.flat:
        return PositionView(position, account.currency, 0, 0)
    price = closing_price(book, account.session_id, position.symbol, position.size)
    if price is None:
        return PositionView(position, account.currency, None, None)
    rates = book.markets.rates(account.session_id)
    return PositionView(
        position,
        account.currency,
        profit(account, position, price, rates),
        margin_at(book, account, position, price, rates),
    )


def profit(account: Account, position: Position, price: int, rates: Exchange) -> int | None:
    """Minor units that closing a position at `price` would realise; None when it cannot be converted."""
    of = instrument(position.symbol)
    raw = position.size * price - position.cost
    way = Way.BUY if raw < 0 else Way.SELL
    factor = rates.factor(of.quote, account.currency, way)
    if factor is None:
        return None
    return divide(raw * factor[0] * _UNITS[account.currency], factor[1] * power_of_ten(cost_digits(of)))


def margin_at(book: Book, account: Account, position: Position, price: int, rates: Exchange) -> int | None:
    """Minor units held for a position at `price`, rounded up; None when it cannot be converted."""
    return margin_of(book, account, position.symbol, abs(position.size) * price, rates)


def margin_of(book: Book, account: Account, symbol: str, raw: int, rates: Exchange) -> int | None:
    """Minor units held for a notional (raw at the scale of a cost) of a symbol, rounded up."""
    of = instrument(symbol)
    factor = rates.factor(of.quote, account.currency, Way.BUY)
    if factor is None:
        return None
    rate = book.limits.of(account.account_id, symbol).margin_rate
    return reserve(account, raw * rate.numerator, cost_digits(of), (factor[0], factor[1] * rate.denominator))


class Sides:
    """What is held of each symbol, long and short: of both the larger counts."""

    def __init__(self) -> None:
        self._held: dict[str, list[int]] = {}

    def add(self, position: Position, amount: int) -> None:
        """Count an amount for the side of a position."""
        self._held.setdefault(position.symbol, [0, 0])[position.size > 0] += amount

    def of(self, symbol: str) -> Sequence[int]:
        """Short and long."""
        return self._held.get(symbol, _NEITHER)

    def map(self, of: Callable[[str, int], int]) -> Sides:
        """Each amount through a function of symbol and amount."""
        after = Sides()
        after._held = {symbol: [of(symbol, each) for each in held] for symbol, held in self._held.items()}
        return after

    @property
    def total(self) -> int:
        """The larger side of each symbol."""
        return sum(map(max, self._held.values()))


_NEITHER = (0, 0)


@dataclass(frozen=True, slots=True)
class Bought:
    """What one unit of a currency costs in another."""

    factor: tuple[int, int] | None
    """Numerator and denominator; None where no quote leads there."""
    feeds: tuple[tuple[Feed, int], ...]
    """Whose quotes that rests on, each with how old its quote may be."""


@dataclass(frozen=True, slots=True)
class Valued:
    """An account at one state of the market: itself, its open positions and its exposure by currency."""

    view: AccountView
    positions: dict[str, PositionView]
    """Open ones, by name."""
    margins: Sides
    exposures: dict[str, Exposure]
    bought: dict[str, Bought] = field(default_factory=dict, compare=False)
    """As the function of that name, by currency, as far as it was asked for."""


def valued(book: Book, account: Account) -> Valued:
    """An account valued at the quotes of its scope. Kept until anything that it rests on has changed: many
    orders are checked against one state of the market.
    """
    held = book.holdings.standing(account.account_id)
    rates = book.markets.rates(account.session_id)
    rests_on = (account, tuple(held), rates.goods(), book.limits.version)
    known = book.valued.get(account.account_id)
    if known is not None and known[0] == rests_on:
        return known[1]
    views = {each.name: position_view(book, each) for each in held}
    margins = _margins(book, account, held, rates)
    view = AccountView(
        account,
        unrealised=sum(each.unrealised or 0 for each in views.values()),
        margin=margins.total,
        auto_trade_off=book.limits.auto_trade_off(account.account_id),
    )
    found = Valued(view, views, margins, exposures(book, held, account.session_id))
    book.valued[account.account_id] = rests_on, found
    return found


def _margins(book: Book, account: Account, held: Iterable[Position], rates: Exchange) -> Sides:
    """What each side of each symbol holds, rounded up once; what cannot be valued holds nothing."""
    notionals = Sides()
    for each in held:
        price = closing_price(book, account.session_id, each.symbol, each.size)
        notionals.add(each, abs(each.size) * (price or 0))
    return notionals.map(lambda symbol, raw: margin_of(book, account, symbol, raw, rates) or 0)


def bought(book: Book, account: Account, at: Valued, code: str) -> Bought:
    """What buying a currency with the account's costs, at the state of the market at which it is `at`."""
    found = at.bought.get(code)
    if found is None:
        rates, limits = book.markets.rates(account.session_id), book.limits
        feeds = rates.between(code, account.currency)
        ages = [limits.of(account.account_id, each.state.symbol).price_age_ns for each in feeds]
        factor = rates.factor(code, account.currency, Way.BUY)
        found = at.bought[code] = Bought(factor, tuple(zip(feeds, ages, strict=True)))
    return found


def account_view(book: Book, account: Account) -> AccountView:
    """An account valued at the quotes of its scope."""
    return valued(book, account).view


def at_peak(book: Book, account: Account) -> Account:
    """The account after a result, its peak with it where the equity was never higher."""
    return replace(account, peak_equity=max(account.peak_equity, account_view(book, account).equity))


def notional(book: Book, account: Account, of: Instrument, size: int, price: int) -> int | None:
    """Minor units that `size` at `price` costs, rounded up; None when it cannot be converted."""
    factor = book.markets.rates(account.session_id).factor(of.quote, account.currency, Way.BUY)
    return None if factor is None else reserve(account, size * price, cost_digits(of), factor)


def exposures(book: Book, positions: Iterable[Position], scope: str) -> dict[str, Exposure]:
    """Net exposure by currency: base units bought, quote units owed for them at the closing price."""
    totals: Counter[tuple[str, int]] = Counter()
    for each in positions:
        price = closing_price(book, scope, each.symbol, each.size)
        if each.flat or price is None:
            continue
        of = instrument(each.symbol)
        totals[of.base, of.size_digits] += each.size
        totals[of.quote, cost_digits(of)] -= each.size * price
    return _netted(totals)


def worth(book: Book, account: Account, at: Valued, exposure: Exposure) -> int | None:
    """Minor units of an exposure's size in the account currency, rounded up."""
    factor = bought(book, account, at, exposure.currency).factor
    return None if factor is None else reserve(account, abs(exposure.raw), exposure.digits, factor)


def convertible(book: Book, account: Account, of: Instrument) -> bool:
    """True when amounts in an instrument's quote currency can be brought into the account's."""
    rates = book.markets.rates(account.session_id)
    return rates.factor(of.quote, account.currency, Way.BUY) is not None


def exposure_with(
    book: Book,
    account: Account,
    before: Exposure | None,
    of: Instrument,
    code: str,
    signed_size: int,
    held: int,
) -> Exposure:
    """Net exposure to one of an instrument's currencies with `signed_size` added to a position of `held`."""
    if code == of.base:
        return _plus(before, code, signed_size, of.size_digits)
    scope, then = account.session_id, held + signed_size
    owed = then * (closing_price(book, scope, of.symbol, then) or 0)
    owes = held * (closing_price(book, scope, of.symbol, held) or 0)
    return _plus(before, code, owes - owed, cost_digits(of))


def _plus(before: Exposure | None, code: str, raw: int, digits: int) -> Exposure:
    if before is None:
        return Exposure(code, raw, digits)
    finest = max(before.digits, digits)
    known = before.raw * power_of_ten(finest - before.digits)
    return Exposure(code, known + raw * power_of_ten(finest - digits), finest)


def cost_digits(of: Instrument) -> int:
    """Decimals of size × price."""
    return of.size_digits + of.digits


def reserve(account: Account, raw: int, digits: int, factor: tuple[int, int]) -> int:
    """Minor units of raw × 10^-digits (not below zero) × factor, rounded up: as `convert` would, with whole
    numbers only.
    """
    down: int = -raw * factor[0] * _UNITS[account.currency] // (factor[1] * power_of_ten(digits))
    return -down


_UNITS = {code: 10**each.digits for code, each in CURRENCIES.items()}
"""Minor units of one of a currency."""


def _netted(totals: Counter[tuple[str, int]]) -> dict[str, Exposure]:
    """One figure per currency, at the finest scale met."""
    netted: dict[str, Exposure] = {}
    for code in sorted({code for code, _ in totals}):
        parts = {digits: raw for (of, digits), raw in totals.items() if of == code}
        finest = max(parts)
        raw = sum(int(part * 10 ** (finest - digits)) for digits, part in parts.items())
        netted[code] = Exposure(code, raw, finest)
    return netted
