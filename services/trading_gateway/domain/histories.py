"""What was booked of a position, to make it again without a fill that its venue took back.

The average cost of a position rests on all fills it had, in the order of booking. Books do not keep them:
whoever hands in a bust hands them in too, from the store. When a journal is replayed all of them are at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.positions import Position, filled
from services.trading_gateway.domain.transactions import Transaction

Key: TypeAlias = tuple[str, str, str]
"""A position: account, symbol, position id."""


@dataclass(frozen=True, slots=True)
class History:
    """All fills of one position in the order of booking, those taken back and what took them back too, and
    the transactions of the executions that are asked about.
    """

    fills: tuple[Fill, ...] = ()
    transactions: tuple[Transaction, ...] = ()

    def fill(self, execution_id: str) -> Fill:
        """The fill of an execution. Raises StopIteration for one that is not of this position."""
        return next(each for each in self.fills if each.execution_id == execution_id)

    def posted(self, reference: str) -> tuple[Transaction, ...]:
        """What was posted for an execution."""
        return tuple(each for each in self.transactions if each.reference == reference)

    def with_later(self, fills: Iterable[Fill], transactions: Iterable[Transaction]) -> History:
        """With what was booked since it was read."""
        last = self.fills[-1].number if self.fills else 0
        known = {(each.account_id, each.number) for each in self.transactions}
        return History(
            (*self.fills, *(each for each in fills if each.number > last)),
            (
                *self.transactions,
                *(each for each in transactions if (each.account_id, each.number) not in known),
            ),
        )


def position_of(fill: Fill) -> Key:
    """The position that a fill changed."""
    return fill.account_id, fill.symbol, fill.position_id


def standing(fills: Sequence[Fill]) -> list[Fill]:
    """Those that were not taken back."""
    gone = {each.busts for each in fills}
    return [each for each in fills if not each.busts and each.execution_id not in gone]


def made_of(none: Position, fills: Iterable[Fill]) -> Position:
    """What fills come to, one after the other, from a position without any."""
    for each in fills:
        none = filled(none, each.signed_size, each.price, each.time_ns).position
    return none
