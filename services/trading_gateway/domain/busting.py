"""An execution that its venue takes back: the books become what they would be without it.

What was posted for it is posted the other way round, at the same rates, so of the execution itself nothing
stays, to the last digit. The position becomes that of the fills which are left. Where later ones realised
profit against it, or should have and did not, that moves between realised and open, converted at the market
of now: it is known only now.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from services.market.instruments import instrument
from services.money.conversion import Conversion, ExactAmount, convert_at
from services.money.currencies import currency
from services.trading_gateway.domain import bookkeeping, histories, orders, plain, valuation, venue_cash
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.bookkeeping import Occasion
from services.trading_gateway.domain.events import PositionChanged, TradeExecuted
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.ids import bust_id
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reports import Busted
from services.trading_gateway.domain.transactions import (
    ADJUSTMENT,
    COMMISSION,
    Transaction,
    TransactionKind,
)
from services.trading_gateway.domain.values import LedgerKind

UNKNOWN = ("busted", "unknown")
"""What venue and books have of an execution that was never told, as a difference is written."""
WORDS = "what the venue moved for a trade that it took back beyond what was booked for it"


def bust(book: Book, order: Order, report: Busted) -> None:
    """Take back an execution, once; one that was not told is noted, for when it is.

    Raises FxError `VALIDATION_FAILED` for cash that is no amount, `NO_CONVERSION_RATE` where profit moves
    between others and no quote leads to the account's currency.
    """
    if book.booked(order.order_id, bust_id(report.execution_id)):
        return
    if report.cash is not None:
        venue_cash.amount_of(report.cash)
    account = book.account(order.account_id)
    if book.booked(order.order_id, report.execution_id) and _posted(book, order, report):
        _take_back(book, account, order, report)
    elif not awaited(account, report.execution_id):
        noted = (*account.busts, (report.execution_id, plain.dump(report)))
        book.put_account(replace(account, busts=noted), report.time_ns)


def awaited(account: Account, execution_id: str) -> bool:
    """True for an execution that is to be taken back once it is told."""
    return any(known == execution_id for known, _ in account.busts)


def bust_awaited(book: Book, order_id: str, execution_id: str) -> None:
    """Take back an execution that was busted before it was told. It was just booked, so others realised
    nothing against it, and this cannot fail.
    """
    order = book.order(order_id)
    account = book.account(order.account_id)
    if not awaited(account, execution_id):
        return
    (text,) = (each for known, each in account.busts if known == execution_id)
    book.put_account(without(account, execution_id), order.updated_ns)
    bust(book, order, plain.load(Busted, text))


def without(account: Account, execution_id: str) -> Account:
    """The account that waits for that execution no more."""
    return replace(account, busts=tuple(each for each in account.busts if each[0] != execution_id))


def _posted(book: Book, order: Order, report: Busted) -> bool:
    """False for what a release without double entry booked: there is nothing to turn round."""
    history = book.history((order.account_id, order.symbol, book.position_id(order)))
    return bool(history.posted(report.execution_id))


def _take_back(book: Book, account: Account, order: Order, report: Busted) -> None:
    of, position_id = instrument(order.symbol), book.position_id(order)
    history = book.history((account.account_id, order.symbol, position_id))
    taken = history.fill(report.execution_id)
    posted = history.posted(report.execution_id)
    before = book.position(account.account_id, order.symbol, position_id)
    none = Position(account.account_id, order.symbol, position_id=position_id)
    left = [each for each in histories.standing(history.fills) if each is not taken]
    made = histories.made_of(none, left)
    moved = made.realised_quote - before.realised_quote + taken.realised_quote
    digits = valuation.cost_digits(of)
    moving = bookkeeping.converted(book, account, moved, digits, of.quote) if moved else None
    # From here on nothing can fail, as with a fill.
    reversal = _reversal(book, taken, report, moved, moving)
    book.note_booked(order.order_id, reversal.execution_id)
    book.changes.fills.append(reversal)
    after = book.put_order(orders.busted(order, taken.size, taken.price, report.time_ns, over=report.over))
    position = replace(
        before,
        size=made.size,
        cost=made.cost,
        realised_quote=made.realised_quote,
        realised=before.realised + reversal.realised,
        opened_ns=made.opened_ns or before.opened_ns,
        updated_ns=max(before.updated_ns, report.time_ns),
        revision=before.revision + 1,
    )
    position = book.put_position(position)
    account = replace(
        account,
        realised=account.realised + reversal.realised,
        commission=account.commission + reversal.commission,
    )
    account = _post(book, account, (taken, reversal), posted, moving, report)
    account = book.put_account(valuation.at_peak(book, account), report.time_ns)
    book.tell(TradeExecuted(reversal, after, account.currency))
    book.tell(PositionChanged(valuation.position_view(book, position)))
    book.tell_account(account, by_fill=True)


def _reversal(book: Book, taken: Fill, report: Busted, moved: int, moving: Conversion | None) -> Fill:
    return replace(
        taken,
        number=book.next_fill_number(),
        execution_id=bust_id(taken.execution_id),
        side=taken.side.opposite,
        closed=0,
        realised_quote=moved - taken.realised_quote,
        realised=(0 if moving is None else moving.money.raw) - taken.realised,
        commission=-taken.commission,
        rate="" if moving is None else f"{moving.rate.numerator}/{moving.rate.denominator}",
        rate_text="" if moving is None else moving.rate_text,
        path="" if moving is None else moving.path,
        time_ns=report.time_ns,
        busts=taken.execution_id,
    )


def _post(
    book: Book,
    account: Account,
    fills: tuple[Fill, Fill],
    posted: tuple[Transaction, ...],
    moving: Conversion | None,
    report: Busted,
) -> Account:
    """The account after what was posted for a fill is posted the other way round, what moved for it between
    others and the open position, and what the venue says of cash beyond both.
    """
    taken, reversal = fills
    occasion = Occasion(
        reversal.execution_id, reversal.symbol, reversal.time_ns, reversal.execution_id, note=report.detail
    )
    own = replace(reversal, realised_quote=-taken.realised_quote)
    profit = _profit_back(account, taken, posted)
    account = bookkeeping.trade(book, account, occasion, own, profit, TransactionKind.BUST)
    charge = _charge_back(account, posted)
    if charge is not None:
        account = bookkeeping.charge(book, account, LedgerKind.COMMISSION, charge, 1, occasion)
    if moving is not None:
        others = replace(reversal, size=0, realised_quote=moving.source.raw)
        account = bookkeeping.trade(book, account, occasion, others, moving, TransactionKind.BUST)
    if report.cash is None:
        beyond = _sum(posted, ADJUSTMENT)
    else:
        booked = Fraction(reversal.realised - reversal.commission, 10 ** currency(account.currency).digits)
        beyond = venue_cash.amount_of(report.cash) - booked
    if beyond:
        account = venue_cash.adjust(book, account, beyond, replace(occasion, detail=WORDS))
    return account


def _profit_back(account: Account, taken: Fill, posted: tuple[Transaction, ...]) -> Conversion | None:
    """The profit of a fill the other way round, through the quotes that it was posted at."""
    if not taken.closed:
        return None
    of = instrument(taken.symbol)
    (legs,) = (each.legs for each in posted if each.kind is TransactionKind.FILL)
    source = ExactAmount(-taken.realised_quote, valuation.cost_digits(of), of.quote)
    return convert_at(source, account.currency, legs)


def _charge_back(account: Account, posted: tuple[Transaction, ...]) -> Conversion | None:
    """What was charged for a fill, at the rate of then."""
    for each in posted:
        for line in each.postings:
            if each.kind is TransactionKind.COMMISSION and line.ledger_account == COMMISSION:
                digits = len(line.amount.partition(".")[2])
                source = ExactAmount(int(line.exact * 10**digits), digits, line.currency)
                return convert_at(source, account.currency, each.legs)
    return None


def _sum(posted: tuple[Transaction, ...], ledger_account: str) -> Fraction:
    lines = (line for each in posted for line in each.postings)
    return sum((line.exact for line in lines if line.ledger_account == ledger_account), Fraction(0))
