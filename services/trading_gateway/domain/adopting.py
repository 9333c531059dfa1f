"""A person takes the venue's figure for one that differs, and says why.

Nothing is overwritten: the difference is posted, a balance as an adjustment, a position as a trade of the
units between the two at the price that is named. It is refused unless the figures named are those that
differ, so nobody adopts what he was not shown.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from services.errors import FxError, Kind, invalid_field
from services.market.instruments import INSTRUMENTS, instrument
from services.money.decimals import format_trimmed
from services.trading_gateway.domain import (
    bookkeeping,
    busting,
    families,
    positions,
    valuation,
    venue_cash,
)
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.bookkeeping import Occasion
from services.trading_gateway.domain.events import PositionChanged
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.inputs import VenueAdopted
from services.trading_gateway.domain.values import Side


def figure(book: Book, account: Account, symbol: str) -> str:
    """What the books have: the position in a symbol, or (no symbol) the balance, as exact text; or that they
    do not know an execution.
    """
    if not symbol:
        return venue_cash.balance_text(account)
    if busting.awaited(account, symbol):
        return busting.UNKNOWN[1]
    return size_text(symbol, book.position(account.account_id, symbol).size)


def size_text(symbol: str, size: int) -> str:
    """A signed size; of what is no instrument here as it is."""
    of = INSTRUMENTS.get(symbol)
    return str(size) if of is None else format_trimmed(size, of.size_digits)


def adopt(book: Book, asked: VenueAdopted) -> Account:
    """The account after it. Raises FxError: NOT_FOUND `UNKNOWN_ACCOUNT`, ABORTED `DIFFERENCE_CHANGED`,
    INVALID_ARGUMENT for a position without a price.
    """
    account = book.account(asked.account_id)
    named = (asked.symbol, asked.theirs, asked.ours)
    stands = figure(book, account, asked.symbol) == asked.ours
    if named not in account.venue_differences or not stands:
        raise FxError(Kind.ABORTED, "DIFFERENCE_CHANGED", _what_differs(account, asked))
    bust = busting.awaited(account, asked.symbol)
    if bust:
        after = busting.without(account, asked.symbol)  # nothing to post; should it be told, it is a fill
    elif asked.symbol:
        after = _adopt_position(book, account, asked)
    else:
        beyond = Fraction(asked.theirs) - venue_cash.exact_balance(account)
        after = venue_cash.adjust(book, account, beyond, _occasion(asked))
    after = valuation.at_peak(book, after)
    left = tuple(each for each in account.venue_differences if each != named)
    kept = book.put_account(replace(after, venue_differences=left), asked.time_ns)
    book.tell_account(kept)
    if asked.symbol and not bust:
        families.withdraw_needless(book, asked.account_id, asked.symbol, asked.time_ns)
    return kept


def _adopt_position(book: Book, account: Account, asked: VenueAdopted) -> Account:
    if asked.price is None:
        raise invalid_field("PRICE_REQUIRED", "price", "say what the units between the two were traded at")
    of, occasion = instrument(asked.symbol), _occasion(asked)
    before = book.position(account.account_id, asked.symbol)
    size = int(Fraction(asked.theirs) * 10**of.size_digits) - before.size
    effect = positions.filled(before, size, asked.price, asked.time_ns)
    digits = valuation.cost_digits(of)
    profit = (
        bookkeeping.converted(book, account, effect.realised, digits, of.quote) if effect.closed else None
    )
    fill = Fill(
        number=book.next_fill_number(),
        execution_id=occasion.reference,
        order_id="",
        account_id=account.account_id,
        client_order_id="",
        symbol=asked.symbol,
        side=Side.of(size),
        size=abs(size),
        price=asked.price,
        closed=effect.closed,
        realised_quote=effect.realised,
        realised=0 if profit is None else profit.money.raw,
        commission=0,
        rate="" if profit is None else f"{profit.rate.numerator}/{profit.rate.denominator}",
        rate_text="" if profit is None else profit.rate_text,
        path="" if profit is None else profit.path,
        session_id="",
        tick_sequence=0,
        time_ns=asked.time_ns,
    )
    book.changes.fills.append(fill)
    after = replace(account, realised=account.realised + fill.realised)
    after = bookkeeping.trade(book, after, occasion, fill, profit)
    realised = effect.position.realised + fill.realised
    position = book.put_position(replace(effect.position, realised=realised))
    book.tell(PositionChanged(valuation.position_view(book, position), by_fill=False))
    return after


def _occasion(asked: VenueAdopted) -> Occasion:
    reference = f"adopted-{asked.request_id}"
    note = f"{asked.theirs} at the venue for {asked.ours} here, by {asked.changed_by}: {asked.reason}"
    of_fill = reference if asked.symbol else ""
    return Occasion(reference, asked.symbol, asked.time_ns, of_fill, note, note)


def _what_differs(account: Account, asked: VenueAdopted) -> str:
    of = asked.symbol or "the balance"
    for symbol, theirs, ours in account.venue_differences:
        if symbol == asked.symbol:
            return f"{of} is {theirs} there and {ours} here, not {asked.theirs} and {asked.ours}"
    return f"{of} of {account.account_id} does not differ from its venue"
