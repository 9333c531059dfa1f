"""Signals and drift: one effect each, at the right point of the ticks, with analysis asked every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.trading_gateway.config import Settings
from services.trading_gateway.domain.inputs import Signal
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, Side, TradingState
from services.trading_gateway.handlers.signals import Drift
from services.trading_gateway.ports import DecisionQuery, OrderQuery, TicksCame
from tests.trading_gateway.domain.test_autotrade import HOUR, SIGNAL
from tests.trading_gateway.kit import START
from tests.trading_gateway.world import AWAY, World


async def reasons(world: World, account: str = "demo") -> list[str]:
    return [each.reason for each in await world.store.decisions(DecisionQuery(account, limit=100))]


def later(number: int, side: Side = Side.BUY, tick: int = 1) -> Signal:
    key = f"syn-1:EURUSD:1h:trend:{number}"
    return replace(SIGNAL, signal_id=key, number=number, side=side, tick_sequence=tick)


async def test_a_signal_is_traded_with_what_analysis_said(world: World) -> None:
    await world.signal(SIGNAL)

    (decision,) = await world.store.decisions(DecisionQuery("demo", limit=10))
    order = await world.orders.get(decision.order_id)
    assert (decision.reason, order.origin, order.status) == (
        "ORDERED",
        OrderOrigin.SIGNAL,
        OrderStatus.FILLED,
    )
    assert order.signal_id == SIGNAL.signal_id
    assert world.analysis.asked == [SIGNAL.signal_id]
    (stop,) = await world.orders.page(OrderQuery("demo", statuses=(OrderStatus.ACCEPTED,)))
    assert (stop.origin, stop.side, stop.size) == (OrderOrigin.SIGNAL, Side.SELL, order.size)


async def test_a_signal_delivered_again_has_no_second_effect_even_after_a_restart(world: World) -> None:
    await world.signal(SIGNAL)
    await world.signal(SIGNAL)
    await world.restart()
    await world.signal(SIGNAL)

    assert await reasons(world) == ["ORDERED"]
    assert world.desk.engine.signal_counts == {"syn-1": 1}
    assert world.analysis.asked == [SIGNAL.signal_id]


async def test_a_signal_that_came_before_a_restart_is_decided_after_it(world: World) -> None:
    await world.signals.on_signal(SIGNAL)
    await world.restart()
    world.desk.heard()
    for ticks in world.sent:
        await world.reading.read(TicksCame(ticks, 0, False))
    world.run("signals")
    await world.all_decided()
    assert await reasons(world) == ["ORDERED"]


async def test_a_missing_analysis_is_a_decision_too(world: World) -> None:
    world.analysis.failure = AWAY
    await world.signal(SIGNAL)
    (decision,) = await world.store.decisions(DecisionQuery("demo", limit=10))
    assert (decision.reason, decision.detail) == ("PEER_UNAVAILABLE", "analysis: PEER_UNAVAILABLE")


async def test_an_old_signal_is_not_traded_and_nobody_is_asked(world: World) -> None:
    await world.signal(replace(SIGNAL, time_ns=START - HOUR - 1))
    assert await reasons(world) == ["SIGNAL_TOO_OLD"]
    assert world.analysis.asked == []


async def test_signals_wait_for_the_ticks_they_rest_on_in_their_order(world: World) -> None:
    world.run("signals")
    await world.signals.on_signal(later(1, tick=3))
    await world.signals.on_signal(later(2, Side.SELL, tick=2))
    await world.tick(("1.10000", "1.10010"))
    await world.at_rest()
    assert await reasons(world) == []
    await world.tick(("1.10100", "1.10110"))
    await world.all_decided()

    first, second = (await world.store.decisions(DecisionQuery("demo", limit=10)))[::-1]
    assert (first.signal_id, second.signal_id) == (later(1).signal_id, later(2).signal_id)
    order = await world.orders.get(first.order_id)
    assert order.notional == order.filled * 110_110


async def test_a_live_signal_whose_ticks_never_come_is_decided_after_a_while(tmp_path: Path) -> None:
    world = World(tmp_path, Settings(signal_wait_seconds=0.05))
    await world.start()
    await world.announce()
    world.run("signals")
    await world.signals.on_signal(SIGNAL)
    await world.signals.on_signal(replace(SIGNAL, signal_id="unknown:1", session_id="nobody-knows"))
    await world.clock.advance_to(world.clock.now_ns() + 60_000_000)
    await world.all_decided()
    assert await reasons(world) == ["NO_QUOTE"]
    await world.stop()


async def test_only_accounts_that_trade_by_themselves_and_on_that_market_decide(world: World) -> None:
    await world.accounts.open("r1", "by-hand", "USD", "100000", auto_trade=False)
    await world.accounts.open("r2", "another", "USD", "100000", auto_trade=True)
    await world.signal(SIGNAL)
    assert await reasons(world, "another") == ["ORDERED"]
    assert await reasons(world, "by-hand") == []


@pytest.mark.parametrize("symbol", ["", "EURUSD"])
async def test_what_is_switched_off_while_analysis_is_asked_is_not_ordered(
    world: World, monkeypatch: pytest.MonkeyPatch, symbol: str
) -> None:
    ask = world.analysis.average_range

    async def slow(signal: Signal) -> int | None:
        await world.accounts.set_auto_trade("r-off", "demo", auto_trade=False, symbol=symbol)
        return await ask(signal)

    monkeypatch.setattr(world.analysis, "average_range", slow)
    await world.signal(SIGNAL)

    (decision,) = await world.store.decisions(DecisionQuery("demo", limit=10))
    assert (decision.reason, decision.order_id) == ("AUTO_TRADE_OFF", "")
    assert decision.detail == f"auto-trading of {symbol or 'demo'} is switched off"
    assert await world.orders.page(OrderQuery("demo")) == []


async def test_opposite_signals_turn_the_position(world: World) -> None:
    await world.signal(later(1))
    await world.signal(later(2, Side.SELL))
    (view,) = await world.accounts.positions("demo", frozenset(), include_flat=False)
    assert view.position.size < 0
    assert (await world.accounts.reconcile("demo")).reconciled


@pytest.mark.parametrize(("reduces", "state"), [(False, TradingState.ACTIVE), (True, TradingState.REDUCING)])
async def test_drift_is_counted_and_reduces_where_asked(
    tmp_path: Path, reduces: bool, state: TradingState
) -> None:
    world = World(tmp_path, Settings(drift_reduces=reduces))
    await world.start()
    await world.accounts.open("r1", "by-hand", "USD", "100000", auto_trade=False)
    for _ in range(2):
        await world.signals.on_drift(Drift("drift/1", "eurusd-1h", "direction v3, index 0.310"))

    assert world.counts.drifts == ["eurusd-1h", "eurusd-1h"]
    views = {each.account.account_id: each.account for each in await world.accounts.all()}
    assert views["demo"].trading_state is state
    assert views["by-hand"].trading_state is TradingState.ACTIVE
    assert ("MODEL_DRIFT" in views["demo"].state_reason) is reduces
    await world.stop()
