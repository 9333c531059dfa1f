"""What positions and accounts are worth, and how much margin and exposure they carry, at the last good
quotes.

A long position is worth what selling it now would bring, a short one what buying it back would cost. Profit
is converted as it would be posted; margin is a reserve, so it is bought and rounded up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.errors import FxError
from services.market.instruments import Instrument, instrument
from services.money.conversion import ExactAmount, Way, convert
from services.money.rounding import Rounding
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.events import AccountView, PositionView
from services.trading_gateway.domain.positions import Position

if TYPE_CHECKING:
    from services.trading_gateway.domain.book import Book


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
    of = instrument(position.symbol)
    profit = ExactAmount(position.size * price - position.cost, cost_digits(of), of.quote)
    return PositionView(
        position,
        account.currency,
        _posted(book, account, profit),
        margin(book, account, of, abs(position.size), price),
    )


def account_view(book: Book, account: Account) -> AccountView:
    """An account valued at the quotes of its scope."""
    views = [position_view(book, each) for each in book.positions_of(account.account_id)]
    return AccountView(
        account,
        unrealised=sum(each.unrealised or 0 for each in views),
        margin=sum(each.margin or 0 for each in views),
    )


def margin(book: Book, account: Account, of: Instrument, size: int, price: int) -> int | None:
    """Minor units held for `size` at `price`, rounded up; None when it cannot be converted."""
    rate_raw, rate_digits = exact(of)
    amount = ExactAmount(size * price * rate_raw, cost_digits(of) + rate_digits, of.quote)
    return _posted(book, account, amount, Way.BUY, Rounding.UP)


def notional(book: Book, account: Account, of: Instrument, size: int, price: int) -> int | None:
    """Minor units that `size` at `price` costs, rounded up; None when it cannot be converted."""
    return _posted(book, account, ExactAmount(size * price, cost_digits(of), of.quote), Way.BUY, Rounding.UP)


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


def worth(book: Book, account: Account, exposure: Exposure) -> int | None:
    """Minor units of an exposure's size in the account currency, rounded up."""
    amount = ExactAmount(abs(exposure.raw), exposure.digits, exposure.currency)
    return _posted(book, account, amount, Way.BUY, Rounding.UP)


def no_rate(book: Book, account: Account, of: Instrument) -> str:
    """Why amounts in an instrument's quote currency cannot be brought into the account's; empty when they
    can.
    """
    try:
        rates = book.markets.rates(account.session_id)
        convert(ExactAmount(0, 0, of.quote), account.currency, rates, Way.BUY)
    except FxError as failure:
        return failure.detail
    return ""


def cost_digits(of: Instrument) -> int:
    """Decimals of size × price."""
    return of.size_digits + of.digits


def exact(of: Instrument) -> tuple[int, int]:
    """The margin rate as (raw, digits)."""
    sign, digits, exponent = of.margin_rate.as_tuple()
    if sign or not isinstance(exponent, int):
        raise ValueError(f"margin rate of {of.symbol}: {of.margin_rate}")
    whole = int("".join(map(str, digits)))
    return (whole, -exponent) if exponent <= 0 else (int(whole * 10**exponent), 0)


def _posted(
    book: Book,
    account: Account,
    amount: ExactAmount,
    way: Way | None = None,
    rounding: Rounding = Rounding.HALF_EVEN,
) -> int | None:
    try:
        rates = book.markets.rates(account.session_id)
        return convert(amount, account.currency, rates, way, rounding).money.raw
    except FxError:
        return None


def _netted(totals: Counter[tuple[str, int]]) -> dict[str, Exposure]:
    """One figure per currency, at the finest scale met."""
    netted: dict[str, Exposure] = {}
    for currency in sorted({currency for currency, _ in totals}):
        parts = {digits: raw for (of, digits), raw in totals.items() if of == currency}
        finest = max(parts)
        raw = sum(int(part * 10 ** (finest - digits)) for digits, part in parts.items())
        netted[currency] = Exposure(currency, raw, finest)
    return netted
