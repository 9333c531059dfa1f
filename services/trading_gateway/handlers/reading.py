"""Ticks into the books, and the account of a replay with its first tick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.errors import FxError
from services.market.instruments import INSTRUMENTS
from services.market.ticks import TickBatch
from services.money.values import Money
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.ids import replay_account_id
from services.trading_gateway.domain.inputs import OpenAccount, SessionEnded
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.ports import TicksCame

Quoted: TypeAlias = Callable[[Quote], Awaitable[None]]
_UNREADABLE = ("UNKNOWN_SESSION", "UNKNOWN_SYMBOL", "PRICE_PRECISION")


@dataclass(frozen=True, slots=True)
class ReplayAccounts:
    """How the account of a replay is opened."""

    currency: str = "USD"
    deposit: str = "100000"


class Reading:
    """Reads ticks, each once, and commits when they changed something."""

    def __init__(self, desk: Desk, replays: ReplayAccounts, followers: Sequence[Quoted] = ()) -> None:
        """`followers` are given the last quote of every live batch."""
        self._desk = desk
        self._followers = followers
        self._replays = replays
        self._complained: set[str] = set()

    async def read(self, item: TicksCame) -> None:
        """Take ticks and the end of a session. Raises FxError when the store fails."""
        with self._desk.step() as engine:
            try:
                self._read(engine, item)
            except FxError as failure:
                if failure.reason not in _UNREADABLE:
                    self._desk.doubt()  # halfway through a batch
                    raise
                self._complain(item.batch, failure)
            changed = bool(engine.book.changes)
        if changed:
            await self._desk.settle()
        for quote in self._quotes(item.batch):
            for follow in self._followers:
                await follow(quote)
        self._desk.meter.ticks(len(item.batch))
        self._desk.moved()

    def _read(self, engine: Engine, item: TicksCame) -> None:
        session = engine.session(item.batch.session_id)
        if session.replay and len(item.batch):
            self._open_account(engine, item.batch)
        engine.read(item.batch, item.clock_ns)
        if item.ended:
            time_ns = engine.time(session.scope)
            engine.session_ended(SessionEnded(time_ns, session.session_id, item.batch.symbol))

    def _quotes(self, batch: TickBatch) -> list[Quote]:
        engine = self._desk.standing
        if not self._followers or engine is None:
            return []
        feed = engine.book.markets.feed(LIVE, batch.symbol)
        quote = None if feed is None else feed.state.quote
        return [quote] if quote is not None and quote.session_id == batch.session_id else []

    def _complain(self, batch: TickBatch, failure: FxError) -> None:
        """Once a session: the next batch will have the same fault."""
        if batch.session_id not in self._complained:
            self._complained.add(batch.session_id)
            self._desk.log.warning("ticks.not_read", batch=batch.batch_id, error=str(failure))

    def _open_account(self, engine: Engine, batch: TickBatch) -> None:
        account_id = replay_account_id(batch.session_id)
        if account_id not in engine.book.accounts:
            code, deposit = _funds(self._replays, batch.symbol)
            time_ns, scope = batch.times_ns[0], batch.session_id
            engine.open_account(
                OpenAccount(time_ns, account_id, code, deposit, auto_trade=True, session_id=scope)
            )


def _funds(replays: ReplayAccounts, symbol: str) -> tuple[str, int]:
    """Currency and minor units. The replayed pair must convert by itself: no other price of that time is
    there.

    Where the usual currency is not in the pair, the quote currency takes its place with as many minor units.
    """
    of = INSTRUMENTS.get(symbol)
    code = replays.currency if of is None or replays.currency in of.pair else of.quote
    return code, Money.parse(replays.deposit, replays.currency).raw
