"""A disk that is really full: new work is refused in one sentence, nothing acknowledged is lost or broken."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fxmesh.trading.v1 import service_pb2, trading_pb2

from services.data_pipeline.domain.executions import Execution, ExecutionState
from services.data_pipeline.handlers import ImportFile
from services.errors import FxError, Kind
from services.market_data.adapters.files import FolderFiles
from services.market_data.handlers import Uploads
from services.quant.timeframes import Timeframe
from services.runtime.data_dir import DataDir
from services.runtime.fatal import FatalError
from services.uploads import Announced
from tests.data_pipeline.conftest import UNSENT, Depot, opened
from tests.kit.live import eventually
from tests.kit.small_disk import small_disk
from tests.trading_gateway.kit import SECOND, START, batch
from tests.trading_gateway.platform import Platform, platform
from tests.trading_gateway.test_service import GOOD, limit, quoted

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TICKS = ImportFile("ticks.csv", "EURUSD", None, "", strict=False, content=UNSENT)
BARS = ImportFile("h1.csv.gz", "EURUSD", Timeframe.H1, "", strict=False, content=UNSENT)
TICK_FILE = "ticks/histdata_ascii_eurusd_ticks_20200101.csv"
BAR_FILE = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
ONLY_FULL = {(Kind.RESOURCE_EXHAUSTED, "DISK_FULL"), (Kind.UNAVAILABLE, "STORE_UNAVAILABLE")}
"""The second while the books are built anew after the first."""


async def placed(world: Platform, key: str) -> bool:
    """True when the order was taken; refusals may only be those of a full disk."""
    try:
        await world.stub.PlaceOrder(limit(key))
    except FxError as failure:
        refused = failure
    else:
        return True
    assert (refused.kind, refused.reason) in ONLY_FULL, refused
    if refused.reason == "DISK_FULL":
        assert refused.detail == "no space left for trading.db"
    return False


async def known(world: Platform, keys: list[str]) -> None:
    for key in keys:
        asked = service_pb2.FindOrderRequest(account_id="demo", client_order_id=key)
        assert (await world.stub.FindOrder(asked)).order.status == trading_pb2.ORDER_STATUS_ACCEPTED
    proof = await world.stub.ReconcileAccount(service_pb2.ReconcileAccountRequest(account_id="demo"))
    assert proof.reconciled


async def test_trading_on_a_full_disk_refuses_orders_and_keeps_those_it_took(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        async with platform(disk.path) as world:
            await quoted(world)
            taken = [key for key in ("a", "b") if await placed(world, key)]
            disk.fill()
            tried = 0
            while await placed(world, f"full-{tried}"):  # the log of the database has some room left
                taken.append(f"full-{tried}")
                tried += 1
            with pytest.raises(FxError) as check:
                await world.service.dependencies[0].check()
            assert check.value.reason == "DISK_FULL"
            disk.free()
            sequence = 1

            async def trades_again() -> bool:
                nonlocal sequence
                sequence += 1
                await world.announce()
                ticks = batch([GOOD], first=sequence, start_ns=START + sequence * SECOND)
                await world.tick(ticks, speed=0.0)
                return await placed(world, "after")

            await eventually(trades_again, 20)
            taken.append("after")
            await known(world, taken)
        async with platform(disk.path) as world:
            await known(world, taken)
        with closing(sqlite3.connect(disk.path / "trading.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def imported(depot: Depot, path: Path, header: ImportFile) -> Execution | FxError:
    try:
        return (await depot.run_import(path, header))[0]
    except FxError as refused:
        return refused


@pytest.mark.parametrize("leave", [0, 1 << 20], ids=["at once", "midway"])
async def test_an_import_onto_a_full_disk_fails_whole_and_works_once_there_is_space(
    tmp_path: Path, shared_data: Path, leave: int
) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        depot = await opened(disk.path)
        first, source_id = await depot.run_import(shared_data / TICK_FILE, TICKS)
        assert first.rows_written == 9_500
        disk.fill(leave=leave and leave + (shared_data / BAR_FILE).stat().st_size)
        failed = await imported(depot, shared_data / BAR_FILE, BARS)
        reason = failed.reason if isinstance(failed, FxError) else failed.failure_reason
        detail = failed.detail if isinstance(failed, FxError) else failed.failure
        assert reason == "DISK_FULL", failed
        assert detail == "the data folder of data_pipeline is on a full disk"
        assert list((disk.path / "uploads").iterdir()) == []
        disk.free()
        for _ in range(2):  # as it is, and as the next process finds it
            again, bars_id = await depot.run_import(shared_data / BAR_FILE, replace(BARS))
            assert (again.state, again.failure) == (ExecutionState.COMPLETED, "")
            counts = {each.name: each.count for each in await depot.history.counts(bars_id)}
            assert counts["bars"] == 49_806
            ticks = {each.name: each.count for each in await depot.history.counts(source_id)}
            assert ticks["ticks"] == 9_500
            await depot.executions.close()
            await depot.duck.close()
            depot = await opened(disk.path)
        await depot.executions.close()
        await depot.duck.close()
        with duckdb.connect(str(disk.path / "pipeline.duckdb")) as database:
            assert database.sql("SELECT count(*) FROM imports WHERE whole").fetchall() == [(2,)]


@pytest.mark.parametrize("service", ["market_data", "data_pipeline"])
async def test_an_upload_onto_a_full_disk_is_refused_and_not_kept(
    tmp_path: Path, shared_data: Path, service: str
) -> None:
    content = (shared_data / TICK_FILE).read_bytes()
    announced = Announced(len(content), hashlib.sha256(content).hexdigest())
    header = announced if service == "market_data" else replace(TICKS, content=announced)

    async def parts() -> AsyncIterator[Any]:
        yield header
        for start in range(0, len(content), 1_000):  # less than a file gathers before it writes
            yield content[start : start + 1_000]

    with small_disk(tmp_path / "disk", 16) as disk:
        depot = await opened(disk.path)
        uploads = Uploads(FolderFiles(disk.path))
        receive: Any = uploads.upload if service == "market_data" else depot.imports.receive
        disk.fill(leave=40_000)
        with pytest.raises(FxError) as refused:
            await receive(parts())
        assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert f"the data folder of {service} is on a full disk" in refused.value.detail
        for folder in ("files", "uploads"):
            assert list((disk.path / folder).iterdir()) == []
        disk.free()
        kept = await receive(parts())
        if service == "data_pipeline":
            async for execution in depot.executions.stream(kept[0].execution_id):
                kept = execution.rows_written
        assert kept
        await depot.executions.close()
        await depot.duck.close()


def test_a_process_does_not_start_on_a_full_disk_and_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        disk.fill()
        with pytest.raises(FatalError, match=r"the disk of the data folder .* is full: free some space"):
            DataDir(disk.path)
        disk.free()
        DataDir(disk.path).close()
