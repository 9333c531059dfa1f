"""The positions of all accounts, with those at hand that are open.

A netting account holds one a symbol, a hedging account one for each order that opened one: a ticket. One that
was closed stays as long as orders of it do; older ones are in the store only. They have neither late fills
nor busts, since hedging accounts are on paper.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TypeAlias

from services.trading_gateway.domain.positions import Position

Key: TypeAlias = tuple[str, str]
"""Symbol and position id."""


class Holdings:
    """What is held, and what was."""

    def __init__(
        self, positions: Iterable[Position] = (), revisions: Iterable[tuple[str, str, int]] = ()
    ) -> None:
        """`revisions`: the last one of all tickets there ever were, by account and symbol."""
        self._all: dict[str, dict[Key, Position]] = {}
        self._open: dict[str, dict[Key, Position]] = {}
        self._changes = {(account_id, symbol): last for account_id, symbol, last in revisions}
        self.symbols: dict[str, set[str]] = {}
        """Symbols with an open position, by account; of accounts that ever had one."""
        for each in positions:
            self._keep(each)

    def get(self, account_id: str, symbol: str, position_id: str = "") -> Position:
        """The position, flat when there never was one."""
        held = self._all.get(account_id)
        found = None if held is None else held.get((symbol, position_id))
        return found or Position(account_id, symbol, position_id=position_id)

    def put(self, position: Position) -> Position:
        """Keep the next revision of a position. In a hedging account those of a symbol are counted together:
        outside, the changes of a symbol are told apart by their revision.
        """
        if position.position_id:
            changes = self._changes.get((position.account_id, position.symbol), 0)
            position = replace(position, revision=changes + 1)
        self._keep(position)
        return position

    def forget(self, account_id: str, symbol: str, position_id: str) -> None:
        """Drop a ticket from memory, unless it is open."""
        held, key = self._all.get(account_id, {}), (symbol, position_id)
        if key in held and held[key].flat:
            del held[key]

    def all(self, account_id: str) -> list[Position]:
        """Positions of an account in memory, flat ones too, by symbol and age."""
        return sorted(self._all.get(account_id, {}).values(), key=_by_symbol_and_age)

    def open(self, account_id: str) -> list[Position]:
        """Open positions of an account, by symbol and age."""
        return sorted(self._open.get(account_id, {}).values(), key=_by_symbol_and_age)

    def standing(self, account_id: str) -> Collection[Position]:
        """Open positions of an account, in no order that counts."""
        held = self._open.get(account_id)
        return () if held is None else held.values()

    def _keep(self, position: Position) -> None:
        account_id, symbol = position.account_id, position.symbol
        key = (symbol, position.position_id)
        self._all.setdefault(account_id, {})[key] = position
        if position.position_id:
            counted = self._changes.get((account_id, symbol), 0)
            self._changes[account_id, symbol] = max(counted, position.revision)
        held, symbols = self._open.setdefault(account_id, {}), self.symbols.setdefault(account_id, set())
        if not position.flat:
            held[key] = position
            symbols.add(symbol)
        elif held.pop(key, None) is not None and not any(each.symbol == symbol for each in held.values()):
            symbols.discard(symbol)


def _by_symbol_and_age(position: Position) -> tuple[str, int]:
    return position.symbol, position.number
