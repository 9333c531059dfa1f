"""What must hold at the end: orders, books, events, logs, memory. Each judge returns what is wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import nats
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.types.v1 import market_pb2
from nats.js.client import JetStreamContext

from services.cli.bus import access
from services.cli.home import Home
from services.cli.link import Link
from services.runtime.bus.events import event_type_named
from services.runtime.bus.naming import parse_subject
from services.runtime.policy import service_policy
from tests.kit.history import History
from tests.soak.load import Record, insist
from tests.soak.platform import Platform

CALL_S = 20.0
SETTLE_S = 120.0
"""How long the pipeline may take to store what was published, after everything works again."""
PIPELINE = "data_pipeline"
TICKS = PriceTickReceived.DESCRIPTOR.full_name
MEMORY_FACTOR, MEMORY_ROOM = 1.5, 64 << 20
EXPECTED_ERRORS = {
    # What the mesh says of a peer or of NATS that a fault took away, at the level at which it says it.
    "bus.dead_letter_not_stored",
    "did not go down cleanly",
}


async def orders(link: Link, record: Record) -> list[str]:
    """Every acknowledged order is found exactly once, by its key and in the list of its account."""
    wrong = []
    listed: Counter[tuple[str, str]] = Counter()
    for account in sorted({account for account, _ in (*record.acknowledged, *record.unknown)}):
        request = partial(trading.ListOrdersRequest, account_id=account, page_size=500)
        async for page in _pages(link.trading.ListOrders, request, record):
            listed.update((each.account_id, each.client_order_id) for each in page.orders)
    for (account, key), order_id in record.acknowledged.items():
        asked = trading.FindOrderRequest(account_id=account, client_order_id=key)
        found = await insist(partial(link.trading.FindOrder, asked, timeout=CALL_S), record)
        if found.order.order_id != order_id:
            wrong.append(f"order {key} was acknowledged as {order_id} and is {found.order.order_id}")
        if listed[account, key] != 1:
            wrong.append(f"order {key} of {account} is listed {listed[account, key]} times")
    wrong += [f"order {key} of {account} exists {n} times" for (account, key), n in listed.items() if n > 1]
    return wrong


async def books(link: Link, record: Record) -> list[str]:
    """Every account reconciles, and its positions are what its fills add up to."""
    wrong = []
    accounts = await insist(
        partial(link.trading.ListAccounts, trading.ListAccountsRequest(), timeout=CALL_S), record
    )
    for account in (each.account_id for each in accounts.accounts):
        asked = trading.ReconcileAccountRequest(account_id=account)
        answer = await insist(partial(link.trading.ReconcileAccount, asked, timeout=CALL_S), record)
        wrong += [
            f"{account}: {line.name} is booked {line.booked} and should be {line.recomputed}"
            for line in answer.lines
            if not line.equal
        ]
        fills: dict[str, Decimal] = defaultdict(Decimal)
        seen: Counter[str] = Counter()
        request = partial(trading.ListFillsRequest, account_id=account, page_size=500)
        async for page in _pages(link.trading.ListFills, request, record):
            for fill in page.fills:
                seen[fill.execution_id] += 1
                fills[fill.symbol] += _signed(fill)
        wrong += [f"{account}: fill {each} is there {n} times" for each, n in seen.items() if n > 1]
        held = await insist(
            partial(
                link.trading.ListPositions, trading.ListPositionsRequest(account_id=account), timeout=CALL_S
            ),
            record,
        )
        positions = {each.symbol: Decimal(each.size) for each in held.positions}
        wrong += [
            f"{account}: position in {symbol} is {positions.get(symbol, 0)}, its fills add up to {size}"
            for symbol, size in fills.items()
            if positions.get(symbol, Decimal(0)) != size
        ]
    return wrong


async def events(platform: Platform, link: Link, record: Record) -> list[str]:
    """Every event of the streams is in the pipeline's store, once and in the order of its key."""
    published, ticks = await _published(platform.home)
    faults: list[str] = []
    async with asyncio.timeout(SETTLE_S):
        while True:
            history = History((PIPELINE,))
            for key, each in published:
                history.published(key, each)
            stored = await _stored(link, record)
            if not history.awaited(each for _, each in stored):
                break
            await asyncio.sleep(1.0)
    known = {each for _, each in published}
    for key, each in stored:
        if each in known:  # others came after the snapshot, or their stream has dropped them
            history.effected(PIPELINE, key, each)
    faults += map(str, history.faults())
    for (session, symbol), last in ticks.items():
        faults += await _ticks(link, session, symbol, last)
    record.done["events compared"] = len(published)
    record.done["ticks compared"] = sum(ticks.values())
    return faults


