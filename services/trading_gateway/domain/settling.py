"""Booking what the venue reports: orders move on, fills change position and cash exactly once.

A fill is a fact: it is booked whatever state its order is in. Profit is exact in the quote currency,
converted at the account's live crosses (a gain at the side one would sell at, a loss at the side one would
buy at) and rounded half-even here and nowhere else; what was converted, at which rate and from which quotes,
stays on the posting.
"""

from __future__ import annotations

from dataclasses import replace

from services.market.instruments import instrument
from services.money.conversion import Conversion, ExactAmount, Way, convert
from services.money.currencies import currency
from services.trading_gateway.domain import bookkeeping, busting, orders, positions, valuation, venue_cash
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.bookkeeping import Occasion
from services.trading_gateway.domain.events import OrderStep, PositionChanged, TradeExecuted
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    Accepted,
    Amended,
    AmendRefused,
    Busted,
    CancelRefused,
    Ended,
    Executed,
    OrderReport,
    Trailed,
    Triggered,
    Unanswered,
)
from services.trading_gateway.domain.values import LedgerKind, OrderStatus

_END_STEPS = {
    OrderStatus.CANCELLED: OrderStep.CANCELLED,
    OrderStatus.EXPIRED: OrderStep.EXPIRED,
    OrderStatus.REJECTED: OrderStep.REJECTED,
}


def settle(book: Book, report: OrderReport) -> None:
    """Book one report of the venue. Raises FxError `UNKNOWN_ORDER` when its order is not in memory."""
    order = book.order(report.order_id)
    match report:
        case Executed():
            _book_fill(book, order, report)
            busting.bust_awaited(book, order.order_id, report.execution_id)
        case Busted():
            busting.bust(book, order, report)
        case Accepted():
            _move(
                book, order, orders.accepted(order, report.time_ns, report.works_from_ns), OrderStep.ACCEPTED
            )
        case Unanswered():
            _move(book, order, orders.unanswered(order, report.time_ns, report.ask_ns), None)
        case Triggered():
            if not (order.triggered or order.final):
                book.put_order(replace(orders.changed(order, report.time_ns, order.status), triggered=True))
        case Trailed():
            _move(book, order, orders.trailed(order, report.time_ns, report.stop), None)
        case Ended():
            ended = orders.ended(order, report.time_ns, report.status, report.reason, report.detail)
            _move(book, order, ended, _END_STEPS[report.status])
        case Amended():
            terms = orders.Amendment(report.size, report.limit, report.stop, report.trail)
            _move(
                book, order, orders.amended(order, report.time_ns, terms, report.revision), OrderStep.AMENDED
            )
        case AmendRefused():
            refused = orders.amendment_refused(
                order, report.time_ns, report.reason, report.detail, report.revision
            )
            _move(book, order, refused, None)
        case CancelRefused():
            refused = orders.cancel_refused(order, report.time_ns, report.reason, report.detail)
            _move(book, order, refused, None)


def _move(book: Book, order: Order, after: Order, step: OrderStep | None) -> None:
    """Keep `after` where it differs: a doubled or late report says nothing new."""
    if after is not order:
        book.put_order(after, step)


def _book_fill(book: Book, order: Order, report: Executed) -> None:
    if book.booked(order.order_id, report.execution_id):
        return
    account = book.account(order.account_id)
    of = instrument(order.symbol)
    effect = positions.filled(
        book.position(account.account_id, order.symbol, book.position_id(order)),
        order.side.sign * report.size,
        report.price,
        report.time_ns,
    )
    digits = valuation.cost_digits(of)
    profit = (
        bookkeeping.converted(book, account, effect.realised, digits, of.quote) if effect.closed else None
    )
    charge = (
        _commission(book, account, report.size * report.price, digits, of.quote)
        if report.commission is None and report.cash is None
        else _charged(book, account, report.commission or 0)
    )
    if report.cash is not None:
        venue_cash.amount_of(report.cash)
    # From here on nothing can fail: a fill is booked whole or not at all.
    book.note_booked(order.order_id, report.execution_id)
    fill = _fill(book, order, report, effect, profit, charge)
    book.changes.fills.append(fill)
    filled = book.put_order(orders.executed(order, report.size, report.price, report.time_ns))
    position = replace(
        effect.position,
        realised=effect.position.realised + fill.realised,
        number=effect.position.number or order.number,
    )
    position = book.put_position(position)
    account = _post_fill(book, account, fill, profit, charge, report.cash)
    book.tell(TradeExecuted(fill, filled, account.currency))
    book.tell(PositionChanged(valuation.position_view(book, position)))
    book.tell_account(account, by_fill=True)


def _fill(
    book: Book,
    order: Order,
    report: Executed,
    effect: positions.Effect,
    profit: Conversion | None,
    charge: Conversion | None,
) -> Fill:
    return Fill(
        number=book.next_fill_number(),
        execution_id=report.execution_id,
        order_id=order.order_id,
        account_id=order.account_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        size=report.size,
        price=report.price,
        closed=effect.closed,
        realised_quote=effect.realised,
        realised=0 if profit is None else profit.money.raw,
        commission=0 if charge is None else charge.money.raw,
        rate="" if profit is None else f"{profit.rate.numerator}/{profit.rate.denominator}",
        rate_text="" if profit is None else profit.rate_text,
        path="" if profit is None else profit.path,
        session_id=report.session_id,
        tick_sequence=report.tick_sequence,
        time_ns=report.time_ns,
        position_id=effect.position.position_id,
    )


def _post_fill(
    book: Book,
    account: Account,
    fill: Fill,
    profit: Conversion | None,
    charge: Conversion | None,
    cash: str | None,
) -> Account:
    """The account after the fill's postings: the trade with the profit of what it closed, commission, and
    what its venue made of both.
    """
    after = replace(
        account, realised=account.realised + fill.realised, commission=account.commission + fill.commission
    )
    occasion = Occasion(fill.execution_id, fill.symbol, fill.time_ns, fill.execution_id)
    after = bookkeeping.trade(book, after, occasion, fill, profit)
    if charge is not None:
        after = bookkeeping.charge(book, after, LedgerKind.COMMISSION, charge, -1, occasion)
    if cash is not None:
        after = venue_cash.settle_fill(book, after, fill, cash)
    return book.put_account(valuation.at_peak(book, after), fill.time_ns)


def _commission(book: Book, account: Account, notional: int, digits: int, code: str) -> Conversion | None:
    """The charge on a notional, bought with the account currency and rounded half-even; None when there is
    none.
    """
    per_million = book.rules.commission_per_million
    if not per_million:
        return None
    amount = bookkeeping.finely(notional * per_million / 1_000_000, digits, code)
    return convert(amount, account.currency, book.markets.rates(account.session_id), Way.BUY)


def _charged(book: Book, account: Account, amount: int) -> Conversion | None:
    """What the venue charged, in the account currency already; None for nothing."""
    if not amount:
        return None
    exact = ExactAmount(amount, currency(account.currency).digits, account.currency)
    return convert(exact, account.currency, book.markets.rates(account.session_id), Way.BUY)
