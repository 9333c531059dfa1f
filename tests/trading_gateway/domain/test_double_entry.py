"""Double entry: what each event posts, worked out by hand, and a proof that finds every kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.ledger_check import check_ledger
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.transactions import (
    Balances,
    Posting,
    Transaction,
    TransactionKind,
    out_of_balance,
)
from tests.trading_gateway.kit import Floor, open_floor

GOOD = ("1.10000", "1.10010")


def transactions(floor: Floor, account: str = "demo") -> list[Transaction]:
    found = (each for changes in floor.stored for each in changes.transactions)
    return [each for each in found if each.account_id == account]


def fills(floor: Floor, account: str = "demo") -> list[Fill]:
    found = (each for changes in floor.stored for each in changes.fills)
    return [each for each in found if each.account_id == account]


def lines(transaction: Transaction) -> list[tuple[str, str, str]]:
    return [(each.ledger_account, each.currency, each.amount) for each in transaction.postings]


def pounds() -> Floor:
    """A sterling account long and out of EURUSD again: profit in dollars, converted at an inverse quote."""
    floor = Floor()
    floor.announce()
    floor.open(currency="GBP")
    floor.tick(GOOD)
    floor.tick(("1.25000", "1.25010"), symbol="GBPUSD")
    floor.buy("a", "10000")
    floor.tick(("1.10123", "1.10133"))
    floor.sell("b", "10000")
    return floor


def test_a_deposit_is_cash_against_what_is_owed_to_its_owner() -> None:
    (deposit,) = transactions(open_floor(GOOD))
    assert (deposit.kind, deposit.number, deposit.entry) == (TransactionKind.DEPOSIT, 1, 1)
    assert lines(deposit) == [("cash", "USD", "100000"), ("funding", "USD", "-100000")]


def test_a_fill_that_opens_moves_units_and_cost_and_no_cash() -> None:
    floor = open_floor(GOOD)
    floor.buy("a", "10000")
    opened = transactions(floor)[-1]
    assert (opened.kind, opened.entry) == (TransactionKind.FILL, 0)
    assert opened.reference == fills(floor)[0].execution_id
    assert lines(opened) == [
        ("position:EURUSD", "EUR", "10000"),
        ("venue:EURUSD", "EUR", "-10000"),
        ("cost:EURUSD", "USD", "11001"),
        ("venue:EURUSD", "USD", "-11001"),
    ]


def test_profit_is_settled_through_the_quote_it_was_converted_at_and_its_rounding_is_kept() -> None:
    """10,000 × (1.10123 - 1.10010) = 11.30 USD, sold for pounds at the ask: 11.30 / 1.25010 = 9.0392768…"""
    floor = pounds()
    closed = transactions(floor)[-1]
    exact = Fraction("11.3") / Fraction("1.2501")
    assert lines(closed) == [
        ("position:EURUSD", "EUR", "-10000"),
        ("venue:EURUSD", "EUR", "10000"),
        ("cost:EURUSD", "USD", "-11001"),
        ("venue:EURUSD", "USD", "11012.3"),
        ("profit:EURUSD", "USD", "-11.3"),
        ("venue:EURUSD", "USD", "-11.3"),
        ("conversion", "USD", "11.3"),
        ("conversion", "GBP", f"-{exact}"),
        ("cash", "GBP", "9.04"),
        ("rounding", "GBP", f"{exact - Fraction('9.04')}"),
    ]
    (leg,) = closed.legs
    assert (leg.symbol, leg.side, leg.raw, leg.inverse, leg.sequence) == ("GBPUSD", "ask", 125_010, True, 1)
    entry = floor.stored[-1].ledger[-1]
    assert (entry.transaction, entry.entry, entry.symbol) == (closed.number, closed.entry, "EURUSD")
    assert entry.path == "1/GBPUSD ask 1.25010 #1"


def test_commission_is_a_transaction_of_its_own() -> None:
    """11,001.00 × 35 / 1,000,000 = 0.385035 USD, posted as 0.39."""
    floor = open_floor(GOOD, rules=Rules(commission_per_million=Fraction(35)))
    floor.buy("a", "10000")
    charge = transactions(floor)[-1]
    assert charge.kind is TransactionKind.COMMISSION
    assert lines(charge) == [
        ("commission", "USD", "0.385035"),
        ("cash", "USD", "-0.39"),
        ("rounding", "USD", "0.004965"),
    ]


def test_the_trial_balance_of_a_flat_account_is_cash_against_funding_and_profit() -> None:
    floor = pounds()
    exact = Fraction("11.3") / Fraction("1.2501")
    assert Balances(transactions(floor)).open() == [
        ("cash", "GBP", Fraction("100009.04")),
        ("conversion", "GBP", -exact),
        ("conversion", "USD", Fraction("11.3")),
        ("funding", "GBP", Fraction(-100_000)),
        ("profit:EURUSD", "USD", Fraction("-11.3")),
        ("rounding", "GBP", exact - Fraction("9.04")),
    ]


def differing(floor: Floor, posted: Sequence[Transaction]) -> set[str]:
    positions = {each.symbol: each for each in floor.engine.book.positions_of("demo")}
    found = check_ledger(floor.account(), positions, fills(floor), posted)
    return {each.name for each in found if not each.equal}


def tampered(of: Transaction, index: int, amount: str) -> Transaction:
    changed = list(of.postings)
    changed[index] = replace(changed[index], amount=amount)
    return replace(of, postings=tuple(changed))


def test_books_that_are_right_pass() -> None:
    floor = pounds()
    assert differing(floor, transactions(floor)) == set()


def test_every_kind_of_error_is_named() -> None:
    floor = pounds()
    deposit, opened, closed = transactions(floor)
    names = [each.ledger_account for each in closed.postings]
    cash, target = names.index("cash"), len(names) - 1 - names[::-1].index("conversion")

    missing = differing(floor, [deposit, opened])
    assert {"transactions", "fills with a transaction", "balance, from postings"} <= missing
    doubled = differing(floor, [deposit, opened, closed, closed])
    assert {"fills with a transaction", "EURUSD size, from postings"} <= doubled
    one_sided = differing(floor, [deposit, opened, tampered(closed, cash, "9.05")])
    assert one_sided == {"transactions out of balance", "balance, from postings"}
    other_rate = tampered(closed, target, "-9.04")
    kept = tuple(each for each in other_rate.postings if each.ledger_account != "rounding")
    assert differing(floor, [deposit, opened, replace(other_rate, postings=kept)]) == {
        "conversions off their rate"
    }
    assert differing(floor, [deposit, opened, replace(closed, legs=())]) == {"conversions off their rate"}


@pytest.mark.parametrize("amount", ["0.01", "-1/3"])
def test_what_does_not_cancel_is_said_by_currency(amount: str) -> None:
    cash, funding = Posting("cash", "USD", "1"), Posting("funding", "USD", "-1")
    posted = [cash, funding, Posting("rounding", "EUR", amount)]
    assert out_of_balance(posted) == {"EUR": Fraction(amount)}
