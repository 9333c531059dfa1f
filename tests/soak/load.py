"""Who uses the platform meanwhile: traders with keys of their own, readers, REST, replays.

Each knows what a careful client knows: an answer that did not come is an outcome unknown, and the same key is
sent again until one comes.
"""

from __future__ import annotations

import asyncio
import random
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1 import market_pb2

from services.cli.credentials import operator_token
from services.cli.link import Link
from services.cli.output import CliError
from services.errors import FxError, Kind
from tests.soak.platform import SYMBOLS, Platform

CALL_S = 3.0
AGAIN_S = 0.5
TRIES = 80
"""A careful client asks for so long: longer than any fault lasts."""
LATER = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED)
HTTP_STATUSES = {200, 404, 429, 503, 504}
"""404: no quote yet, just after a restart."""


class NoAnswer(Exception):
    """Nobody answered for as long as one asks."""


@dataclass(slots=True)
class Record:
    """What the users were told."""

    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    """Order id by account and client order id."""
    unknown: set[tuple[str, str]] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    bids: dict[str, str] = field(default_factory=dict)
    """Last one seen, by symbol."""
    wrong: list[str] = field(default_factory=list)
    """Answers that nobody should get, whatever breaks."""


async def insist(call: Callable[[], Awaitable[Any]], record: Record) -> Any:
    """The answer, asked for again and again under the same key. Raises FxError of a refusal, NoAnswer."""
    for _ in range(TRIES):
        try:
            return await call()
        except FxError as failure:
            if failure.reason == "INTERNAL":
                record.wrong.append(f"{failure.kind.name} {failure.reason}: {failure.detail}")
            if failure.kind not in LATER:
                raise
        except CliError as down:
            if down.reason != "SERVICE_DOWN":
                raise
        record.done["calls repeated"] += 1
        await asyncio.sleep(AGAIN_S)
    raise NoAnswer


class Trader:
    """One account and who trades on it."""

    def __init__(self, name: str, seed: int, link: Link, record: Record) -> None:
        self._name = name
        self._chance = random.Random(f"{seed}/{name}")
        self._link = link
        self._record = record
        self._number = 0
        self._resting: list[str] = []

    async def open(self) -> None:
        request = trading.OpenAccountRequest(
            request_id=f"open-{self._name}", account_id=self._name, currency="USD", deposit="1000000"
        )
        await insist(lambda: self._link.trading.OpenAccount(request, timeout=CALL_S), self._record)

    async def run(self) -> None:
        while True:
            act = self._chance.choices((self._market, self._limit, self._cancel, self._ask), (5, 3, 2, 1))[0]
            try:
                await act()
            except FxError as refused:
                self._record.refused[refused.reason] += 1
            except NoAnswer:
                self._record.done["calls given up"] += 1
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    async def _market(self) -> None:
        await self._place(type=trading_pb2.ORDER_TYPE_MARKET)

    async def _limit(self) -> None:
        symbol = self._chance.choice(SYMBOLS)
        bid = Decimal(self._record.bids.get(symbol, "1.00000"))
        placed = await self._place(
            symbol=symbol,
            type=trading_pb2.ORDER_TYPE_LIMIT,
            side=market_pb2.SIDE_BUY,
            limit_price=str((bid * Decimal("0.98")).quantize(bid)),  # it rests, within the price collar
        )
        self._resting.append(placed.order_id)

    async def _cancel(self) -> None:
        if self._resting:
            self._number += 1
            request = trading.CancelOrderRequest(
                request_id=f"{self._name}-c{self._number}",
                order_id=self._resting.pop(self._chance.randrange(len(self._resting))),
            )
            await insist(lambda: self._link.trading.CancelOrder(request, timeout=CALL_S), self._record)
            self._record.done["orders cancelled"] += 1

    async def _ask(self) -> None:
        request = trading.ListPositionsRequest(account_id=self._name)
        await insist(lambda: self._link.trading.ListPositions(request, timeout=CALL_S), self._record)

    async def _place(self, **fields: Any) -> trading_pb2.Order:
        self._number += 1
        key = (self._name, f"{self._name}-{self._number}")
        content: dict[str, Any] = {
            "account_id": key[0],
            "client_order_id": key[1],
            "symbol": self._chance.choice(SYMBOLS),
            "side": self._chance.choice((market_pb2.SIDE_BUY, market_pb2.SIDE_SELL)),
            "size": str(1000 * self._chance.randint(1, 5)),
        }
        request = trading.PlaceOrderRequest(**content | fields)
        self._record.unknown.add(key)
        try:
            answer = await insist(
                lambda: self._link.trading.PlaceOrder(request, timeout=CALL_S), self._record
            )
        except FxError:
            self._record.unknown.discard(key)
            raise
        self._record.unknown.discard(key)
        self._record.acknowledged[key] = answer.order.order_id
        self._record.done["orders acknowledged"] += 1
        order: trading_pb2.Order = answer.order
        return order


async def read_quotes(link: Link, record: Record) -> None:
    """A reader who does not insist."""
    while True:
        try:
            asked = marketdata.ListQuotesRequest(symbol=SYMBOLS)
            answer = await link.market.ListQuotes(asked, timeout=CALL_S)
            record.bids.update((each.symbol, each.bid) for each in answer.quotes)
            record.done["quotes read"] += 1
        except FxError as failure:
            if failure.kind not in LATER and failure.reason != "NO_QUOTE":
                record.wrong.append(f"ListQuotes: {failure.kind.name} {failure.reason}")
        except CliError:
            pass
        await asyncio.sleep(0.2)


async def ask_by_rest(platform: Platform, record: Record) -> None:
    """Through the edge, read only."""
    url = f"{platform.running.edge_url}/api/v1/market-data/quotes?symbol={SYMBOLS[0]}"
    while True:
        status = await asyncio.to_thread(_get, url, operator_token(platform.home))
        record.done[f"REST {status}"] += 1
        if status and status not in HTTP_STATUSES:
            record.wrong.append(f"GET {url}: {status}")
        await asyncio.sleep(0.3)


def _get(url: str, token: str) -> int:
    """The status; 0 where nobody answers."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


async def replay(platform: Platform, ticks: Path, record: Record, seed: int) -> None:
    """One file after the other; a replay that a fault interrupts says so and is not repeated."""
    number = 0
    while True:
        number += 1
        session = f"soak-{seed}-{number}"
        code, _ = await platform.command("replay", str(ticks), "--speed", "600", "--session-id", session)
        record.done["replays ended" if code == 0 else "replays failed"] += 1
        await asyncio.sleep(5.0)


def write_ticks(path: Path, seed: int, count: int = 6_000) -> None:
    """A file of one tick a second in TrueFX's form."""
    chance = random.Random(seed)
    price = 108_000
    lines = []
    for second in range(count):
        price += chance.randint(-3, 3)
        at = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000"
        lines.append(f"EUR/USD,20140501 {at},{price / 1e5:.5f},{(price + 10) / 1e5:.5f}\n")
    path.write_text("".join(lines))
