"""The process ends at every commit point, before or after the commit; the next goes on as if it had not.

The run is told the same things again, as the world outside would: callers repeat by their keys, the bus
delivers signals again, market data sends the ticks after the last mark.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.errors import FxError, Kind
from services.runtime.store import Database
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.config import Settings
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderType, PositionMode, Side, TradingState
from services.trading_gateway.handlers.orders import Change
from services.trading_gateway.ports import Store, TicksCame, Told
from tests.kit.databases import chosen
from tests.trading_gateway.domain.test_autotrade import SIGNAL
from tests.trading_gateway.kit import REPLAY_SESSION, START
from tests.trading_gateway.world import World

CRASHED = FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "the process is gone")
TABLES = (
    "orders",
    "fills",
    "ledger",
    "transactions",
    "positions",
    "tickets",
    "accounts",
    "decisions",
    "signals",
    "answers",
    "outbox",
)


class CrashingStore(TradingStore):
    """Ends the process at its `fatal`-th commit: before it, or after it but before anybody hears of it."""

    def __init__(self, database: Database, schema: Schema, fatal: int, *, after: bool) -> None:
        super().__init__(database, schema)
        self.commits = 0
        self._fatal = fatal
        self._after = after

    async def commit(self, changes: Changes, told: Told) -> None:
        self.commits += 1
        if self.commits == self._fatal and self._after:
            await super().commit(changes, told)
        if self.commits >= self._fatal > 0:
            raise CRASHED
        await super().commit(changes, told)


class FragileWorld(World):
    """A world whose first process crashes."""

    def __init__(self, folder: Path, fatal: int = 0, *, after: bool = False) -> None:
        super().__init__(folder, Settings(commission_per_million="35"))
        self.fatal = fatal
        self.after = after
        self.commits = 0

    def store_of(self, database: Database, schema: Schema) -> Store:
        self.crashing = CrashingStore(database, schema, self.fatal, after=self.after)
        return self.crashing

    async def reborn(self) -> None:
        """A new process: it reads again what it had not marked."""
        self.fatal = 0
        await self.restart()
        await self.announce()
        await self.announce(REPLAY_SESSION)
        for ticks in self.sent:
            await self.reading.read(TicksCame(ticks, 0, not len(ticks)))


Step = Callable[[FragileWorld], Awaitable[object]]
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP


def _ticks(
    *prices: tuple[str, str],
    session: str = "r1",
    sizes: tuple[int, int] | None = None,
    symbol: str = "EURUSD",
) -> Step:
    async def step(world: FragileWorld) -> None:
        await world.tick(*prices, symbol=symbol, session=session, sizes=sizes)

    return step


def _place(key: str, side: Side, size: str = "10000", account: str = "replay-r1", **more: str) -> Step:
    type_ = LIMIT if "limit" in more else STOP if "stop" in more else OrderType.MARKET
    return lambda world: world.place(key, side, size, type_=type_, account=account, **more)  # type: ignore[arg-type]


def _signal(number: int, side: Side) -> Step:
    signal = replace(
        SIGNAL, signal_id=f"r1:{number}", session_id="r1", number=number, side=side, time_ns=START
    )
    return lambda world: world.signal(signal)


async def _amend(world: FragileWorld) -> object:
    order = await world.orders.find("replay-r1", "rest")
    return await world.orders.amend("r-amend", order.order_id, Change("15000", "1.37700", "", 0))


async def _bracket(world: FragileWorld) -> object:
    legs = Typed(
        "1.37700", take_profit=TypedLeg(distance="0.00200"), stop_loss=TypedLeg(trail_distance="0.00500")
    )
    wanted = terms("EURUSD", Side.BUY, LIMIT, "9000", legs)
    return await world.orders.place("replay-r1", "bracket", wanted)


async def _trail(world: FragileWorld) -> object:
    wanted = terms("EURUSD", Side.SELL, OrderType.TRAILING_STOP, "2000", Typed(trail_distance="0.00150"))
    return await world.orders.place("replay-r1", "trail", wanted)


async def _cancel(world: FragileWorld) -> object:
    order = await world.orders.find("replay-r1", "other")
    return await world.orders.cancel("r-cancel", order.order_id)


async def _hedged(world: FragileWorld) -> object:
    mode = PositionMode.HEDGING
    return await world.accounts.open("r-hedged", "hedged", "CHF", "50000", auto_trade=False, mode=mode)


async def _close_ticket(world: FragileWorld) -> object:
    opened = await world.orders.find("hedged", "long")
    return await world.orders.close_position("hedged", "EURUSD", "part", opened.order_id, "4000")


async def _end(world: FragileWorld) -> object:
    return await world.tick(session="r1", ended=True)


P = ("1.38000", "1.38010")
STEPS: Sequence[Step] = (
    lambda world: world.announce(),
    lambda world: world.announce(REPLAY_SESSION),
    _ticks(("1.10000", "1.10010"), session="syn-1"),
    _ticks(P, P, P),
    _place("a", Side.BUY),
    _place("demo-a", Side.SELL, account="demo"),
    _signal(1, Side.SELL),
    _ticks(P, ("1.38050", "1.38060"), ("1.38210", "1.38220"), P),
    _signal(2, Side.BUY),
    _place("rest", Side.BUY, limit="1.37500"),
    _place("other", Side.SELL, limit="1.38900"),
    _place("stop", Side.SELL, stop="1.37800"),
    _ticks(P, ("1.37850", "1.37860"), ("1.37790", "1.37800"), ("1.37780", "1.37790"), sizes=(4_000, 6_000)),
    _amend,
    _bracket,
    _trail,
    _ticks(("1.37690", "1.37700"), ("1.37680", "1.37690"), sizes=(4_000, 6_000)),
    _cancel,
    lambda world: world.accounts.set_trading_state("r-state", "demo", TradingState.REDUCING, "drill"),
    lambda world: world.orders.close_position("demo", "EURUSD", "demo-close"),
    _ticks(("1.37900", "1.37910"), ("1.38100", "1.38110")),
    lambda world: world.orders.cancel_all("r-all", "replay-r1", ""),
    _signal(3, Side.SELL),
    _place("last", Side.BUY, "3333"),
    _hedged,
    _ticks(("0.88000", "0.88010"), session="syn-1", symbol="USDCHF"),
    _place("long", Side.BUY, account="hedged"),
    _place("short", Side.SELL, account="hedged"),
    _close_ticket,
    _end,
)


async def run(world: FragileWorld) -> None:
    """All steps; whenever the process ends, a new one goes on from the step that was under way."""
    for step in (FragileWorld.start, *STEPS):
        sent = len(world.sent)
        try:
            await step(world)
            await world.desk.durable()
        except FxError as failure:
            if failure != CRASHED and failure.reason != "STORE_UNAVAILABLE":
                raise
            await world.reborn()
            if len(world.sent) == sent and step is not FragileWorld.start:
                await step(world)  # ticks were read again already
    await world.stop()


def stored(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row that must not depend on crashes. The times at which accounts were opened are the wall's."""
    engine = chosen().engine(folder / "trading.db")
    with engine.connect() as connection:
        rows = {
            name: [tuple(row) for row in connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY 1, 2"))]
            for name in TABLES
        }
    engine.dispose()
    return rows


async def test_an_uninterrupted_run_is_worth_comparing_with(tmp_path: Path) -> None:
    world = FragileWorld(tmp_path)
    await run(world)
    rows = stored(tmp_path)
    assert len(rows["fills"]) > 10
    assert len(rows["decisions"]) == 3
    assert world.crashing.commits > 30


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_commit_loses_and_doubles_nothing(
    tmp_path: Path, after: bool, part: int
) -> None:
    whole = FragileWorld(tmp_path / "whole")
    await run(whole)
    expected = stored(tmp_path / "whole")

    # On a server every fourth of them: what differs there lies beneath the commit.
    step = 4 if chosen().kind == "sqlite" else 16
    for fatal in range(1 + part, whole.crashing.commits + 1, step):
        folder = tmp_path / f"{fatal}"
        await run(FragileWorld(folder, fatal, after=after))
        found = stored(folder)
        for name in TABLES:
            assert found[name] == expected[name], f"{name}, crash at commit {fatal}"


@pytest.mark.parametrize("fatal", [0, 7, 19])
async def test_the_journal_of_a_run_with_crashes_gives_its_books_again(tmp_path: Path, fatal: int) -> None:
    world = FragileWorld(tmp_path, fatal)
    await run(world)
    await world.start()
    journal = await world.store.journal(0, 100_000)
    saved = await world.store.load()
    fills = await world.store.all_fills("replay-r1")
    await world.stop()

    conduct = world.settings.conduct()
    again = replay(conduct.rules, conduct.policy, journal, world.ticks_of)
    assert isinstance(conduct.rules, Rules)
    assert isinstance(conduct.policy, Policy)
    changes = again.take_changes()
    assert [fill for fill in changes.fills if fill.account_id == "replay-r1"] == fills
    assert tuple(again.book.accounts[each.account_id] for each in saved.accounts) == saved.accounts
