"""Margin call and stop-out: what an account's equity is to the margin that its positions hold.

Looked at after every tick that can move the account, and after its fills, rolls and changes of limits. Below
the margin call level the account is told, once, until it is a twentieth above it again, so that a price that
plays round the level makes no storm. Below the stop-out level, first every working order that could add risk
is withdrawn, then positions are closed at market, the largest loss first (by symbol and age where equal), one
at a time, until the level is reached again. A position without a quote to trade on waits for one. A halt does
not keep an account from it: it is there to stop new risk, and this takes risk away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

from services.errors import FxError
from services.market.calendar import calendar
from services.market.freshness import over_age
from services.market.instruments import instrument
from services.money.conversion import RateQuote, Way, legs_between, rate_of
from services.trading_gateway.domain import placing, valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.events import AccountView, MarginCallChanged, PositionStoppedOut
from services.trading_gateway.domain.ids import stop_out_client_order_id
from services.trading_gateway.domain.inputs import MarginCalled, PlaceOrder, StoppedOut
from services.trading_gateway.domain.matching import Extremes
from services.trading_gateway.domain.orders import Order, closing
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import OrderOrigin, OrderType

RECOVERED = Fraction(21, 20)
"""A margin call is over at so many times its level."""


def watched(book: Book, scope: str, symbol: str) -> Iterator[Account]:
    """Accounts whose equity or margin a tick of that symbol can move, by id."""
    for account_id in sorted(book.open_symbols):
        account = book.accounts[account_id]
        if account.session_id == scope and (account.margin_called or _moved_by(book, account, symbol)):
            yield account


def safe(book: Book, account: Account, extremes: Extremes) -> bool:
    """True when no tick of a batch with these extremes can bring the account below one of its levels."""
    if account.margin_called or extremes.lowest_bid <= 0:
        return False
    rates = _Worst(book.markets.rates(account.session_id), extremes)
    equity, held = account.balance, valuation.Sides()
    for position in book.holdings.standing(account.account_id):
        low, high = _prices(book, account, position, extremes)
        if low is not None and high is not None:
            equity += valuation.profit(account, position, low, rates) or 0
            held.add(position, valuation.margin_at(book, account, position, high, rates) or 0)
    limits = book.limits.of_account(account.account_id)
    return equity >= max(limits.margin_call, limits.stop_out) * held.total


def standing(book: Book, account: Account) -> tuple[AccountView, bool, bool]:
    """The account as it is, whether it is below its margin call level, and whether below its stop-out."""
    view = valuation.account_view(book, account)
    limits = book.limits.of_account(account.account_id)
    over = limits.margin_call * RECOVERED if account.margin_called else limits.margin_call
    called = view.equity < over * view.margin
    return view, called, view.equity < limits.stop_out * view.margin


def worst_position(book: Book, account: Account, time_ns: int) -> Position | None:
    """The position to close next; None when none can be traded now."""
    found = [
        (view.unrealised, each)
        for each in book.holdings.open(account.account_id)
        if _tradable(book, account, each, time_ns)
        if (view := valuation.position_view(book, each)).unrealised is not None
    ]
    return min(found, key=lambda each: each[0])[1] if found else None


def adding_risk(book: Book, account: Account) -> list[Order]:
    """Working orders that could add risk: those that a stop-out withdraws."""
    return [each for each in book.working(account.account_id) if not each.reduce_only]


def call_margin(book: Book, asked: MarginCalled) -> Account:
    """The account is below its margin call level, or above it again."""
    account = book.account(asked.account_id)
    called = book.put_account(replace(account, margin_called=asked.raised), asked.time_ns)
    book.tell(MarginCallChanged(valuation.account_view(book, called), asked.raised, asked.time_ns))
    return called


def stop_out(book: Book, asked: StoppedOut) -> Order:
    """The market order that closes a position of an account below its stop-out level."""
    account = book.account(asked.account_id)
    position = book.position(asked.account_id, asked.symbol, asked.position_id)
    terms = closing(position)
    key = stop_out_client_order_id(account.account_id, book.order_number + 1)
    view, held = valuation.account_view(book, account), valuation.position_view(book, position)
    placed = placing.place(
        book,
        PlaceOrder(asked.time_ns, account.account_id, key, terms, origin=OrderOrigin.RISK),
    )
    book.tell(PositionStoppedOut(held, view, placed.order_id, asked.time_ns))
    return placed


def _moved_by(book: Book, account: Account, symbol: str) -> bool:
    moving = instrument(symbol)
    for held in book.open_symbols[account.account_id]:
        foreign = instrument(held).quote
        if held == symbol:
            return True
        if foreign != account.currency and (foreign in moving.pair or account.currency in moving.pair):
            return True
    return False


def _prices(
    book: Book, account: Account, position: Position, extremes: Extremes
) -> tuple[int | None, int | None]:
    """What a position is closed at when it is worth least, and when it holds most margin."""
    if position.symbol != extremes.symbol:
        price = valuation.closing_price(book, account.session_id, position.symbol, position.size)
        return price, price
    if position.size > 0:
        return extremes.lowest_bid, extremes.highest_bid
    return extremes.highest_price, extremes.highest_price


def _tradable(book: Book, account: Account, position: Position, time_ns: int) -> bool:
    feed = book.markets.feed(account.session_id, position.symbol)
    quote = None if feed is None else feed.state.quote
    if feed is None or quote is None or feed.state.ended or feed.state.resting or not quote.tradable:
        return False
    if over_age(quote.time_ns, time_ns, feed.instrument.max_price_age_ns):
        return False
    if not calendar(feed.calendar_name).is_open(time_ns):
        return False
    return not any(
        each.origin is OrderOrigin.RISK
        and each.type is OrderType.MARKET
        and each.position_id == position.position_id
        for each in book.working(account.account_id, position.symbol)
    )


class _Worst(Mapping[str, RateQuote]):
    """The rates of the moment, but for one symbol the lowest bid and highest ask that a batch holds.

    Gains are sold and losses and reserves are bought, directly or by the inverse: the lowest bid and the
    highest ask are the worst for each of them.
    """

    def __init__(self, rates: Mapping[str, RateQuote], extremes: Extremes) -> None:
        of = instrument(extremes.symbol)
        self._symbol = extremes.symbol
        self._worst = RateQuote(of.base, of.quote, extremes.lowest_bid, extremes.highest_price, of.digits)
        self._rates = rates

    def factor(self, source: str, to: str, way: Way) -> tuple[int, int] | None:
        """As `Rates.factor`."""
        if source == to:
            return 1, 1
        try:
            rate = rate_of(legs_between(source, to, self, way))
        except FxError:
            return None
        return rate.numerator, rate.denominator

    def __getitem__(self, symbol: str) -> RateQuote:
        return self._worst if symbol == self._symbol else self._rates[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rates)

    def __len__(self) -> int:
        return len(self._rates)
