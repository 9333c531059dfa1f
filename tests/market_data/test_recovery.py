"""A process that dies leaves sessions that ran: the next one ends them for everybody."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import FxError
from services.market_data.domain.history import TickMessage
from services.market_data.domain.replays import Pace, ReplayState
from services.market_data.handlers import StartReplay, run_synthetic
from services.market_data.handlers.replays import KEPT_SESSIONS
from services.runtime.clock import WallClock
from tests.market_data.conftest import Desk, composed

LINES = "".join(f"EUR/USD,20140501 00:00:{i:02d}.000,1.38600,1.38610\n" for i in range(50)).encode()
PACED = StartReplay("r-1", "", "", "", Pace.PACED, 20.0, False, 0, "died", "ticks.csv")


def restarted(desk: Desk, folder: Path) -> Desk:
    """The next process on what is on the disk now: what a kill leaves."""
    shutil.copytree(desk.folder, folder)
    return composed(folder)


async def test_a_request_repeated_after_a_restart_does_not_play_the_file_again(
    desk: Desk, tmp_path: Path
) -> None:
    request = replace(PACED, pace=Pace.UNPACED, speed=0.0, session_id="", file_id=await desk.keep(LINES))
    replay = await desk.replays.start(request)
    async with asyncio.timeout(10):
        async for each in desk.replays.stream(replay.replay_id):
            replay = each
    after = restarted(desk, tmp_path / "after")
    await after.recover()
    again = await after.replays.start(request)
    assert (again.replay_id, again.state, again.ticks) == (replay.replay_id, ReplayState.COMPLETED, 50)
    assert after.publisher.messages == []
    with pytest.raises(FxError, match="REQUEST_ID_REUSED"):
        await after.replays.start(replace(request, batch_size=7))
    another = await after.replays.start(replace(request, request_id="r-2"))
    assert another.replay_id != replay.replay_id
    await after.replays.close()


def ends(messages: list[TickMessage]) -> list[tuple[str, str, int, bool]]:
    return [(each.batch.session_id, each.batch.symbol, len(each.batch), each.ended) for each in messages]


async def test_a_replay_cut_off_by_a_crash_is_ended_and_listed_as_failed(desk: Desk, tmp_path: Path) -> None:
    replay = await desk.replays.start(replace(PACED, file_id=await desk.keep(LINES)))
    async with asyncio.timeout(10):
        while replay.ticks < 10:  # noqa: ASYNC110 - the crash may come at any time
            await asyncio.sleep(0.01)
    after, played = restarted(desk, tmp_path / "after"), replay.ticks
    await desk.replays.stop("c-1", "died")

    await after.recover()
    assert ends(after.publisher.messages) == [("died", "EURUSD", 0, True)]
    (known,) = await after.replays.list()
    assert (known.state, known.failure_reason, known.ticks) == (ReplayState.FAILED, "INTERRUPTED", played)
    assert known.failure == f"market_data restarted while it played: at least {played} ticks were played"
    assert [each.state async for each in after.replays.stream("died")] == [ReplayState.FAILED]
    with pytest.raises(FxError, match="REPLAY_ENDED"):
        await after.replays.stop("c-2", "died")
    with pytest.raises(FxError, match="used before"):
        await after.replays.start(replace(PACED, file_id=await after.keep(LINES)))
    for sequence in (played, played - 5):  # a reader of the tick stream hears of it wherever it was
        stream = after.feed.stream_ticks(frozenset(), [("died", "EURUSD", sequence)])
        item = await anext(stream)
        assert isinstance(item, TickMessage)
        assert item.ended

    again = restarted(after, tmp_path / "again")
    await again.recover()
    assert again.publisher.messages == []
    assert [each.failure_reason for each in await again.replays.list()] == ["INTERRUPTED"]


async def test_the_synthetic_session_of_a_process_that_died_is_ended_too(desk: Desk, tmp_path: Path) -> None:
    symbols = ("EURUSD", "USDJPY")
    feeding = asyncio.create_task(
        run_synthetic(desk.feed, desk.records, WallClock(), "synthetic-1", symbols, 1, 100.0, 0.01)
    )
    async with asyncio.timeout(10):
        while len(desk.publisher.messages) < 10:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    after = restarted(desk, tmp_path / "after")
    feeding.cancel()
    with suppress(asyncio.CancelledError):
        await feeding
    await after.recover()
    assert ends(after.publisher.messages) == [("synthetic-1", symbol, 0, True) for symbol in symbols]
    assert after.feed.sessions.all() == []
    assert after.publisher.messages[0].clock.time_ns > 0
    assert await after.replays.list() == []


async def test_few_ended_sessions_are_remembered_and_every_id_stays_taken(desk: Desk, tmp_path: Path) -> None:
    file_id, count = await desk.keep(LINES), KEPT_SESSIONS + 2
    for number in range(count):
        request = StartReplay(f"r-{number}", file_id, "", "", Pace.UNPACED, 0.0, False, 0, f"s-{number}", "")
        replay = await desk.replays.start(request)
        async for _ in desk.replays.stream(replay.replay_id):
            pass
    once = restarted(desk, tmp_path / "once")
    await once.recover()
    assert once.publisher.messages == []
    twice = restarted(once, tmp_path / "twice")
    (twice.folder / "sessions/s-5").write_text("{")
    await twice.recover()
    assert [each.replay_id for each in await twice.replays.list()] == ["s-4", "s-3", "s-2"]
    for number in range(count):
        request = StartReplay("r", file_id, "", "", Pace.UNPACED, 0.0, False, 0, f"s-{number}", "")
        with pytest.raises(FxError, match="used before"):
            await twice.replays.start(request)
