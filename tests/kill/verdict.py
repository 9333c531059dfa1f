"""What must hold when everything has come to rest, whatever died on the way. A judge returns what is wrong.

The books are judged by their own journal: applied again from the first entry, with the ticks it names, it
must give every row and every event there is, byte for byte and no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message

from services.errors import FxError
from services.market.ticks import TickBatch, merge
from services.runtime.bus.events import event_type, message_class
from services.trading_gateway import wire
from services.trading_gateway.adapters.rows import Rows
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.changes import Changes, JournalEntry
from services.trading_gateway.domain.inputs import (
    AmendOrder,
    OpenAccount,
    PlaceOrder,
    SetLimits,
    SetTradingState,
    SignalDecided,
    TicksRead,
)
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import parse, replay
from services.trading_gateway.domain.reports import CashMoved
from services.trading_gateway.domain.transactions import Transaction, out_of_balance
from services.trading_gateway.domain.values import OrderOrigin
from services.trading_gateway.domain.venue_cash import exact_balance
from services.trading_gateway.handlers.desk import Conduct
from tests.kill.load import History
from tests.kill.venue import OUTSIDE, VENUE_FILE, PaperRecord, TheirBooks, Venue, disagreements

FILE = "trading.db"
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Published:
    """An event as the stream has it."""

    key: str
    id: str
    payload: bytes


class Books:
    """Everything that a database file of trading holds. Nobody has it open."""

    def __init__(self, file: Path) -> None:
        self._schema = schema = Schema()
        engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
        with engine.connect() as connection:
            self._connection = connection
            self.journal: list[JournalEntry] = self._read(schema.journal)
            self.orders = self._read(schema.orders)
            self.fills = self._read(schema.fills)
            self.ledger = self._read(schema.ledger)
            self.positions = self._read(schema.positions)
            self.accounts = self._read(schema.accounts)
            self.limits = self._read(schema.limits)
            self.limit_changes = self._read(schema.limit_changes)
            self.decisions = self._read(schema.decisions)
            self.signals = self._read(schema.signals)
            self.answers = self._read(schema.answers)
            self.venue_cash = self._read(schema.venue_cash)
            bodies = sa.select(schema.transactions.c.body).order_by("account_id", "number")
            self.transactions = [plain.load(Transaction, each) for each in connection.scalars(bodies)]
            waiting = connection.execute(sa.text("SELECT type, payload FROM outbox ORDER BY position"))
            self.waiting = [message_class(type_).FromString(payload) for type_, payload in waiting]
            """Events that the next process will publish."""
        engine.dispose()
        self.venue = TheirBooks(file.parent / VENUE_FILE)

    def _read(self, rows: Rows[Any]) -> list[Any]:
        statement = sa.select(rows.table).order_by(*rows.table.primary_key)
        return rows.read(self._connection, statement)


def unheard(folder: Path) -> bool:
    """True while the venue's file has what the gateway's has not."""
    theirs, engine = TheirBooks(folder / VENUE_FILE), sa.create_engine(f"sqlite:///{folder / FILE}")
    with engine.connect() as connection:
        fills = set(connection.scalars(sa.text("SELECT execution_id FROM fills")))
        moved = set(connection.scalars(sa.text("SELECT transaction_id FROM venue_cash")))
    engine.dispose()
    return not (theirs.fills <= fills and theirs.moved <= moved)


def unpublished(file: Path) -> int:
    """Events that wait in the outbox of a file in use."""
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        waiting = connection.scalar(sa.text("SELECT count(*) FROM outbox"))
    engine.dispose()
    return int(waiting or 0)


def judge(
    books: Books,
    conduct: Conduct,
    batches: Sequence[TickBatch],
    published: Sequence[Published],
    history: History,
    venue: Venue | None = None,
) -> list[str]:
    """Everything that is wrong. `published`: as the stream took it, doubles included. No venue: the paper
    venue, which is part of the gateway.
    """
    wrong = list(history.wrong)
    try:
        again = replay(conduct.rules, conduct.policy, books.journal, ticks_of(batches)).take_changes()
    except FxError as failure:  # an input that was taken once is taken again
        return [*wrong, f"the journal does not replay: {failure}"]
    waiting = [_published(each) for each in books.waiting]
    wrong += [*_rows(books, again), *_events(again, [*published, *waiting]), *_accounts(books)]
    wrong += _cash(books)
    record = PaperRecord(books.journal)
    wrong += [f"execution {each} was reported twice" for each in record.doubled]
    wrong += disagreements(venue or record, {each.order_id: each for each in books.orders})
    wrong += [*_promises(books, history), *_effects(books.journal), *_signals(books, history)]
    wrong += [f"{each.id} was not published" for each in waiting]
    return wrong


def ticks_of(batches: Sequence[TickBatch]) -> Any:
    """Finds the ticks that a mark names."""
    by_feed: dict[tuple[str, str], list[TickBatch]] = {}
    for each in batches:
        by_feed.setdefault((each.session_id, each.symbol), []).append(each)

    def find(mark: TicksRead) -> TickBatch:
        return merge(
            [
                each[max(mark.first - each.first_sequence, 0) : mark.last - each.first_sequence + 1]
                for each in by_feed[mark.session_id, mark.symbol]
                if each.first_sequence <= mark.last and each.last_sequence >= mark.first
            ]
        )

    return find


def _rows(books: Books, again: Changes) -> Iterator[str]:
    """Every row is what the journal gives, and there is no other."""
    yield from _same("orders", books.orders, again.orders.values())
    yield from _same("fills", books.fills, again.fills)
    yield from _same("ledger", books.ledger, again.ledger)
    yield from _same("transactions", books.transactions, again.transactions)
    yield from _same("positions", books.positions, again.positions.values())
    yield from _same("accounts", books.accounts, again.accounts.values())
    yield from _same("limits", books.limits, again.limits.values())
    yield from _same("limit changes", books.limit_changes, again.limit_changes)
    yield from _same("decisions", books.decisions, again.decisions)


def _same(name: str, stored: Iterable[Any], recomputed: Iterable[Any]) -> Iterator[str]:
    ours, theirs = sorted(map(plain.dump, stored)), sorted(map(plain.dump, recomputed))
    missing, invented = Counter(theirs) - Counter(ours), Counter(ours) - Counter(theirs)
    for what, rows in (("lost", missing), ("not of the journal", invented)):
        for row in sorted(rows.elements())[:SHOWN]:
            yield f"{name} {what}: {row}"


def _events(again: Changes, published: Sequence[Published]) -> Iterator[str]:
    """For each key, the first of each id on the stream are the events of the journal, in their order."""
    first: dict[str, Published] = {}
    for each in published:
        if first.setdefault(each.id, each) != each:
            yield f"event {each.id} was published with two contents"
    expected = [_published(wire.event(each)) for each in again.events]
    if len({each.id for each in expected}) != len(expected):
        yield "two events of the journal have one id"
    for key in sorted({each.key for each in (*first.values(), *expected)}):
        ours = [each for each in first.values() if each.key == key]
        theirs = [each for each in expected if each.key == key]
        for have, want in zip_longest(ours, theirs):
            if have != want:
                yield f"{key}: event {want and want.id} should be published where {have and have.id} is"
                break


def _published(message: Message) -> Published:
    address = event_type(message.DESCRIPTOR).address(message)
    return Published(address.key, address.id, message.SerializeToString(deterministic=True))


def _accounts(books: Books) -> Iterator[str]:
    """Postings sum to zero, and every figure is the fold of fills and postings."""
    for each in books.transactions:
        if out_of_balance(each.postings):
            yield f"transaction {each.account_id}/{each.number} does not sum to zero"
    for account in books.accounts:
        own = account.account_id
        positions = {each.symbol: each for each in books.positions if each.account_id == own}
        fills = sorted((each for each in books.fills if each.account_id == own), key=lambda each: each.number)
        posted = [each for each in books.transactions if each.account_id == own]
        for line in reconcile(account, positions, fills, posted).lines:
            if not line.equal:
                yield f"{own}: {line.name} is booked {line.booked} and should be {line.recomputed}"
    for numbers in ([each.number for each in books.journal], sorted(each.number for each in books.orders)):
        yield from (f"{one} is followed by {two}" for one, two in pairwise([0, *numbers]) if two != one + 1)


def _cash(books: Books) -> Iterator[str]:
    """What the venue outside moved by itself is booked, once; its balance is that of the books, to its last
    digit.
    """
    booked = Counter(each.transaction_id for each in books.venue_cash)
    journal = Counter(
        moved.transaction_id for moved in map(parse, books.journal) if isinstance(moved, CashMoved)
    )
    for key in sorted(books.venue.moved | booked.keys() | journal.keys()):
        counts = (int(key in books.venue.moved), booked[key], journal[key])
        if counts != (1, 1, 1):
            yield f"cash {key} is at the venue, booked and journaled {counts} times"
    for account in books.accounts:
        if account.account_id == OUTSIDE and exact_balance(account) != books.venue.balance:
            yield f"the venue's balance is {books.venue.balance}, the books' {exact_balance(account)}"


def _promises(books: Books, history: History) -> Iterator[str]:
    """What was acknowledged is there, once, and at least as far as it was said to be."""
    keys = Counter((each.account_id, each.client_order_id) for each in books.orders)
    yield from (f"order {key} is there {count} times" for key, count in keys.items() if count > 1)
    orders = {each.order_id: each for each in books.orders}
    for key, answer in history.placed.items():
        ours = orders.get(answer.order_id)
        if ours is None or (ours.account_id, ours.client_order_id) != key:
            yield f"order {key} was acknowledged as {answer.order_id} and is not there"
        elif ours.revision < answer.revision:
            yield f"order {key} was at revision {answer.revision} and is at {ours.revision}"
    answered = {each.request_id for each in books.answers}
    yield from (f"{method} {key} was answered and forgotten" for key, method in history.done.items()
                if key not in answered)  # fmt: skip


def _effects(journal: Sequence[JournalEntry]) -> Iterator[str]:
    """A key has one effect, however often it was sent."""
    effects: Counter[tuple[str, ...]] = Counter()
    for entry in journal:
        match parse(entry):
            case PlaceOrder() as asked if asked.origin is OrderOrigin.USER:
                effects["PlaceOrder", asked.account_id, asked.client_order_id] += 1
            case AmendOrder() as asked:
                effects["AmendOrder", asked.order_id, str(asked.change.size)] += 1
            case SetLimits() as asked:
                effects["SetLimits", asked.account_id, asked.reason] += 1
            case SetTradingState() as asked:
                effects["SetTradingState", asked.account_id, asked.reason] += 1
            case OpenAccount() as asked:
                effects["OpenAccount", asked.account_id] += 1
            case SignalDecided() as asked:
                effects["SignalDecided", asked.account_id, asked.signal.signal_id] += 1
    yield from (f"{' '.join(key)} had {count} effects" for key, count in effects.items() if count > 1)


def _signals(books: Books, history: History) -> Iterator[str]:
    known: Mapping[str, bool] = {each.signal_id: each.decided for each in books.signals}
    for each in history.signals:
        if not known.get(each.signal_id):
            yield f"signal {each.signal_id} was never decided about"
