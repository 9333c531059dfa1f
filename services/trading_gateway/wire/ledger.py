"""Double entry and the proof of the books, as messages."""

from __future__ import annotations

from fractions import Fraction

from fxmesh.trading.v1 import service_pb2, trading_pb2

from services.money.conversion import Leg
from services.money.decimals import format_decimal
from services.money.exact import decimal_text, exact_text
from services.trading_gateway.domain.reconcile import Reconciliation
from services.trading_gateway.domain.transactions import Transaction, TransactionKind
from services.wire.times import timestamp

_KIND = {each: trading_pb2.TransactionKind.Value(f"TRANSACTION_KIND_{each.name}") for each in TransactionKind}


def transaction(value: Transaction) -> trading_pb2.Transaction:
    """A transaction with its postings."""
    return trading_pb2.Transaction(
        account_id=value.account_id,
        number=value.number,
        kind=_KIND[value.kind],
        reference=value.reference,
        entry=value.entry,
        postings=[_posting(each.ledger_account, each.currency, each.exact) for each in value.postings],
        conversion_legs=[_leg(each) for each in value.legs],
        time=timestamp(value.time_ns),
        detail=value.detail,
    )


def reconciliation(value: Reconciliation) -> service_pb2.ReconcileAccountResponse:
    """The proof of the books."""
    return service_pb2.ReconcileAccountResponse(
        reconciled=value.reconciled,
        fills=value.fills,
        transactions=value.transactions,
        balances=[_posting(*each) for each in value.balances],
        lines=[
            service_pb2.ReconciliationLine(
                name=each.name, booked=each.booked, recomputed=each.recomputed, equal=each.equal
            )
            for each in value.lines
        ],
    )


def _posting(ledger_account: str, currency: str, amount: Fraction) -> trading_pb2.Posting:
    shown, exact = decimal_text(amount), exact_text(amount)
    return trading_pb2.Posting(
        ledger_account=ledger_account, currency=currency, amount=shown, exact="" if exact == shown else exact
    )


def _leg(value: Leg) -> trading_pb2.ConversionLeg:
    return trading_pb2.ConversionLeg(
        symbol=value.symbol,
        price=format_decimal(value.raw, value.digits),
        price_side=value.side,
        inverse=value.inverse,
        session_id=value.session_id,
        tick_sequence=value.sequence,
    )
