"""Imports of real and bad files."""

import asyncio
import gzip
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.data_pipeline.adapters.catalogue import DuckCatalogue
from services.data_pipeline.domain.datasets import DatasetSpec
from services.data_pipeline.domain.executions import ExecutionState, PipelineKind
from services.data_pipeline.domain.records import Span
from services.data_pipeline.handlers import ImportFile
from services.data_pipeline.handlers.queries import BarQuery
from services.errors import FxError, Kind
from services.market.formats import as_one_file
from services.quant.timeframes import Timeframe
from services.uploads import Announced
from tests.data_pipeline.conftest import UNSENT, Depot

H1_FILE = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
CONTENT = b"timestamp,bid_open,bid_high,bid_low,bid_close\n2014-05-01T01:00:00Z,1.38,1.39,1.37,1.38\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = [
    Announced(len(CONTENT) + 1, SHA256),
    Announced(len(CONTENT) - 1, SHA256),
    Announced(len(CONTENT), "0" * 64),
]
H1 = ImportFile("h1.csv.gz", "EURUSD", Timeframe.H1, "", strict=False, content=UNSENT)


async def test_eight_years_of_bars_arrive_exactly_and_once(depot: Depot, shared_data: Path) -> None:
    path = shared_data / H1_FILE
    execution, source_id = await depot.run_import(path, H1)
    assert (execution.state, execution.failure, execution.rows_written) == (
        ExecutionState.COMPLETED,
        "",
        49_806,
    )
    again, same = await depot.run_import(path, H1)
    assert (again.state, again.rows_read, again.rows_written, same) == (
        ExecutionState.COMPLETED,
        49_806,
        0,
        source_id,
    )
    bars = [
        bar
        async for chunk in depot.queries.read_bars(BarQuery("EURUSD", Timeframe.H1, Span()))
        for bar in chunk
    ]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[1:]
    assert len(bars) == len(lines) == 49_806
    for bar, line in zip(bars[::97], lines[::97], strict=True):
        fields = line.split(",")
        prices = [round(float(field) * 100_000) for field in fields[1:]]
        assert prices == [
            bar.bid_open,
            bar.bid_high,
            bar.bid_low,
            bar.bid_close,
            bar.ask_open,
            bar.ask_high,
            bar.ask_low,
            bar.ask_close,
        ]
    assert [event[0] for event in depot.publisher.events] == ["started", "ended"] * 2


async def test_ticks_are_imported_whole(depot: Depot, shared_data: Path) -> None:
    path = shared_data / "ticks/histdata_ascii_eurusd_ticks_20200101.csv"
    header = ImportFile("ticks.csv", "EURUSD", None, "", strict=False, content=UNSENT)
    execution, source_id = await depot.run_import(path, header)
    assert (execution.state, execution.rows_written) == (ExecutionState.COMPLETED, 9_500)
    ticks = [batch async for batch in depot.queries.read_ticks("EURUSD", source_id, 0)]
    assert sum(map(len, ticks)) == 9_500
    assert ticks[-1].last_sequence == 9_500


async def test_a_day_of_hours_is_stored_as_one_source_and_its_gap_is_a_warning(
    depot: Depot, shared_data: Path, tmp_path: Path
) -> None:
    day = tmp_path / "EURUSD/2019/01/04"
    shutil.copytree(shared_data / "dukascopy_bi5/EURUSD/2019/01/04", day)
    (day / "13h_ticks.bi5").unlink()
    with as_one_file(day) as path:
        execution, source_id = await depot.run_import(
            path, ImportFile("day", "", None, "", strict=True, content=UNSENT)
        )
    assert (execution.state, execution.rows_written) == (ExecutionState.COMPLETED, 136_741 - 7_763)
    tally = execution.rejects["MISSING_HOUR"]
    assert (tally.warning, tally.count, len(execution.rejects)) == (True, 1, 1)
    ticks = [batch async for batch in depot.queries.read_ticks("EURUSD", source_id, 0)]
    assert (ticks[0].first_sequence, ticks[-1].last_sequence) == (1, 136_741 - 7_763)


async def test_each_symbol_of_a_recorded_stream_is_imported_for_itself(
    depot: Depot, tmp_path: Path, shared_data: Path
) -> None:
    name = "oanda_v20/pricing_v3_accounts_accountID_pricing_stream.json"
    objects = json.loads((shared_data / name).read_text())["response"]
    path = tmp_path / "stream.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in objects))
    for symbol, rows in (("EURUSD", 1), ("EURJPY", 2)):
        execution, source_id = await depot.run_import(
            path, ImportFile("s", symbol, None, "", strict=False, content=UNSENT)
        )
        assert (execution.state, execution.rows_written) == (ExecutionState.COMPLETED, rows)
        assert sum([len(batch) async for batch in depot.queries.read_ticks(symbol, source_id, 0)]) == rows


