"""The books made again from the journal: same inputs and ticks, same orders, fills and balances."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

from services.market.ticks import TickBatch
from services.trading_gateway.domain import inputs, plain
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.changes import JournalEntry
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import Input, TicksRead
from services.trading_gateway.domain.rules import Rules

KINDS: dict[str, type[Input]] = {kind.__name__: kind for kind in get_args(inputs.Input)}


def parse(entry: JournalEntry) -> Input:
    """The input that an entry holds. Raises ValueError for a kind that does not exist."""
    kind = KINDS.get(entry.kind)
    if kind is None:
        raise ValueError(f"journal entry {entry.number} is of unknown kind {entry.kind!r}")
    return plain.load(kind, entry.payload)


def replay(
    rules: Rules,
    policy: Policy,
    journal: Iterable[JournalEntry],
    ticks: Callable[[TicksRead], TickBatch],
) -> Engine:
    """An engine that took every entry of a journal, from the first, with `ticks` giving the ticks it names.

    `Engine.take_changes()` then holds every row and event of the whole run. Raises ValueError for a journal
    with a hole.
    """
    engine = Engine(rules, policy, live=False)
    expected = 1
    for entry in journal:
        if entry.number != expected:
            raise ValueError(f"the journal goes on at {entry.number} where {expected} follows")
        expected += 1
        asked = parse(entry)
        if isinstance(asked, TicksRead):
            engine.read(ticks(asked), 0)
            engine.journal.mark_all()
        else:
            engine.apply(asked)
    return engine
