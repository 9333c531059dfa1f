"""How long a cancel and the kill switch take while hundreds of callers place orders without pause.

    python bench/cancels.py [--callers 100,400,800] [--cancels 100] [--halts 15]

A real trading process with its database, its bus, and market data beside it. The flood is a process of its
own: each caller places market orders, one after the other, and goes on at once when it is refused. Beside it
one caller cancels resting orders, by the port for all calls and by the priority port in turn, so that both
meet the same flood; then it halts and resumes the account that floods. Of a halt is told when it was answered
and when the last order was known to be accepted, each from the moment of the call; an order that was sent
after the answer and accepted would end the run.

Beside the time is the processor time that the trading process took meanwhile: what it did before it answered,
however busy the machine is. A machine with nothing else to do needs about that long.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
from fxmesh.marketdata.v1 import service_pb2 as market
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.trading.v1.trading_pb2 import (
    ORDER_TYPE_LIMIT,
    ORDER_TYPE_MARKET,
    TIME_IN_FORCE_GTC,
    TIME_IN_FORCE_IOC,
    TRADING_STATE_ACTIVE,
    TRADING_STATE_HALTED,
)
from fxmesh.types.v1.market_pb2 import SIDE_BUY, SIDE_SELL

from tests.kit.instances import Instance
from tests.kit.nats import NatsServer, find_program

FLOODED, QUIET = "flooded", "quiet"
SYMBOL = "EURUSD"
CONNECTIONS = 8
"""Of the flood, whatever the number of its callers."""
SETTLE_S = 2.0
"""How long a flood runs before anything is measured."""


class Flood:
    """Market orders without pause, from `callers` at once."""

    def __init__(self, port: int, callers: int) -> None:
        self._channels = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
            for _ in range(CONNECTIONS)
        ]
        self._callers = callers
        self._numbers = itertools.count()
        self._run = os.getpid()
        self.accepted: list[tuple[float, float]] = []
        """When each accepted order was sent, and when that was known."""
        self.codes: Counter[str] = Counter()

    async def run(self) -> None:
        """Until stdin closes; for each line of it, which is a time, tell of the orders since."""
        callers = [asyncio.create_task(self._place(number)) for number in range(self._callers)]
        while line := await asyncio.to_thread(sys.stdin.readline):
            since = float(line)
            found = [each for each in self.accepted if each[1] >= since]
            print(json.dumps({"accepted": found, "codes": self.codes}), flush=True)
        for each in callers:
            each.cancel()
        await asyncio.wait(callers)
        for each in callers:
            if not each.cancelled():
                each.result()  # raises what ended it

    async def _place(self, number: int) -> None:
        stub: Any = TradingServiceStub(self._channels[number % CONNECTIONS])
        for side in itertools.cycle((SIDE_BUY, SIDE_SELL)):
            order = pb.PlaceOrderRequest(
                account_id=FLOODED,
                client_order_id=f"f{self._run}-{next(self._numbers)}",
                symbol=SYMBOL,
                side=side,
                type=ORDER_TYPE_MARKET,
                size="1000",
                time_in_force=TIME_IN_FORCE_IOC,
            )
            sent = time.monotonic()
            try:
                await stub.PlaceOrder(order, timeout=5)
            except grpc.aio.AioRpcError as refusal:
                self.codes[refusal.code().name] += 1
            else:
                self.codes["OK"] += 1
                self.accepted.append((sent, time.monotonic()))


async def flood(port: int, callers: int) -> None:
    """The child."""
    await Flood(port, callers).run()


class Flooding:
    """The flood's process, as the one who measures sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout

    async def since(self, moment: float) -> tuple[list[tuple[float, float]], dict[str, int]]:
        """Orders accepted since, as (sent, known); and what has become of all."""
        self._to.write(f"{moment}\n".encode())
        await self._to.drain()
        told = json.loads(await self._from.readline())
        return [(sent, known) for sent, known in told["accepted"]], told["codes"]