async def test_a_file_with_the_wrong_label_stores_nothing_and_says_why(
    depot: Depot, shared_data: Path
) -> None:
    path = shared_data / "bad_input/mislabelled_symbol_h1_2019.csv.gz"
    execution, source_id = await depot.run_import(
        path, ImportFile("m.csv", "EURUSD", Timeframe.H1, "", strict=False, content=UNSENT)
    )
    assert (execution.state, execution.failure_reason) == (ExecutionState.FAILED, "IMPORT_REJECTED")
    assert "PRICE_IMPLAUSIBLE" in execution.failure
    assert execution.rejects["PRICE_IMPLAUSIBLE"].first_line == 2
    assert all(each.count == 0 for each in await depot.history.counts(source_id))


async def test_strict_stops_at_the_first_fault_and_keeps_nothing(depot: Depot, tmp_path: Path) -> None:
    good = "2014-05-01T{:02d}:00:00Z,1.38,1.39,1.37,1.38,1.3801,1.3901,1.3701,1.3801\n"
    header = "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n"
    path = tmp_path / "bars.csv"
    path.write_text(
        header + "".join(good.format(hour) for hour in range(9)) + good.format(3) + good.format(10)
    )
    strict, source_id = await depot.run_import(
        path, ImportFile("b.csv", "EURUSD", Timeframe.H1, "", strict=True, content=UNSENT)
    )
    assert (strict.state, strict.failure_reason) == (ExecutionState.FAILED, "TIME_BACKWARDS")
    assert "line 11" in strict.failure
    assert all(each.count == 0 for each in await depot.history.counts(source_id))
    loose, _ = await depot.run_import(
        path, ImportFile("b.csv", "EURUSD", Timeframe.H1, "", strict=False, content=UNSENT)
    )
    assert (loose.state, loose.rows_written) == (ExecutionState.COMPLETED, 10)
    assert {reason: tally.count for reason, tally in loose.rejects.items()} == {"TIME_BACKWARDS": 1}


@pytest.mark.parametrize(
    ("fault", "strict"), [("TRUNCATED", False), ("FILE_UNREADABLE", False), ("TRUNCATED", True)]
)
async def test_a_damaged_gzip_gives_the_rows_before_the_damage_and_says_where_it_is(
    depot: Depot, tmp_path: Path, shared_data: Path, fault: str, strict: bool
) -> None:
    whole = (shared_data / H1_FILE).read_bytes()
    half = len(whole) // 2
    path = tmp_path / "h1.csv.gz"
    rest = b"" if fault == "TRUNCATED" else b"\xff" * 64 + whole[half + 64 :]
    path.write_bytes(whole[:half] + rest)
    execution, source_id = await depot.run_import(path, replace(H1, strict=strict))
    stored = sum(each.count for each in await depot.history.counts(source_id))
    if strict:
        assert (execution.state, execution.failure_reason) == (ExecutionState.FAILED, fault)
        assert "h1.csv.gz, line " in execution.failure
        assert stored == execution.rows_written == 0
        return
    assert execution.state is ExecutionState.COMPLETED
    assert 0 < execution.rows_read == execution.rows_written == stored < 49_806
    assert execution.damage.startswith(f"{fault}: the gzip ")
    assert execution.damage.endswith(f"in line {execution.rejects[fault].first_line}")
    repaired, other = await depot.run_import(shared_data / H1_FILE, H1)
    assert (repaired.damage, repaired.rows_written) == ("", 49_806)
    assert other != source_id


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "EMPTY_FILE"), (b"PAR1zip", "NOT_TEXT"), (b"a,b,c\n1,2,3\n", "UNKNOWN_FORMAT")],
)
async def test_what_is_no_data_file_is_refused_at_once(
    depot: Depot, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FxError) as caught:
        await depot.run_import(path, H1)
    assert caught.value.reason == reason
    assert "upload-" not in caught.value.detail
    assert list((depot.folder / "uploads").iterdir()) == []


