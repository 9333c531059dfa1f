"""A lockstep replay through seven processes and the same file through one process give the same books."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from google.protobuf.json_format import MessageToDict

from services.market.formats import fingerprint
from services.replay.run import ReplayJob, run
from services.runtime import logs
from tests.kit.live import LivePlatform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TICKS = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"


@pytest.fixture
def ticks(shared_data: Path, tmp_path: Path) -> Path:
    """The first hours of the real file: 25,000 ticks."""
    with gzip.open(shared_data / TICKS, "rt") as file:
        lines = [line for _, line in zip(range(25_000), file, strict=False)]
    path = tmp_path / "ticks.csv"
    path.write_text("".join(lines))
    return path


async def in_process(ticks: Path, folder: Path) -> Path:
    job = ReplayJob(ticks=ticks, out=folder / "out", data=folder / "data")
    await run(job, logs.configure("replay", "error", "console"), lambda done, total: None)
    return job.out


async def test_two_runs_in_one_process_are_equal_byte_for_byte(ticks: Path, tmp_path: Path) -> None:
    one = await in_process(ticks, tmp_path / "one")
    two = await in_process(ticks, tmp_path / "two")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    sums = {
        name: [hashlib.sha256((run / name).read_bytes()).hexdigest() for run in (one, two)] for name in names
    }
    assert {name for name, (first, second) in sums.items() if first != second} == set()
    assert (one / "fills.jsonl").read_text().count("\n") > 5
    assert json.loads((one / "reconciliation.json").read_text())["reconciled"] is True


async def test_seven_processes_in_lockstep_give_the_books_of_one_process(
    live: LivePlatform, ticks: Path, tmp_path: Path
) -> None:
    alone = await in_process(ticks, tmp_path / "one")
    session_id = f"file-{fingerprint(ticks)[:16]}"
    replay = await live.replay(ticks, market_pb2.REPLAY_PACE_LOCKSTEP, session_id=session_id)
    assert (replay.state, replay.failure) == (market_pb2.REPLAY_STATE_COMPLETED, "")
    account_id = f"replay-{session_id}"
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)
        orders = await stub.ListOrders(trading.ListOrdersRequest(account_id=account_id, page_size=1000))
        fills = await stub.ListFills(trading.ListFillsRequest(account_id=account_id, page_size=1000))
    assert _rows(fills.fills, "execution_id") == _lines(alone / "fills.jsonl")
    assert _rows(orders.orders, "order_id") == _lines(alone / "orders.jsonl")


def _rows(messages: Any, key: str) -> list[dict[str, Any]]:
    return sorted(
        (MessageToDict(each, preserving_proto_field_name=True) for each in messages), key=lambda row: row[key]
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
