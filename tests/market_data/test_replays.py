"""Replays of real and bad files: every tick once and in order, at every pace; the end always comes."""

import asyncio
import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.market_data.domain.lockstep import ANALYSIS, TRADING
from services.market_data.domain.replays import Pace, Replay, ReplayState
from services.market_data.handlers import Barrier, StartReplay
from tests.market_data.conftest import Desk

REQUEST = StartReplay("r-1", "", "", "", Pace.UNPACED, 0.0, False, 0, "", "file.csv")
LINE = "EUR/USD,20140501 00:00:{second:02d}.{ms:03d},1.38{tail:03d},1.38{ask:03d}\n"


def lines(count: int) -> bytes:
    return "".join(
        LINE.format(second=i // 1000 % 60, ms=i % 1000, tail=600 + i % 50, ask=610 + i % 50)
        for i in range(count)
    ).encode()


async def ended(desk: Desk, replay: Replay) -> Replay:
    async with asyncio.timeout(60):
        async for each in desk.replays.stream(replay.replay_id):
            replay = each
    return replay


def published(desk: Desk) -> list[int]:
    return [
        sequence
        for message in desk.publisher.messages
        for sequence in range(message.batch.first_sequence, message.batch.last_sequence + 1)
    ]


async def test_a_real_file_is_published_whole_and_in_order(desk: Desk, shared_data: Path) -> None:
    content = (shared_data / "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz").read_bytes()
    file_id = await desk.keep(content)
    replay = await ended(desk, await desk.replays.start(replace(REQUEST, file_id=file_id)))
    assert (replay.state, replay.failure, replay.rejects) == (ReplayState.COMPLETED, "", {})
    assert replay.ticks == replay.lines == 321_559
    assert published(desk) == list(range(1, 321_560))
    last = desk.publisher.messages[-1]
    assert last.ended
    assert not len(last.batch)
    times = [time for message in desk.publisher.messages for time in message.batch.times_ns]
    assert times == sorted(times)
    assert desk.feed.sessions.feeding("EURUSD") is None
    assert replay.bytes_read == replay.bytes_total == len(content)


async def test_bad_lines_are_counted_with_the_first_of_them(desk: Desk) -> None:
    content = lines(5) + b"EUR/USD,20140401 00:00:00.000,1.38600,1.38610\nEUR/USD,rubbish\n" + lines(0)
    replay = await ended(desk, await desk.replays.start(replace(REQUEST, file_id=await desk.keep(content))))
    assert replay.state is ReplayState.COMPLETED
    assert replay.ticks == 5
    assert {reason: (tally.count, tally.first_line) for reason, tally in replay.rejects.items()} == {
        "TIME_BACKWARDS": (1, 6),
        "BAD_FIELD_COUNT": (1, 7),
    }


async def test_strict_stops_at_the_first_bad_line_and_still_ends_the_session(desk: Desk) -> None:
    file_id = await desk.keep(lines(1500) + b"EUR/USD,20140501 00:00:01.600,abc,1.38610\n" + lines(0))
    replay = await ended(
        desk, await desk.replays.start(replace(REQUEST, file_id=file_id, strict=True, batch_size=10))
    )
    assert (replay.state, replay.failure_reason) == (ReplayState.FAILED, "BAD_PRICE")
    assert replay.failure.startswith("file.csv, line 1501: ")
    assert replay.lines == 1501
    assert [(tally.count, tally.first_line) for tally in replay.rejects.values()] == [(1, 1501)]
    assert desk.publisher.messages[-1].ended
    assert desk.feed.sessions.feeding("EURUSD") is None


@pytest.mark.parametrize(
    ("content", "symbol", "why"),
    [
        (lines(3), "USDJPY", "line 1: WRONG_SYMBOL"),
        (lines(3).replace(b"\n", b"\r"), "", "line 1: TRUNCATED"),
    ],
    ids=["another symbol", "no line ends"],
)
async def test_a_file_without_a_tick_is_no_replay(desk: Desk, content: bytes, symbol: str, why: str) -> None:
    request = replace(REQUEST, file_id=await desk.keep(content), symbol=symbol)
    replay = await ended(desk, await desk.replays.start(request))
    assert (replay.state, replay.failure_reason) == (ReplayState.FAILED, "REPLAY_REJECTED")
    assert replay.failure.startswith(f"no line of file.csv could be taken: {why}: ")
    assert [each.ended for each in desk.publisher.messages] == [True]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "EMPTY_FILE"), (b"\x00\x01\x02", "NOT_TEXT"), (b"hello\nworld\n", "UNKNOWN_FORMAT")],
)
async def test_what_is_no_tick_file_is_refused_when_it_arrives(
    desk: Desk, content: bytes, reason: str
) -> None:
    with pytest.raises(FxError) as caught:
        await desk.keep(content)
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, reason)
    assert ".upload-" not in caught.value.detail