@pytest.mark.parametrize("announced", WRONG, ids=str)
async def test_what_is_not_the_file_announced_is_refused_and_not_kept(
    depot: Depot, announced: Announced
) -> None:
    async def parts() -> AsyncIterator[ImportFile | bytes]:
        yield replace(H1, content=announced)
        yield CONTENT

    with pytest.raises(FxError) as caught:
        await depot.imports.receive(parts())
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "UPLOAD_MISMATCH")
    assert list((depot.folder / "uploads").iterdir()) == []
    assert await depot.executions.list((), "", 10) == []


async def test_a_stream_that_its_sender_breaks_off_leaves_nothing(depot: Depot) -> None:
    async def parts() -> AsyncIterator[ImportFile | bytes]:
        yield replace(H1, content=Announced(10**6, SHA256))
        yield CONTENT
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await depot.imports.receive(parts())
    assert list((depot.folder / "uploads").iterdir()) == []


async def test_bars_come_in_pages_first_or_last(depot: Depot, shared_data: Path) -> None:
    await depot.run_import(shared_data / H1_FILE, H1)
    everything = BarQuery("EURUSD", Timeframe.H1, Span())
    page, token = await depot.queries.bars(everything, 100, "")
    second, _ = await depot.queries.bars(everything, 100, token)
    assert page[-1].open_ns < second[0].open_ns
    latest, older = await depot.queries.bars(BarQuery("EURUSD", Timeframe.H1, Span(), latest=True), 50, "")
    before, _ = await depot.queries.bars(BarQuery("EURUSD", Timeframe.H1, Span(), latest=True), 50, older)
    times = [bar.open_ns for bar in [*before, *latest]]
    assert times == sorted(set(times))
    assert len(times) == 100


async def test_datasets_are_the_same_for_the_same_definition_and_scores_cover_their_bars(
    depot: Depot, shared_data: Path
) -> None:
    await depot.run_import(shared_data / H1_FILE, H1)
    start = 1_356_998_400_000_000_000  # 2013-01-01
    spec = DatasetSpec("EURUSD", Timeframe.H1, start, None, 4)
    one = await depot.datasets.create("r1", spec)
    two = await depot.datasets.create("r2", spec)
    assert one == two
    assert await depot.datasets.create("r1", spec) == one
    assert one.rows > 12_000
    labels = [
        label async for _, rows in depot.datasets.chunks(one.dataset_id) for label in rows.labels.tolist()
    ]
    assert len(labels) == one.rows
    assert set(labels) == {0, 1}
    with pytest.raises(FxError) as none:
        await depot.datasets.create("r3", DatasetSpec("GBPUSD", Timeframe.H1, None, None, 4))
    assert none.value.reason == "NO_DATA"
    assert await depot.datasets.list("EURUSD") == [one]
    with pytest.raises(FxError, match="UNKNOWN_SYMBOL"):
        await depot.datasets.list("ABCDEF")
    run = await depot.scoring.start("s1", PipelineKind.SCORE, "EURUSD", Timeframe.H1, Span(start, None))
    async for each in depot.executions.stream(run.execution_id):
        run = each
    assert (run.state, run.rows_written) == (ExecutionState.COMPLETED, sum(depot.scorer.batches))
    assert run.rows_written >= one.rows
    export = await depot.scoring.start("x1", PipelineKind.EXPORT, "EURUSD", Timeframe.H1, Span(start, None))
    async for each in depot.executions.stream(export.execution_id):
        export = each
    assert (depot.folder / export.output).stat().st_size > 100_000


async def test_features_of_a_time_use_only_bars_closed_by_then(depot: Depot, shared_data: Path) -> None:
    await depot.run_import(shared_data / H1_FILE, H1)
    at = 1_398_931_200_000_000_000  # 2014-05-01T08:00Z
    vector = await depot.datasets.features("EURUSD", Timeframe.H1, at)
    assert vector.open_ns == at - 3_600_000_000_000
    assert (
        await depot.datasets.features("EURUSD", Timeframe.H1, at - 1)
    ).open_ns == at - 2 * 3_600_000_000_000
    with pytest.raises(FxError) as none:
        await depot.datasets.features("EURUSD", Timeframe.M5, None)
    assert none.value.reason == "NO_DATA"


async def test_an_execution_that_was_stored_when_the_service_died_is_found_again(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise RuntimeError("killed here")

    asked = ("s1", PipelineKind.SCORE, "AUDNZD", Timeframe.H1, Span(None, None))
    with monkeypatch.context() as killed:
        killed.setattr(DuckCatalogue, "remember", die)
        with pytest.raises(RuntimeError, match="killed here"):
            await depot.scoring.start(*asked)
    run = await depot.scoring.start(*asked)
    assert [each.execution_id for each in await depot.executions.list((), "", 10)] == [run.execution_id]
