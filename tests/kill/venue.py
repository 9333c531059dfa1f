"""What a venue holds, by its own account, and whether the books agree with it.

The paper venue keeps nothing of its own: what it has said are its reports, in the journal. They are added up
here without the books' code, as an outside venue would keep them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from services.trading_gateway.domain import plain
from services.trading_gateway.domain.changes import JournalEntry
from services.trading_gateway.domain.ids import bust_id
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.replaying import parse
from services.trading_gateway.domain.reports import Accepted, Amended, Busted, CashMoved, Ended, Executed
from tests.kill.settings import SETTINGS

(FUNDS,) = SETTINGS.funds()
OUTSIDE = FUNDS[0]
"""The account at the venue outside."""
VENUE_FILE = f"{SETTINGS.simulated_venue}.venue.db"


@dataclass(frozen=True, slots=True)
class Held:
    """An order as a venue knows it."""

    filled: int = 0
    notional: int = 0
    ended: bool = False


class TheirBooks:
    """Cash at the venue outside, by its own file, which no gateway has to be asked for."""

    def __init__(self, file: Path) -> None:
        self.fills: set[str] = set()
        """Executions, and what took some of them back."""
        self.moved: set[str] = set()
        self.balance = Fraction(FUNDS[2])
        engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for kind, body in connection.execute(sa.text("SELECT kind, body FROM reports")):
                if kind == "Executed":
                    fill = plain.load(Executed, body)
                    self.fills.add(fill.execution_id)
                    self.balance += Fraction(fill.cash or "0")
                elif kind == "Busted":
                    taken = plain.load(Busted, body)
                    self.fills.add(bust_id(taken.execution_id))
                    self.balance += Fraction(taken.cash or "0")
                elif kind == "CashMoved":
                    moved = plain.load(CashMoved, body)
                    self.moved.add(moved.transaction_id)
                    self.balance += Fraction(moved.amount)
        engine.dispose()


class Venue(Protocol):
    """Any venue, when nothing is on its way to it or back."""

    def orders(self) -> Mapping[str, Held]:
        """Every order it was ever sent, by id."""


class PaperRecord:
    """The paper venue, by the reports in a journal."""

    def __init__(self, journal: Iterable[JournalEntry]) -> None:
        self._held: dict[str, Held] = {}
        self._executions: dict[str, Executed] = {}
        self.doubled: list[str] = []
        """Executions reported twice: by id they have one effect, but this venue never does it."""
        for entry in journal:
            self._hear(parse(entry))

    def orders(self) -> Mapping[str, Held]:
        return self._held

    def _hear(self, report: object) -> None:
        match report:
            case Accepted() | Amended():
                self._held.setdefault(report.order_id, Held())
            case Executed():
                if report.execution_id in self._executions:
                    self.doubled.append(report.execution_id)
                    return
                self._executions[report.execution_id] = report
                self._fill(report, 1)
            case Busted():
                self._fill(self._executions[report.execution_id], -1)
            case Ended():
                had = self._held.get(report.order_id, Held())
                self._held[report.order_id] = replace(had, ended=True)

    def _fill(self, report: Executed, sign: int) -> None:
        had, size = self._held.get(report.order_id, Held()), sign * report.size
        filled, notional = had.filled + size, had.notional + size * report.price
        self._held[report.order_id] = replace(had, filled=filled, notional=notional)


def disagreements(venue: Venue, orders: Mapping[str, Order]) -> list[str]:
    """Where the books and the venue differ; nothing when they agree."""
    theirs, wrong = venue.orders(), []
    for order_id, held in theirs.items():
        ours = orders.get(order_id)
        if ours is None:
            wrong.append(f"the venue holds {order_id}, and the books do not know it")
        elif (ours.filled, ours.notional) != (held.filled, held.notional):
            wrong.append(f"the venue filled {held.filled} of {order_id}, the books have {ours.filled}")
        elif held.ended and not ours.final:
            wrong.append(f"the venue ended {order_id}, the books have it {ours.status.value}")
    wrong += [
        f"the books have {each.filled} of {each.order_id} filled, and the venue never heard of it"
        for each in orders.values()
        if (each.filled or (each.at_venue and not each.final)) and each.order_id not in theirs
    ]
    return wrong
