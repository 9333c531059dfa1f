"""Signals and drift: what comes from the bus, has one effect, and may lead to automatic orders.

A signal waits until the ticks it rests on were read here too, so that in a lockstep replay every run decides
at the same point of the input. Its decisions, their orders and the note that it was handled commit together.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.errors import FxError
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import (
    Advice,
    Facts,
    Opinion,
    SetTradingState,
    Signal,
    SignalDecided,
)
from services.trading_gateway.domain.orders import Terms
from services.trading_gateway.domain.values import OrderType, TimeInForce, TradingState
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.orders import Orders
from services.trading_gateway.ports import Analysis

RETRY_S = 0.2
_ANY_SIZE = 10**15
"""Larger than any top of the book: asks for the depth whenever sizes are known."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A served model sees other data than it learnt from; `detail` in words."""

    event_id: str
    endpoint: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Advice:
    state: Advice
    detail: str = ""
    average_range: int | None = None
    opinions: tuple[Opinion, ...] = ()


class Signals:
    """Use cases of consumed events."""

    def __init__(
        self, desk: Desk, orders: Orders, analysis: Analysis, wait_s: float, *, drift_reduces: bool
    ) -> None:
        """`wait_s`: how long a signal of the live market waits for its ticks."""
        self._desk = desk
        self._orders = orders
        self._analysis = analysis
        self._wait_s = wait_s
        self._drift_reduces = drift_reduces
        self._led: set[str] = set()
        self._since: dict[str, float] = {}

    async def on_signal(self, signal: Signal) -> None:
        """Keep a signal, to be decided about once. Raises FxError when the store fails."""
        if await self._desk.store.signal_known(signal.signal_id):
            return
        with self._desk.step() as engine:
            engine.signal_came(signal)
        self._since[signal.signal_id] = self._desk.clock.monotonic()
        await self._desk.settle()
        self._desk.moved()

    def begin_anew(self) -> None:
        """The books were built as in a new process: who leads the signals of a session shows again."""
        self._led.clear()
        self._since.clear()

    async def run(self) -> None:
        """Background: decide about signals as their ticks are read, those of a session in their order."""
        while True:
            try:
                signal = self._ready()
                if signal is None:
                    await self._something_ready()
                else:
                    await self.decide(signal)
            except FxError as failure:
                self._desk.log.warning("signal.not_decided", error=str(failure))
                await self._desk.clock.sleep(RETRY_S)

    async def decide(self, signal: Signal) -> None:
        """Let every account that trades its session decide. Raises FxError when the store fails."""
        story = self._desk.stories.of(signal.signal_id)
        with self._desk.tracer.start("decide", story, signal_id=signal.signal_id, symbol=signal.symbol):
            await self._decide(signal)

    async def _decide(self, signal: Signal) -> None:
        scope = self._desk.engine.book.markets.scope_of(signal.session_id)
        accounts = [] if scope is None else self._trading(scope)
        advice = await self._advice(signal, accounts)
        facts = {each.account_id: await self._facts(each, signal) for each in accounts}
        with self._desk.step() as engine:
            if signal.signal_id in engine.undecided:  # else somebody else was quicker
                for each in accounts:
                    with self._desk.tracer.start("check risk", account_id=each.account_id) as risk:
                        decided = self._decided(each, signal, advice, facts[each.account_id])
                        risk.note(outcome=engine.decide(decided).reason)
                engine.signal_decided(signal)
        self._since.pop(signal.signal_id, None)
        await self._desk.settle()
        await self._desk.durable()

    def undecided(self, session_id: str) -> list[Signal]:
        """Signals of a session that wait, in the order of the ticks that made them."""
        engine = self._desk.engine
        waiting = [each for each in engine.undecided.values() if each.session_id == session_id]
        return sorted(waiting, key=lambda each: (each.tick_sequence, each.number))

    def lead(self, session_id: str) -> None:
        """Leave the signals of a session to somebody else, who knows when to decide."""
        self._led.add(session_id)

    def let_go(self, session_id: str) -> None:
        """Decide about the signals of a session as they become ready."""
        self._led.discard(session_id)
        self._desk.moved()

    async def on_drift(self, drift: Drift) -> None:
        """Log and count it; where the settings say so, let auto-trading accounts only reduce from now on."""
        self._desk.log.warning("model.drift", endpoint=drift.endpoint, detail=drift.detail)
        self._desk.meter.drift(drift.endpoint)
        if self._drift_reduces:
            # No request has such an id. Heard twice it must not undo what a person decided in between.
            await self._desk.once(drift.event_id, ("drift",), lambda engine: self._reduce(engine, drift))

    def _reduce(self, engine: Engine, drift: Drift) -> list[str]:
        reduced = []
        for each in list(engine.book.accounts.values()):
            if each.auto_trade and each.trading_state is TradingState.ACTIVE:
                time_ns = self._desk.time(each.session_id)
                reason = f"MODEL_DRIFT {drift.endpoint}: {drift.detail}"[:200]
                engine.set_trading_state(
                    SetTradingState(time_ns, each.account_id, TradingState.REDUCING, reason)
                )
                reduced.append(each.account_id)
        return reduced

    async def _something_ready(self) -> None:
        """Return when a signal is ready or, where some wait for ticks that may never come, after a while."""
        engine = self._desk.standing
        patience_s = self._wait_s if engine is not None and engine.undecided else None
        try:
            async with asyncio.timeout(patience_s):
                await self._desk.until(lambda: self._ready() is not None)
        except TimeoutError:
            pass

    def _ready(self) -> Signal | None:
        """The first signal that can be decided about; a session's later ones wait for its earlier ones."""
        engine = self._desk.standing
        behind: set[str] = set()
        for signal in () if engine is None else engine.undecided.values():
            if signal.session_id in self._led or signal.session_id in behind:
                continue
            if self._ticks_read(signal):
                return signal
            behind.add(signal.session_id)
        return None

    def _ticks_read(self, signal: Signal) -> bool:
        """True once the tick a signal rests on was read, or will not come: the session is over or replaced.

        A replay is waited for as long as it takes; a signal of the live market gets old while it waits.
        """
        markets = self._desk.engine.book.markets
        session = markets.sessions.get(signal.session_id)
        feed = None if session is None else markets.feed(session.scope, signal.symbol)
        if feed is not None and (
            feed.state.session_id != signal.session_id
            or feed.state.ended
            or feed.state.sequence >= signal.tick_sequence
        ):
            return True
        if session is not None and session.replay:
            return False
        since = self._since.setdefault(signal.signal_id, self._desk.clock.monotonic())
        return self._desk.clock.monotonic() - since >= self._wait_s

    def _trading(self, scope: str) -> list[Account]:
        accounts = self._desk.engine.book.accounts
        found = [each for each in accounts.values() if each.auto_trade and each.session_id == scope]
        return sorted(found, key=lambda each: each.account_id)

    async def _advice(self, signal: Signal, accounts: list[Account]) -> _Advice:
        """What analysis says of a signal; not asked for one that nobody trades or that is too old anyway."""
        if not accounts or self._desk.time(accounts[0].session_id) - signal.time_ns > signal.timeframe_ns:
            return _Advice(Advice.COMPLETE)
        try:
            opinions = await self._analysis.opinions(signal)
            average_range = await self._analysis.average_range(signal)
        except FxError as failure:
            return _Advice(Advice.UNAVAILABLE, f"analysis: {failure.reason}")
        return _Advice(Advice.COMPLETE, "", average_range, opinions)

    async def _facts(self, account: Account, signal: Signal) -> Facts:
        wanted = Terms(signal.symbol, signal.side, OrderType.MARKET, TimeInForce.IOC, _ANY_SIZE)
        return await self._orders.facts(account, wanted)

    def _decided(self, account: Account, signal: Signal, advice: _Advice, facts: Facts) -> SignalDecided:
        return SignalDecided(
            self._desk.time(account.session_id),
            account.account_id,
            signal,
            advice.state,
            advice.detail,
            advice.average_range,
            advice.opinions,
            facts,
        )