async def _published(home: Home) -> tuple[list[tuple[str, str]], dict[tuple[str, str], int]]:
    """Key and id of every event the streams hold for the pipeline; the last tick by session and symbol."""
    consumed = service_policy("fxmesh.pipeline.v1.PipelineService").consumes
    streams = {event_type_named(name).stream for name in consumed}
    url, options = access(home, "")
    client = await nats.connect(url, **options)
    published: list[tuple[str, str]] = []
    ticks: dict[tuple[str, str], int] = {}
    try:
        for stream in streams:
            async for message in _messages(client.jetstream(), stream.name, stream.subjects):
                subject = parse_subject(message.subject)
                headers = message.headers or {}
                if subject.event not in consumed:
                    continue
                if subject.event == TICKS:
                    event = PriceTickReceived.FromString(message.data)
                    ticks[event.session_id, event.symbol] = event.last_sequence
                else:
                    published.append((f"{stream.name}/{subject.key}", headers["ce-id"]))
    finally:
        await client.close()
    return published, ticks


async def _messages(jetstream: JetStreamContext, stream: str, subjects: str) -> AsyncIterator[Any]:
    """What the stream holds at this moment, in order."""
    last = (await jetstream.stream_info(stream)).state.last_seq
    if not last:
        return
    subscription = await jetstream.subscribe(subjects, ordered_consumer=True)
    while True:
        message = await subscription.next_msg(timeout=CALL_S)
        yield message
        if message.metadata.sequence.stream >= last:
            await subscription.unsubscribe()
            return


async def _stored(link: Link, record: Record) -> list[tuple[str, str]]:
    """Key and id of every event in the pipeline's store, oldest first."""
    found: list[tuple[str, str]] = []
    request = partial(pipeline.ListEventsRequest, page_size=250)
    async for page in _pages(link.pipeline.ListEvents, request, record):
        found += [
            (f"{event_type_named(each.type).stream.name}/{each.key}", each.event_id) for each in page.events
        ]
    return found[::-1]


async def _ticks(link: Link, session: str, symbol: str, last: int) -> list[str]:
    """What is wrong with the ticks of a session: they count from 1 to `last` without gap or repeat."""
    expected = 1
    async for chunk in link.pipeline.ReadTicks(pipeline.ReadTicksRequest(symbol=symbol, source_id=session)):
        if chunk.first_sequence != expected:
            return [f"ticks of {symbol} in {session}: {chunk.first_sequence} follows {expected - 1}"]
        expected += len(chunk.ticks.bid)
    return [] if expected > last else [f"ticks of {symbol} in {session} end at {expected - 1} of {last}"]


def logs(platform: Platform) -> list[str]:
    """Error lines of kinds that no fault explains."""
    found: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for path in platform.home.logs.glob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            record = _parsed(line)
            if record.get("level") in ("error", "critical") and record["event"] not in EXPECTED_ERRORS:
                kind = f"{path.stem}: {record['event']}"
                found[kind] += 1
                shown.setdefault(kind, line[:1500])
    return [f"{count} × {kind}\n    {shown[kind]}" for kind, count in found.items()]


def memory(platform: Platform) -> list[str]:
    """Processes that grew for as long as they were watched."""
    wrong = []
    for pid, sizes in platform.sizes.items():
        if len(sizes) >= 12:
            early, late = sizes[len(sizes) // 3], max(sizes[-3:])
            if late > MEMORY_FACTOR * early + MEMORY_ROOM:
                name = platform.names[pid]
                wrong.append(f"{name} ({pid}) grew from {early >> 20} to {late >> 20} MiB")
    return wrong


def _parsed(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and "event" in record else {}


def _signed(fill: Any) -> Decimal:
    size = Decimal(fill.size)
    return size if fill.side == market_pb2.SIDE_BUY else -size


async def _pages(method: Any, request: Callable[..., Any], record: Record) -> AsyncIterator[Any]:
    token = ""
    while True:
        asked = request(page_token=token)
        page = await insist(partial(method, asked, timeout=CALL_S), record)
        yield page
        token = page.next_page_token
        if not token:
            return
