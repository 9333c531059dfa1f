"""The books recomputed from fills and postings alone and compared, figure by figure, to the last digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from services.market.instruments import instrument
from services.money.currencies import currency
from services.money.decimals import format_decimal, format_trimmed
from services.money.rounding import round_fraction
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.histories import made_of, standing
from services.trading_gateway.domain.ledger_check import Line, check_ledger
from services.trading_gateway.domain.positions import Position, filled
from services.trading_gateway.domain.transactions import Balances, Transaction, TransactionKind, cash_of
from services.trading_gateway.domain.valuation import cost_digits


@dataclass(frozen=True, slots=True)
class Misfilled:
    """An order that says another size to be filled than its fills come to (both in raw units)."""

    order_id: str
    symbol: str
    filled: int
    by_fills: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All figures of an account."""

    fills: int
    lines: tuple[Line, ...]
    transactions: int
    balances: tuple[tuple[str, str, Fraction], ...]
    """The trial balance: (ledger account, currency, balance), those at zero left out."""

    @property
    def reconciled(self) -> bool:
        """True when every line is equal."""
        return all(each.equal for each in self.lines)


def reconcile(
    account: Account,
    positions: Mapping[str, Position],
    fills: Iterable[Fill],
    transactions: Iterable[Transaction],
    misfilled: Iterable[Misfilled] = (),
) -> Reconciliation:
    """Compare `account` and its `positions` by name with what its fills, as booked one by one, and its
    transactions, as posted, come to. `misfilled`: orders that were found to say something else than fills.
    """
    booked = tuple(fills)
    posted = tuple(transactions)
    rebuilt, realised = _rebuilt(account, booked)
    commission = sum(each.commission for each in booked)
    digits = currency(account.currency).digits
    scale = 10**digits
    financed = int(cash_of(posted, TransactionKind.FINANCING) * scale)
    transferred = int(cash_of(posted, TransactionKind.TRANSFER) * scale)
    adjusted = int(cash_of(posted, TransactionKind.ADJUSTMENT) * scale)
    # Of fills, and what a venue charged apart from them.
    apart = {each.execution_id for each in booked}
    charged = (each for each in posted if each.reference not in apart)
    commission -= int(cash_of(charged, TransactionKind.COMMISSION) * scale)
    moved = financed + transferred + adjusted
    lines = [
        _money("balance", account.balance, account.deposited + realised - commission + moved, digits),
        _money("realised profit", account.realised, realised, digits),
        _money("commission", account.commission, commission, digits),
        _money("financing", account.financing, financed, digits),
        _money("transfers", account.transferred, transferred, digits),
        _money("adjustments", account.adjusted, adjusted, digits),
    ]
    for name in sorted(rebuilt.keys() | positions.keys()):
        symbol, _, position_id = name.partition(" ")
        none = Position(account.account_id, symbol, position_id=position_id)
        lines += _position_lines(name, positions.get(name, none), rebuilt.get(name, none))
    lines += check_ledger(account, positions, booked, posted)
    for each in misfilled:
        digits = instrument(each.symbol).size_digits
        sizes = format_trimmed(each.filled, digits), format_trimmed(each.by_fills, digits)
        lines.append(Line(f"order {each.order_id} filled", *sizes))
    return Reconciliation(len(booked), tuple(lines), len(posted), tuple(Balances(posted).open()))


def _rebuilt(account: Account, fills: Iterable[Fill]) -> tuple[dict[str, Position], int]:
    """Positions by name from fills alone, and what was realised on the way in minor units. A fill that was
    taken back counts until then; from there on the position is that of those which are left.
    """
    rebuilt: dict[str, Position] = {}
    past: dict[str, list[Fill]] = {}
    realised = 0
    for fill in fills:
        none = Position(account.account_id, fill.symbol, position_id=fill.position_id)
        before, own = rebuilt.get(none.name, none), past.setdefault(none.name, [])
        own.append(fill)
        if fill.busts:
            after = made_of(none, standing(own))
            taken = [each for each in own if each.execution_id == fill.busts]
            moved = after.realised_quote - before.realised_quote + sum(each.realised_quote for each in taken)
            realised += _posted(account, fill, moved) - sum(each.realised for each in taken)
        else:
            effect = filled(before, fill.signed_size, fill.price, fill.time_ns)
            after = effect.position
            realised += _posted(account, fill, effect.realised)
        rebuilt[none.name] = after
    return rebuilt, realised


def _posted(account: Account, fill: Fill, realised_quote: int) -> int:
    """Minor units of a fill's profit at the rate that its posting names."""
    if not fill.rate:
        return 0
    numerator, denominator = fill.rate.split("/")
    exact = Fraction(realised_quote, 10 ** cost_digits(instrument(fill.symbol)))
    rate = Fraction(int(numerator), int(denominator))
    return round_fraction(exact * rate * 10 ** currency(account.currency).digits)


def _position_lines(name: str, booked: Position, rebuilt: Position) -> list[Line]:
    of = instrument(booked.symbol)
    digits = cost_digits(of)
    return [
        Line(
            f"{name} size",
            format_trimmed(booked.size, of.size_digits),
            format_trimmed(rebuilt.size, of.size_digits),
        ),
        _money(f"{name} cost", booked.cost, rebuilt.cost, digits),
        _money(f"{name} realised, {of.quote}", booked.realised_quote, rebuilt.realised_quote, digits),
    ]


def _money(name: str, booked: int, recomputed: int, digits: int) -> Line:
    return Line(name, format_decimal(booked, digits), format_decimal(recomputed, digits))