@asynccontextmanager
async def flooded(port: int, callers: int) -> AsyncIterator[Flooding]:
    """A flood that has been running for a while."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *("--flood", str(port), "--callers", str(callers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        await asyncio.sleep(SETTLE_S)
        yield Flooding(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Span:
    """Of one call: when it was made and answered, and the processor time of trading meanwhile, in seconds."""

    asked: float
    answered: float
    used: float


def processor_s(pid: int) -> float:
    """What all threads of a process have used so far."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in files) / 1e9


class Desk:
    """What the one who measures does, on a connection of its own to each port of the process `pid`."""

    def __init__(self, pid: int, ways: dict[str, int]) -> None:
        self._pid = pid
        self._stubs: dict[str, Any] = {
            way: TradingServiceStub(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            for way, port in ways.items()
        }
        self.ways = tuple(ways)
        self._numbers = itertools.count()

    def _key(self) -> str:
        return f"b-{os.getpid()}-{next(self._numbers)}"

    async def open(self, account: str) -> None:
        """An account with money enough."""
        request = pb.OpenAccountRequest(
            request_id=self._key(), account_id=account, currency="USD", deposit="10000000"
        )
        await self._stubs[self.ways[0]].OpenAccount(request, timeout=10)

    async def rest(self, price: str) -> str:
        """An order that stays; its id."""
        order = pb.PlaceOrderRequest(
            account_id=QUIET,
            client_order_id=self._key(),
            symbol=SYMBOL,
            side=SIDE_BUY,
            type=ORDER_TYPE_LIMIT,
            size="1000",
            limit_price=price,
            time_in_force=TIME_IN_FORCE_GTC,
        )
        placed = await self._stubs[self.ways[0]].PlaceOrder(order, timeout=10)
        return str(placed.order.order_id)

    async def cancel(self, order_id: str, way: str) -> Span:
        """Cancel an order."""
        request = pb.CancelOrderRequest(request_id=self._key(), order_id=order_id)
        return await self._timed(self._stubs[way].CancelOrder, request)

    async def set_state(self, state: Any, way: str) -> Span:
        """Halt or resume the account that floods."""
        request = pb.SetTradingStateRequest(
            request_id=self._key(), account_id=FLOODED, trading_state=state, reason="bench"
        )
        return await self._timed(self._stubs[way].SetTradingState, request)

    async def _timed(self, call: Any, request: Any) -> Span:
        used, asked = processor_s(self._pid), time.monotonic()
        await call(request, timeout=30)
        answered = time.monotonic()
        return Span(asked, answered, processor_s(self._pid) - used)


async def halt(desk: Desk, flooding: Flooding, way: str) -> tuple[Span, float]:
    """The call, and how many seconds after it the last order was known to be accepted."""
    span = await desk.set_state(TRADING_STATE_HALTED, way)
    await asyncio.sleep(0.5)
    accepted, _ = await flooding.since(span.asked)
    late = [sent for sent, _ in accepted if sent > span.answered]
    if late:
        raise SystemExit(f"{len(late)} orders sent after the answer were accepted")
    last = max((known for _, known in accepted), default=span.asked)
    await desk.set_state(TRADING_STATE_ACTIVE, way)
    await asyncio.sleep(0.3)
    return span, last - span.asked


def told(what: str, way: str, took: Sequence[float]) -> str:
    """One line of figures, in milliseconds."""
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    p50, p90, p99 = (cuts[each - 1] * 1000 for each in (50, 90, 99))
    return (
        f"  {what:<28} {way:<9} n {len(took):<4} p50 {p50:6.1f}  p90 {p90:6.1f}  p99 {p99:6.1f}  "
        f"max {max(took) * 1000:6.1f} ms"
    )


def told_of(what: str, way: str, spans: Sequence[Span]) -> str:
    """The time of calls, and the processor time."""
    waited = [each.answered - each.asked for each in spans]
    return f"{told(what, way, waited)}\n{told('  processor time', way, [each.used for each in spans])}"


async def measure(desk: Desk, trading: Instance, callers: int, cancels: int, halts: int, price: str) -> None:
    """One size of flood."""
    pid, pauses = trading.process.pid, random.Random(callers)
    resting = [await desk.rest(price) for _ in range(cancels * len(desk.ways))]
    took: dict[str, list[Span]] = {way: [] for way in desk.ways}
    halted: dict[str, list[tuple[Span, float]]] = {way: [] for way in desk.ways}
    async with flooded(trading.grpc_port, callers) as flooding:
        began = time.monotonic()
        _, before = await flooding.since(began)
        used = processor_s(pid)
        for order_id, way in zip(resting, itertools.cycle(desk.ways), strict=False):
            took[way].append(await desk.cancel(order_id, way))
            await asyncio.sleep(pauses.uniform(0.0, 0.3))  # to meet the server at any moment of its own
        _, after = await flooding.since(began)
        seconds = time.monotonic() - began
        used = processor_s(pid) - used
        for way in desk.ways * halts:
            halted[way].append(await halt(desk, flooding, way))
    became = {code: round((after[code] - before.get(code, 0)) / seconds) for code in after}
    each = used * 1000 / max(after.get("OK", 0) - before.get("OK", 0), 1)
    print(
        f"{callers} callers; load {os.getloadavg()[0]:.1f}; orders a second: {became}; "
        f"processor time for each accepted: {each:.1f} ms"
    )
    for way in desk.ways:
        print(told_of("cancel answered", way, took[way]))
    for way in desk.ways:
        print(told_of("halt answered", way, [span for span, _ in halted[way]]))
        print(told("last order accepted", way, [last for _, last in halted[way]]), flush=True)


async def price_to_rest_at(instance: Instance) -> str:
    """Far below the market, and within what an order may be away from it."""
    async with grpc.aio.insecure_channel(instance.address) as channel:
        stub: Any = MarketDataServiceStub(channel)
        while True:
            answer = await stub.ListQuotes(market.ListQuotesRequest(symbol=[SYMBOL]), timeout=5)
            if answer.quotes and answer.quotes[0].bid:
                return str((Decimal(answer.quotes[0].bid) * Decimal("0.97")).quantize(Decimal("0.0001")))
            await asyncio.sleep(0.1)


async def main(sizes: Sequence[int], cancels: int, halts: int) -> None:
    """Start what is needed, measure each size, end it."""
    with tempfile.TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        nats = NatsServer(find_program(), Path(folder))
        nats.start()
        quotes = Instance(nats, "market_data", Path(folder, "market_data"))
        trading = Instance(
            nats,
            "trading_gateway",
            Path(folder, "trading"),
            FXMESH_TRADING_GATEWAY_MAX_ORDERS_PER_SECOND="1000000",
            FXMESH_TRADING_GATEWAY_MAX_OUTBOX_BACKLOG="10000000",
        )
        try:
            await quotes.ready()
            await trading.ready()
            await asyncio.sleep(2)
            desk = Desk(trading.process.pid, {"grpc": trading.grpc_port, "priority": trading.priority_port})
            for account in (FLOODED, QUIET):
                await desk.open(account)
            price = await price_to_rest_at(quotes)
            for callers in sizes:
                await measure(desk, trading, callers, cancels, halts, price)
        finally:
            for each in (trading, quotes):
                each.end()
            nats.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--callers", default="100,400,800")
    parser.add_argument("--cancels", type=int, default=100, help="by each port")
    parser.add_argument("--halts", type=int, default=15, help="by each port")
    parser.add_argument("--flood", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        asyncio.run(flood(given.flood, int(given.callers)))
    else:
        sizes = [int(each) for each in given.callers.split(",")]
        asyncio.run(main(sizes, given.cancels, given.halts))
