"""Writes what a replay gave as files that are equal, byte for byte, for equal runs.

Wall times, traces and correlation ids are no part of them; everything is sorted by identity, not by arrival.
Fields are named as in the contracts, as in the JSON of stored events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fxmesh.marketdata.v1 import market_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.replay.platform import Platform

EVENTS = {
    "bars": "fxmesh.analysis.v1.BarClosed",
    "indicators": "fxmesh.analysis.v1.IndicatorCalculated",
    "patterns": "fxmesh.analysis.v1.PatternDetected",
    "signals": "fxmesh.analysis.v1.SignalGenerated",
    "predictions": "fxmesh.inference.v1.ModelPredictionCompleted",
}
WALL_FIELDS = ("started_at", "ended_at")
PAGE = 1000


async def write_outputs(platform: Platform, replay: market_pb2.Replay, out: Path) -> dict[str, int]:
    """All files of a finished replay; returns rows by name."""
    out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else waits for this loop
    stub = PipelineServiceStub(platform.channel("fxmesh.pipeline.v1.PipelineService"))
    rows = {name: await _events(stub, type_name, out / f"{name}.jsonl") for name, type_name in EVENTS.items()}
    rows |= await _trading(platform, f"replay-{replay.replay_id}", out)
    report = await stub.GetStorageReport(pipeline.GetStorageReportRequest(source_id=replay.replay_id))
    rows["ticks"] = next(each.count for each in report.counts if each.name == "ticks")
    summary = {name: value for name, value in _plain(replay).items() if name not in WALL_FIELDS}
    _write(out / "replay.json", [summary])
    _write_sums(out)
    return rows


async def _events(stub: Any, type_name: str, path: Path) -> int:
    events: list[tuple[str, str]] = []
    token = ""
    while True:
        request = pipeline.ListEventsRequest(type=[type_name], page_size=PAGE, page_token=token)
        page = await stub.ListEvents(request)
        events += [(event.event_id, event.json) for event in page.events]
        token = page.next_page_token
        if not token:
            break
    _write(path, [json.loads(content) for _, content in sorted(events)])
    return len(events)


async def _trading(platform: Platform, account_id: str, out: Path) -> dict[str, int]:
    stub = TradingServiceStub(platform.channel("fxmesh.trading.v1.TradingService"))
    account = await stub.GetAccount(trading.GetAccountRequest(account_id=account_id))
    orders = await _pages(stub.ListOrders, trading.ListOrdersRequest, "orders", account_id)
    fills = await _pages(stub.ListFills, trading.ListFillsRequest, "fills", account_id)
    ledger = await _pages(stub.ListLedgerEntries, trading.ListLedgerEntriesRequest, "entries", account_id)
    transactions = await _pages(
        stub.ListTransactions, trading.ListTransactionsRequest, "transactions", account_id
    )
    positions = await stub.ListPositions(
        trading.ListPositionsRequest(account_id=account_id, include_flat=True)
    )
    books = await stub.ReconcileAccount(trading.ReconcileAccountRequest(account_id=account_id))
    _write(out / "account.json", [_plain(account.account)])
    _write(out / "orders.jsonl", sorted(map(_plain, orders), key=lambda row: row["order_id"]))
    _write(out / "fills.jsonl", sorted(map(_plain, fills), key=lambda row: row["execution_id"]))
    _write(out / "ledger.jsonl", sorted(map(_plain, ledger), key=lambda row: int(row["entry"])))
    _write(out / "transactions.jsonl", sorted(map(_plain, transactions), key=lambda row: int(row["number"])))
    _write(out / "positions.jsonl", sorted(map(_plain, positions.positions), key=lambda row: row["symbol"]))
    _write(out / "reconciliation.json", [_plain(books)])
    return {"orders": len(orders), "fills": len(fills), "ledger": len(ledger)}


async def _pages(method: Any, request: Any, field: str, account_id: str) -> list[Message]:
    found: list[Message] = []
    token = ""
    while True:
        page = await method(request(account_id=account_id, page_size=PAGE, page_token=token))
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = (json.dumps(row, sort_keys=True, separators=(",", ":")) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines))


def _write_sums(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir() if path.suffix in (".json", ".jsonl"))
    sums = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / "SHA256SUMS").write_text("".join(sums))
