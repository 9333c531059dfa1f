"""Who uses the gateway while it dies: traders, an operator, a market that moves, signals; all from a seed.

Each repeats a call by its key until it is answered, as a real caller would, and remembers the answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Protocol

from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1.market_pb2 import SIDE_BUY, SIDE_SELL, FeedProgress

from services.errors import FxError, Kind
from services.market.ticks import TickBatch
from tests.kill.market import LIVE, REPLAY, SPREAD, SYMBOLS, Feed
from tests.kit.signals import strong_signal
from tests.trading_gateway.kit import START

TRADERS = ("demo", "pounds", "thin", "outside")
ACCOUNTS = {
    "pounds": ("GBP", "50000", "paper"),
    "thin": ("USD", "200", "paper"),
    "outside": ("USD", "50000", "far"),
}
"""Currency, deposit and venue. Opened by the operator, beside the one that is there from the start; `thin`
comes to its stop-out.
"""
FINAL = (
    trading_pb2.ORDER_STATUS_FILLED,
    trading_pb2.ORDER_STATUS_CANCELLED,
    trading_pb2.ORDER_STATUS_EXPIRED,
    trading_pb2.ORDER_STATUS_REJECTED,
)
PASSING = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED, Kind.ABORTED)
"""Answers after which a caller asks again."""
REFUSALS = (Kind.FAILED_PRECONDITION, Kind.NOT_FOUND, Kind.ALREADY_EXISTS)
"""Answers that an honest caller may get; one more is an amendment below what was filled meanwhile."""
DIGITS = {"EURUSD": 5, "USDJPY": 3, "GBPUSD": 5}


class Caller(Protocol):
    """Calls the gateway, whichever process that is now."""

    async def call(self, method: str, request: Any) -> Any:
        """The answer. Asks again while the outcome is unknown; raises FxError for a refusal."""

    async def publish(self, event: SignalGenerated) -> None:
        """A signal, as analysis publishes it: kept until it was handled."""


@dataclass
class History:
    """What callers were promised."""

    placed: dict[tuple[str, str], trading_pb2.Order] = field(default_factory=dict)
    """The first answer, by account and key."""
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    """Reason, by account and key."""
    done: dict[str, str] = field(default_factory=dict)
    """Method, by request id, of what was answered."""
    signals: list[SignalGenerated] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Load:
    """All of them. `run` ends when everybody has done what he came for."""

    def __init__(self, seed: int, steps: int, pace_s: float = 0.1, *, signals: bool = True) -> None:
        """`steps`: most calls of each trader, `pace_s` apart at most. `signals`: whether there are any."""
        self.seed = seed
        self.history = History()
        self.feed = Feed(self._random("feed"))
        self._steps, self._pace_s, self._signals = steps, pace_s, signals
        self._trading = 0
        self.enough = False
        """Set it, and traders come to their end."""
        for symbol in SYMBOLS:
            self.feed.tick(symbol)
        self.feed.tick("EURUSD", REPLAY)

    def _random(self, name: str) -> Random:
        return Random(f"{self.seed}-{name}")

    def people(self, caller: Caller) -> list[Callable[[], Awaitable[None]]]:
        """What each of them does."""
        trade = [partial(_Trader(self, each, caller).run, self._steps) for each in TRADERS]
        self._trading = len(trade)
        advise = [partial(self._advise, caller)] if self._signals else []
        return [*trade, partial(self._operate, caller), self._move, *advise]

    @property
    def ticks(self) -> list[TickBatch]:
        """All that were sent."""
        return [batch for batch, _ in self.feed.batches if len(batch)]

    def read(self, session: str, feeds: Iterable[FeedProgress]) -> bool:
        """Whether every tick of a session was read."""
        read = {each.symbol: each.sequence for each in feeds}
        sent = self.feed.sequences.items()
        return all(read.get(symbol) == last for (of, symbol), last in sent if of == session)

    def left(self) -> None:
        """A trader has done what he came for."""
        self._trading -= 1

    async def rest(self, random: Random, share: float = 1.0) -> None:
        """Between two steps."""
        await asyncio.sleep(random.uniform(0, self._pace_s * share))

    async def _move(self) -> None:
        """The market: mostly quiet, sometimes a jump, once a night."""
        random, feed = self._random("market"), self.feed
        while self._trading:
            symbol = random.choice(SYMBOLS)
            what = random.random()
            if what < 0.1:
                feed.tick(symbol, jump=random.choice((-1, 1)) * random.randint(200, 2_000))
            elif what < 0.13:
                feed.tick(symbol, pause_s=30 * 3600)
            elif what < 0.25 and not feed.ended:
                feed.tick("EURUSD", REPLAY)
            else:
                feed.tick(symbol)
            if not feed.ended and random.random() < 0.01:
                feed.end(REPLAY, "EURUSD")
            await self.rest(random, 0.5)
        if not feed.ended:
            feed.end(REPLAY, "EURUSD")

    async def _advise(self, caller: Caller) -> None:
        """Signals, on ticks that were sent."""
        random, numbers = self._random("signals"), Counter[str]()
        while self._trading:
            session = random.choice((LIVE, LIVE, REPLAY))
            numbers[session] += 1
            tick = self.feed.sequences.get((session, "EURUSD"), 1)
            side = random.choice((SIDE_BUY, SIDE_SELL))
            made = strong_signal(
                numbers[session], side, session, tick, bar_ns=START, time_ns=self.feed.now_ns
            )
            event = SignalGenerated(
                signal_id=made.signal_id, session_id=session, symbol="EURUSD", signal=made
            )
            self.history.signals.append(event)
            await caller.publish(event)
            await self.rest(random, 4)

    async def _operate(self, caller: Caller) -> None:
        """Accounts, limits, auto-trading and the kill switch."""
        random = self._random("operator")
        for account, (currency, deposit, venue) in ACCOUNTS.items():
            opening = pb.OpenAccountRequest(
                request_id=f"open-{account}",
                account_id=account,
                currency=currency,
                deposit=deposit,
                venue=venue,
            )
            await self.ask(caller, "OpenAccount", opening)
        number = 0
        while self._trading:
            number += 1
            method, request = _operation(random, number)
            await self.ask(caller, method, request)
            if method == "SetTradingState" and random.random() < 0.8:  # else nobody trades for long
                active = trading_pb2.TRADING_STATE_ACTIVE
                back = pb.SetTradingStateRequest(
                    request_id=f"back-{number}", trading_state=active, reason=f"back-{number}"
                )
                await self.rest(random)
                await self.ask(caller, "SetTradingState", back)
            await self.rest(random, 3)

    async def ask(self, caller: Caller, method: str, request: Any) -> Any:
        """Make a call with a request id; None when it was refused."""
        self.history.counts[method] += 1
        try:
            answer = await caller.call(method, request)
        except FxError as refusal:
            self.note(refusal, method)
            return None
        self.history.done[request.request_id] = method
        return answer

    def note(self, refusal: FxError, method: str) -> None:
        """A refusal that no caller should get is a fault."""
        self.history.counts[refusal.reason] += 1
        if refusal.kind not in REFUSALS and refusal.reason != "SIZE_BELOW_MINIMUM":
            self.history.wrong.append(f"{method} was answered {refusal.kind.value}: {refusal}")


def _operation(random: Random, number: int) -> tuple[str, Any]:
    """Something an operator asks for, under an id and a reason of its own."""
    account, key = random.choice(TRADERS), f"op-{number}"
    kind = random.random()
    if kind < 0.4:
        name, value = random.choice(
            (
                (trading_pb2.RISK_LIMIT_NAME_MARGIN_CALL, f"{random.choice((1, 90))}.{number:04d}"),
                (trading_pb2.RISK_LIMIT_NAME_STOP_OUT, f"{random.choice((0, 90))}.5{number:04d}"),
                (trading_pb2.RISK_LIMIT_NAME_ORDER_NOTIONAL, f"{1_000_000 + number}"),
            )
        )
        limits = [trading_pb2.RiskLimitSetting(name=name, value=value)]
        return "SetRiskLimits", pb.SetRiskLimitsRequest(
            request_id=key, account_id=account, limits=limits, reason=key
        )
    if kind < 0.6:
        return "SetAutoTrade", pb.SetAutoTradeRequest(
            request_id=key, account_id=account, auto_trade=random.random() < 0.7
        )
    state = random.choice((trading_pb2.TRADING_STATE_REDUCING, trading_pb2.TRADING_STATE_HALTED))
    where = random.choice(("", account))
    return "SetTradingState", pb.SetTradingStateRequest(
        request_id=key, account_id=where, trading_state=state, reason=key
    )


class _Trader:
    """Places, repeats, amends and cancels on one account."""

    def __init__(self, load: Load, account: str, caller: Caller) -> None:
        self._load, self._account, self._caller = load, account, caller
        self._random = load._random(account)
        self._sent: list[pb.PlaceOrderRequest] = []
        self._number = 0

    async def run(self, steps: int) -> None:
        """Everything, then flat."""
        for _ in range(steps):
            if self._load.enough:
                break
            await self._step()
            await self._load.rest(self._random)
        for symbol in SYMBOLS:
            await self._close(symbol)
        self._load.left()

    async def _step(self) -> None:
        what = self._random.random()
        if what < 0.05:
            for _ in range(4):  # more than the rate allows
                await self._place(self._order())
        elif what < 0.6 or not self._sent:
            await self._place(self._order())
        elif what < 0.68:
            await self._place(self._random.choice(self._sent))
        elif what < 0.78:
            await self._amend()
        elif what < 0.9:
            await self._cancel()
        elif what < 0.93:
            request = pb.CancelAllOrdersRequest(
                request_id=self._key("all"), account_id=self._account, symbol=self._random.choice(SYMBOLS)
            )
            await self._load.ask(self._caller, "CancelAllOrders", request)
        else:
            await self._close(self._random.choice(SYMBOLS))

    def _key(self, what: str) -> str:
        self._number += 1
        return f"{self._account}-{what}-{self._number}"

    async def _place(self, request: pb.PlaceOrderRequest) -> None:
        self._sent.append(request)
        await self._placed("PlaceOrder", request)

    async def _close(self, symbol: str) -> None:
        request = pb.ClosePositionRequest(
            account_id=self._account, symbol=symbol, client_order_id=self._key("close")
        )
        await self._placed("ClosePosition", request)

    async def _placed(self, method: str, request: Any) -> None:
        """Remember the first answer; any later one must be of the same order."""
        history, key = self._load.history, (self._account, request.client_order_id)
        history.counts[method] += 1
        try:
            order = (await self._caller.call(method, request)).order
        except FxError as refusal:
            self._load.note(refusal, method)
            history.refused.setdefault(key, refusal.reason)
            return
        first = history.placed.setdefault(key, order)
        if first.order_id != order.order_id:
            history.wrong.append(f"{key} is {first.order_id} and {order.order_id}")
        if order.filled_size < first.filled_size and order.revision < first.revision:
            history.wrong.append(f"{key} was at revision {first.revision} and is at {order.revision}")

    async def _amend(self) -> None:
        order = self._known()
        if order is None:
            return
        key = self._key("amend")
        size = str(1_000 + self._number)  # no other amendment asks for it
        request = pb.AmendOrderRequest(request_id=key, order_id=order.order_id, size=size)
        await self._load.ask(self._caller, "AmendOrder", request)

    async def _cancel(self) -> None:
        order = self._known()
        if order is not None:
            request = pb.CancelOrderRequest(request_id=self._key("cancel"), order_id=order.order_id)
            await self._load.ask(self._caller, "CancelOrder", request)

    def _known(self) -> trading_pb2.Order | None:
        """One of its orders that worked when it was last heard of."""
        own = [each for (account, _), each in self._load.history.placed.items() if account == self._account]
        working = [each for each in own if each.status not in FINAL]
        return self._random.choice(working[-8:]) if working else None

    def _order(self) -> pb.PlaceOrderRequest:
        random = self._random
        parent = self._known() if random.random() < 0.15 else None
        symbol = random.choice(SYMBOLS) if parent is None else parent.symbol
        digits, middle = DIGITS[symbol], self._load.feed.middles[symbol]

        def price(raw: int) -> str:
            return f"{raw // 10**digits}.{raw % 10**digits:0{digits}d}"

        side = random.choice((SIDE_BUY, SIDE_SELL))
        down = -1 if side == SIDE_BUY else 1
        request = pb.PlaceOrderRequest(
            account_id=self._account,
            client_order_id=self._key("order"),
            symbol=symbol,
            side=side,
            size=str(random.choice((1_000, 2_000, 5_000))),
            type=trading_pb2.ORDER_TYPE_MARKET,
        )
        kind = random.random()
        if kind < 0.4:
            request.type = trading_pb2.ORDER_TYPE_LIMIT
            request.limit_price = price(middle + down * random.randint(-5, 40))
            if random.random() < 0.4:
                request.time_in_force = trading_pb2.TIME_IN_FORCE_DAY
        elif kind < 0.5:
            request.type = trading_pb2.ORDER_TYPE_STOP
            request.stop_price = price(middle - down * (random.randint(2, 40) + SPREAD))
        elif kind < 0.6:
            request.type, request.trail_distance = trading_pb2.ORDER_TYPE_TRAILING_STOP, price(30)
        if random.random() < 0.3:
            request.take_profit.distance = price(random.randint(5, 40))
            request.stop_loss.distance = price(random.randint(5, 40))
        elif random.random() < 0.15:
            request.link_id = f"{symbol}-link"
        elif parent is not None:
            request.parent_order_id = parent.order_id
        return request