async def test_a_truncated_gzip_gives_what_it_has_and_says_so(desk: Desk) -> None:
    whole = gzip.compress(lines(3000))
    replay = await ended(
        desk, await desk.replays.start(replace(REQUEST, file_id=await desk.keep(whole[: len(whole) // 2])))
    )
    assert 0 < replay.ticks < 3000
    assert replay.rejects["TRUNCATED"].first_line == replay.ticks + 1
    assert replay.damage == f"TRUNCATED: the gzip stream ends early, in line {replay.ticks + 1}"


async def test_one_replay_of_a_symbol_at_a_time_and_an_id_is_used_once(desk: Desk) -> None:
    file_id = await desk.keep(lines(1000))
    paced = replace(REQUEST, file_id=file_id, pace=Pace.PACED, speed=0.001, session_id="once")
    replay = await desk.replays.start(paced)
    assert await desk.replays.start(paced) is replay
    with pytest.raises(FxError) as other:
        await desk.replays.start(replace(paced, request_id="r-2", session_id="second"))
    assert other.value.reason == "REPLAY_ACTIVE"
    with pytest.raises(FxError) as reused:
        await desk.replays.start(replace(paced, speed=2.0))
    assert reused.value.reason == "REQUEST_ID_REUSED"
    await desk.replays.stop("c-1", "once")
    assert (await ended(desk, replay)).state is ReplayState.STOPPED
    with pytest.raises(FxError) as spent:
        await desk.replays.start(replace(paced, request_id="r-3"))
    assert spent.value.kind is Kind.ALREADY_EXISTS
    with pytest.raises(FxError) as over:
        await desk.replays.pause("c-2", "once")
    assert over.value.reason == "REPLAY_ENDED"


async def test_a_bus_that_is_away_delays_and_loses_nothing(desk: Desk) -> None:
    desk.publisher.failures = [FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "away")] * 2
    replay = await ended(
        desk, await desk.replays.start(replace(REQUEST, file_id=await desk.keep(lines(300))))
    )
    assert replay.state is ReplayState.COMPLETED
    assert published(desk) == list(range(1, 301))


async def test_lockstep_waits_for_analysis_then_trading_on_every_batch(desk: Desk) -> None:
    stream = desk.feed.stream_ticks(frozenset(), [])
    file_id = await desk.keep(lines(250))
    await desk.replays.start(replace(REQUEST, file_id=file_id, pace=Pace.LOCKSTEP, session_id="ls"))
    seen: list[str] = []
    handled, done = 0, False
    async with asyncio.timeout(20):
        while not done:
            item = await anext(stream)
            if item is None:
                continue
            seen.append(type(item).__name__)
            if isinstance(item, Barrier):
                assert item.signals == item.sequence // 100
                done = item.sequence == 250 and seen.count("Barrier") == 4
                await desk.replays.acknowledge("ls", "EURUSD", TRADING, item.sequence, 0, ended=done)
            elif not hasattr(item, "kind"):
                assert len(item.batch) == 0 or item.batch.first_sequence == handled + 1
                handled = item.batch.last_sequence
                await desk.replays.acknowledge(
                    "ls", "EURUSD", ANALYSIS, handled, handled // 100, ended=item.ended
                )
    assert seen == ["FeedSession"] + ["TickMessage", "Barrier"] * 4
    assert (await ended(desk, await desk.replays.get("ls"))).state is ReplayState.COMPLETED


async def test_lockstep_without_consumers_fails_and_says_who_is_missing(desk: Desk) -> None:
    file_id = await desk.keep(lines(250))
    replay = await ended(
        desk, await desk.replays.start(replace(REQUEST, file_id=file_id, pace=Pace.LOCKSTEP))
    )
    assert (replay.state, replay.failure_reason) == (ReplayState.FAILED, "PEER_UNAVAILABLE")
    assert replay.failure.startswith("analysis_engine did not acknowledge tick 100 within 2 s")
    assert desk.publisher.messages[-1].ended


async def test_an_unpaced_replay_says_whom_it_waits_for_and_gives_up_when_nothing_moves(desk: Desk) -> None:
    desk.publisher.lags = {"data_pipeline": 300, "analysis_engine": 3}
    file_id = await desk.keep(lines(5000))
    replay = await desk.replays.start(replace(REQUEST, file_id=file_id))
    waited_for = {each.waiting_for async for each in desk.replays.stream(replay.replay_id)}
    assert waited_for == {"", "data_pipeline"}
    assert (replay.state, replay.failure_reason) == (ReplayState.FAILED, "PEER_UNAVAILABLE")
    assert replay.failure.startswith("data_pipeline has handled no tick for 2 s")
    assert replay.waiting_for == ""
    assert 0 < replay.ticks < 5000
    assert desk.publisher.messages[-1].ended
    assert desk.feed.sessions.feeding("EURUSD") is None


async def test_a_consumer_that_works_slowly_is_waited_for(desk: Desk) -> None:
    desk.publisher.lags = {"analysis_engine": 75}
    file_id = await desk.keep(lines(3000))
    replay = await desk.replays.start(replace(REQUEST, file_id=file_id))
    async for each in desk.replays.stream(replay.replay_id):  # longer in all than a standstill may take
        desk.publisher.lags["analysis_engine"] -= 1
        replay = each
    assert (replay.state, replay.ticks) == (ReplayState.COMPLETED, 3000)


async def test_a_reader_resumes_where_it_was_or_is_told_that_it_cannot(desk: Desk) -> None:
    file_id = await desk.keep(lines(20_000))
    replay = await ended(desk, await desk.replays.start(replace(REQUEST, file_id=file_id, session_id="res")))
    stream = desk.feed.stream_ticks(frozenset({"EURUSD"}), [("res", "EURUSD", 19_950)])
    item = await anext(stream)
    assert item is not None
    assert (item.batch.first_sequence, item.batch.last_sequence) == (19_951, 20_000)  # type: ignore[union-attr]
    with pytest.raises(FxError) as gone:
        desk.feed.stream_ticks(frozenset(), [(replay.replay_id, "EURUSD", 10)])
    assert gone.value.reason == "SEQUENCE_GONE"
