"""What trading does about an event it does once: delivered again at once, after a person has acted, and after
a restart. With the inbox taken out the same deliveries do more, so these tests would notice.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fxmesh.analysis.v1 import events_pb2 as analysis_events_pb2
from fxmesh.inference.v1 import events_pb2 as inference_events_pb2
from fxmesh.inference.v1 import inference_pb2
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2
from google.protobuf.message import Message

from services.runtime.bus.events import event_type
from services.runtime.memory_bus import MemoryBus, _Stored
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.config import Settings
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.handlers.desk import Desk
from services.wire.times import timestamp
from tests.integration.test_inbox import dump, envelope
from tests.trading_gateway.kit import SECOND, START, batch
from tests.trading_gateway.platform import Platform, platform
from tests.trading_gateway.test_service import GOOD, quoted, signal
from tests.trading_gateway.world import until

pytestmark = pytest.mark.integration

SIGNAL = analysis_events_pb2.SignalGenerated(
    signal_id=signal().signal_id, session_id="syn-1", symbol="EURUSD", signal=signal()
)
DRIFT = inference_events_pb2.ModelDriftDetected(
    endpoint="eurusd-1h",
    model_version=3,
    report_number=1,
    instance_id="i",
    report=inference_pb2.DriftReport(endpoint="eurusd-1h", model_name="m", worst_index=0.4, drifted=True),
)
REDUCES = Settings(drift_reduces=True)


async def hand(world: Platform, event: Message, number: int) -> None:
    """Deliver an event, whether it came before or not; returns when it is acknowledged."""
    assert isinstance(world.bus, MemoryBus)
    world.bus.offer(_Stored(envelope(event), number))
    world.broker.check_idle()
    await world.broker.drain()
    assert world.broker.dead_letters == []


async def hand_signal(world: Platform, number: int) -> None:
    """The same, and wait for the decision."""
    await hand(world, SIGNAL, number)
    async with asyncio.timeout(20):
        while (await progress(world)).undecided_signal_count:
            pass


async def progress(world: Platform) -> service_pb2.GetSessionProgressResponse:
    asked = service_pb2.GetSessionProgressRequest(session_id="syn-1")
    answer: service_pb2.GetSessionProgressResponse = await world.stub.GetSessionProgress(asked)
    return answer


async def ready_to_trade(world: Platform) -> None:
    await quoted(world)
    await world.tick(batch([GOOD], first=2, start_ns=START + SECOND, sizes=(1_000, 1_000)))
    levels = [market_pb2.BookLevel(price="1.10010", size="9000000")]
    world.market.books["EURUSD"] = market_pb2.OrderBook(
        session_id="syn-1", symbol="EURUSD", sequence=2, time=timestamp(START + SECOND), asks=levels
    )


def told(folder: Path) -> bool:
    """True when every event of the outbox is published."""
    with closing(sqlite3.connect(folder / "trading.db")) as books:
        return bool(books.execute("SELECT count(*) = 0 FROM outbox").fetchone()[0])


async def after_signals(folder: Path, times: int) -> tuple[dict[str, list[str]], list[str]]:
    """The books after the signal came so often, and what trading published."""
    async with platform(folder) as world:
        await ready_to_trade(world)
        for number in range(1, times + 1):
            await hand_signal(world, number)
            await until(lambda: bool(world.of(events_pb2.AccountChanged)) and told(folder))
        assert (await progress(world)).signal_count == 1
        await world.broker.drain()
        published = [event_type(each.DESCRIPTOR).address(each).id for each in world.published]
    return dump(folder), published


async def test_a_signal_delivered_twice_is_decided_and_traded_once(tmp_path: Path) -> None:
    once, told_once = await after_signals(tmp_path / "once", 1)
    twice, told_twice = await after_signals(tmp_path / "twice", 2)

    assert sum("TradeExecuted" in each for each in told_once) == 1
    assert told_twice == told_once
    assert len(once["trading.db/decisions"]) == 1
    assert twice == once


async def test_a_signal_that_comes_again_after_a_restart_changes_nothing(tmp_path: Path) -> None:
    before, _ = await after_signals(tmp_path, 1)
    async with platform(tmp_path) as world:
        await hand_signal(world, 2)
        await world.broker.drain()
        assert world.published == []
    assert dump(tmp_path) == before


async def test_without_the_inbox_a_signal_delivered_twice_is_decided_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: TradingStore, signal_id: str) -> bool:
        return False

    async def hand_twice() -> None:
        async with platform(tmp_path) as world:
            await ready_to_trade(world)
            await hand_signal(world, 1)
            await hand(world, SIGNAL, 2)
            await until(lambda: any(each.done() for each in world._tasks))

    monkeypatch.setattr(TradingStore, "signal_known", never)
    # The key of its table refuses the second decision, and that ends what decides.
    with pytest.raises(AssertionError, match=r"UNIQUE constraint failed: decisions\.signal_id"):
        await hand_twice()


async def state(world: Platform) -> int:
    asked = service_pb2.GetAccountRequest(account_id="demo")
    return int((await world.stub.GetAccount(asked)).account.trading_state)


async def drifting(world: Platform) -> list[int]:
    """Drift, a person who knows better, and the same drift again: the account's state after each."""
    states = []
    await hand(world, DRIFT, 1)
    states.append(await state(world))
    active = service_pb2.SetTradingStateRequest(
        request_id="r-1",
        account_id="demo",
        trading_state=trading_pb2.TRADING_STATE_ACTIVE,
        reason="looked at",
    )
    await world.stub.SetTradingState(active)
    states.append(await state(world))
    await hand(world, DRIFT, 2)
    states.append(await state(world))
    return states


async def test_drift_delivered_twice_reduces_once(tmp_path: Path) -> None:
    reducing, active = trading_pb2.TRADING_STATE_REDUCING, trading_pb2.TRADING_STATE_ACTIVE
    async with platform(tmp_path, REDUCES) as world:
        assert await drifting(world) == [reducing, active, active]
        await world.broker.drain()
        changes = [each.trading_state for each in world.of(events_pb2.TradingStateChanged)]
        assert changes[-2:] == [reducing, active]
    async with platform(tmp_path, REDUCES) as world:
        await hand(world, DRIFT, 3)
        assert await state(world) == active


async def test_without_the_inbox_drift_delivered_twice_reduces_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always(
        self: Desk, request_id: str, used_for: Sequence[Any], act: Callable[[Engine], Sequence[str]]
    ) -> list[str]:
        with self.step() as engine:
            done = act(engine)
        await self.settle()
        return list(done)

    reducing, active = trading_pb2.TRADING_STATE_REDUCING, trading_pb2.TRADING_STATE_ACTIVE
    async with platform(tmp_path, REDUCES) as world:
        monkeypatch.setattr(Desk, "once", always)
        assert await drifting(world) == [reducing, active, reducing]
