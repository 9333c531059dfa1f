"""Exactly one effect for each event, however it is cut, repeated or interrupted."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.data_pipeline.domain.records import Arrivals, EventRecord, Span
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from tests.data_pipeline.conftest import Depot, opened

TICKS = TickBatch(
    "s1",
    "EURUSD",
    1,
    5,
    list(range(1000, 1500)),
    list(range(100_000, 100_500)),
    list(range(100_010, 100_510)),
)
BAR = Bar("EURUSD", Timeframe.M1, 60_000_000_000, 5, 1, 4, 1, 2, 3, 6, 3, 4, 17)
EVENT = EventRecord(
    "BarClosed/s1/EURUSD/6/60", "fxmesh.analysis.v1.BarClosed", "EURUSD", "s1", 5, "c", "", b"x", BAR
)


async def stored_ticks(depot: Depot) -> list[tuple[int, int, int]]:
    rows = await depot.duck.rows("SELECT sequence, time_ns, bid FROM ticks ORDER BY sequence")
    return [(row[0], row[1], row[2]) for row in rows]


EXPECTED = [(i + 1, 1000 + i, 100_000 + i) for i in range(500)]


async def test_overlapping_and_repeated_batches_store_each_tick_once(depot: Depot) -> None:
    await depot.store.commit(Arrivals([TICKS[0:100], TICKS[0:100], TICKS[50:200]], []))
    await depot.store.commit(Arrivals([TICKS[150:300]], []))
    await depot.store.commit(Arrivals([TICKS[0:500]], []))
    assert await stored_ticks(depot) == EXPECTED


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 150)), max_size=12))
async def test_any_cutting_that_begins_at_the_start_and_overlaps_stores_each_tick_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]]
) -> None:
    depot = await opened(tmp_path_factory.mktemp("cuts"))
    reached = 0
    for start, length in sorted(cuts):
        first = min(start, reached)
        await depot.store.commit(Arrivals([TICKS[first : first + length]], []))
        reached = max(reached, min(first + length, 500))
    await depot.store.commit(Arrivals([TICKS[reached:500]] if reached < 500 else [], []))
    assert await stored_ticks(depot) == EXPECTED
    await depot.duck.close()


async def test_events_and_their_bars_are_stored_once_also_after_a_restart(tmp_path: Path) -> None:
    depot = await opened(tmp_path)
    stored = await depot.store.commit(Arrivals([TICKS[0:100]], [EVENT, EVENT]))
    assert (stored.ticks, stored.events, stored.bars) == (100, 1, [BAR])
    await depot.duck.close()
    depot = await opened(tmp_path)
    again = await depot.store.commit(
        Arrivals([TICKS[0:120]], [EVENT, replace(EVENT, event_id="other", bar=None)])
    )
    assert (again.ticks, again.events, again.bars) == (20, 1, [])
    assert await depot.history.bars("EURUSD", Timeframe.M1, Span(), "", 10, latest=False) == [BAR]
    counts = {each.name: each.count for each in await depot.history.counts("s1")}
    assert counts == {"ticks": 120, "bars": 1, "fxmesh.analysis.v1.BarClosed": 2}
    await depot.duck.close()


async def test_a_failed_commit_leaves_nothing_and_can_be_repeated(depot: Depot) -> None:
    broken = replace(EVENT, event_id="broken", key=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"NULL|STORE_UNAVAILABLE"):
        await depot.store.commit(Arrivals([TICKS[0:10]], [broken]))
    assert await stored_ticks(depot) == []
    await depot.store.commit(Arrivals([TICKS[0:500]], [EVENT]))
    assert await stored_ticks(depot) == EXPECTED


async def test_events_are_listed_newest_first_by_type_and_key_in_pages(depot: Depot) -> None:
    events = [replace(EVENT, event_id=f"e{i}", key="AB"[i % 2] * 6, bar=None) for i in range(7)]
    await depot.store.commit(Arrivals([], events))
    first, token = await depot.queries.events([], "AAAAAA", 3, "")
    rest, end = await depot.queries.events([], "AAAAAA", 3, token)
    assert [event.event_id for event in [*first, *rest]] == ["e6", "e4", "e2", "e0"]
    assert end == ""
    assert (await depot.queries.events(["no.such.Event"], "", 3, ""))[0] == []
