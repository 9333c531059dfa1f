"""The composed service: events in over the bus, calls over channels with the whole plan of the mesh around
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fxmesh.analysis.v1 import events_pb2, service_pb2
from fxmesh.marketdata.v1 import events_pb2 as market_events_pb2
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.message import Message
from prometheus_client import generate_latest

from services.errors import FxError, Kind
from services.wire.timeframes import TIMEFRAME_OF
from services.wire.times import timestamp
from tests.analysis_engine.peers import Platform, platform
from tests.analysis_engine.world import file_batch, ticks_at


async def test_a_replay_gives_signals_with_predictions_and_is_acknowledged(
    shared_data: Path, tmp_path: Path
) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:6_000]
    async with platform(tmp_path) as world:
        for batch in part.split(100):
            await world.feed(batch)
        assert not world.broker.dead_letters
        signals = world.of(events_pb2.SignalGenerated)
        assert len(signals) > 3
        first = signals[0].signal
        assert first.signal_id == f"file:EURUSD:1m:{first.strategy}:{first.signal_id.rpartition(':')[2]}"
        assert first.prediction.model_version == 3
        up = first.side == types_pb2.SIDE_BUY
        assert first.prediction.probability == pytest.approx(0.7 if up else 0.3)
        assert [each.feature for each in first.prediction.contributions] == ["macd"]
        assert ("model gain share of macd", 0.6) in [(each.name, each.value) for each in first.evidence]
        predicted = [each for each in signals if each.signal.prediction.model_version]
        assert (world.inference.importance_requests, len(world.inference.requests)) == (1, len(predicted))
        asked = world.inference.requests[0]
        assert asked.contributions
        assert asked.prediction_id == asked.signal_id == first.signal_id
        # Warmed up from the pipeline with what was before the first tick, every timeframe from a minute on.
        assert [TIMEFRAME_OF[each.timeframe].text for each in world.pipeline.requests] == [
            "1m", "5m", "15m", "30m", "1h", "4h", "1d",
        ]  # fmt: skip
        assert all(
            each.latest and each.end.seconds <= part.times_ns[0] / 1e9 for each in world.pipeline.requests
        )
        # Acknowledged batch by batch, with the signals so far.
        acknowledged = [(each.sequence, each.signal_count) for each in world.market_data.acknowledged]
        assert [sequence for sequence, _ in acknowledged] == list(range(100, 6_001, 100))
        assert acknowledged[-1][1] == len(signals) == signals[-1].signal.session_signal_number
        bars = [each.bar for each in world.of(events_pb2.BarClosed)]
        assert all(each.tick_count for each in bars)  # none of them is a stored one


async def test_questions_are_answered(shared_data: Path, tmp_path: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:20_000]
    async with platform(tmp_path) as world:
        for batch in part.split(1_000):
            await world.feed(batch)
        stub, published = world.stub, world.of(events_pb2.BarClosed)
        minutes = [each.bar for each in published if each.timeframe == types_pb2.TIMEFRAME_M1]
        bars = await stub.ListBars(service_pb2.ListBarsRequest(symbol="EURUSD", limit=50))
        assert (list(bars.bars), bars.session_id) == (minutes[-50:], "file")
        request = service_pb2.ListBarsRequest(symbol="EURUSD", limit=3, include_open=True, session_id="file")
        with_open = (await stub.ListBars(request)).bars
        assert list(with_open[:2]) == minutes[-2:]
        assert with_open[2].partial
        seconds = service_pb2.ListBarsRequest(symbol="EURUSD", timeframe=types_pb2.TIMEFRAME_S1, limit=1_000)
        assert len((await stub.ListBars(seconds)).bars) == 600

        snapshots = [
            each.snapshot
            for each in world.of(events_pb2.IndicatorCalculated)
            if each.timeframe == types_pb2.TIMEFRAME_M1
        ]
        answer = await stub.ListIndicators(service_pb2.ListIndicatorsRequest(symbol="EURUSD", limit=5))
        assert list(answer.snapshots) == snapshots[-5:]
        one = service_pb2.ListIndicatorsRequest(symbol="EURUSD", indicator=["ema( 7 )", "macd"])
        (named,) = (await stub.ListIndicators(one)).snapshots
        assert [each.indicator for each in named.indicators] == ["ema(7)", "macd(12,26,9)"]
        assert set(named.indicators[1].values) == {"macd", "signal", "histogram"}

        signals = [each.signal for each in world.of(events_pb2.SignalGenerated)]
        newest = await stub.ListSignals(service_pb2.ListSignalsRequest(symbol=["EURUSD"], limit=4))
        assert list(newest.signals) == signals[::-1][:4]
        only = service_pb2.ListSignalsRequest(
            strategy="breakout", timeframe=[types_pb2.TIMEFRAME_M15], session_id="file"
        )
        for each in (await stub.ListSignals(only)).signals:
            assert (each.strategy, each.timeframe) == ("breakout", types_pb2.TIMEFRAME_M15)
        found = await stub.GetSignal(service_pb2.GetSignalRequest(signal_id=signals[0].signal_id))
        assert found.signal == signals[0]

        patterns = [each.pattern for each in world.of(events_pb2.PatternDetected)]
        listed = await stub.ListPatterns(service_pb2.ListPatternsRequest(limit=1_000))
        assert list(listed.patterns) == patterns[::-1]
        definitions = (
            await stub.ListIndicatorDefinitions(service_pb2.ListIndicatorDefinitionsRequest())
        ).definitions
        assert {each.name: each.default_form for each in definitions}["bollinger"] == "bollinger(20,2)"
        strategies = (await stub.ListStrategies(service_pb2.ListStrategiesRequest())).strategies
        assert [each.name for each in strategies] == ["trend", "mean_reversion", "breakout"]
        assert strategies[0].parameters["slow"] == 26
        text = generate_latest(world.registry).decode()
        assert 'fxmesh_analysis_ticks_total{fate="taken"} 20000.0' in text
        assert f'fxmesh_analysis_bars_total{{timeframe="1m"}} {len(minutes)}.0' in text


async def test_streams_show_what_is_published_and_beat(shared_data: Path, tmp_path: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:6_000]
    async with platform(tmp_path) as world:
        stub = world.stub
        bars: Any = stub.StreamBars(service_pb2.StreamBarsRequest(symbol=["EURUSD"]))
        snapshots: Any = stub.StreamIndicators(
            service_pb2.StreamIndicatorsRequest(timeframe=[types_pb2.TIMEFRAME_M5])
        )
        patterns: Any = stub.StreamPatterns(service_pb2.StreamPatternsRequest())
        signals: Any = stub.StreamSignals(service_pb2.StreamSignalsRequest(symbol=["EURUSD"]))
        others: Any = stub.StreamSignals(service_pb2.StreamSignalsRequest(symbol=["USDJPY"]))
        first = [
            asyncio.ensure_future(_first(bars, "bar")),
            asyncio.ensure_future(_first(snapshots, "snapshot")),
            asyncio.ensure_future(_first(patterns, "pattern")),
            asyncio.ensure_future(_first(signals, "signal")),
        ]
        beat = asyncio.ensure_future(anext(aiter(others)))
        await _until(lambda: _readers(world) == 5)
        await world.feed(part)
        bar, snapshot, pattern, signal = await asyncio.gather(*first)
        assert bar.bar == world.of(events_pb2.BarClosed)[0].bar
        assert bar.session_id == "file"
        assert snapshot.snapshot.timeframe == types_pb2.TIMEFRAME_M5
        assert pattern.pattern == world.of(events_pb2.PatternDetected)[0].pattern
        assert signal.signal == world.of(events_pb2.SignalGenerated)[0].signal
        assert not (await beat).HasField("signal")
        for each in (bars, snapshots, patterns, signals, others):
            await each.aclose()


@pytest.mark.parametrize("speed", [0.0, 1.0], ids=["replay", "live"])
async def test_bars_of_seconds_are_streamed_as_they_are_listed(tmp_path: Path, speed: float) -> None:
    async with platform(tmp_path) as world:
        wanted = [types_pb2.TIMEFRAME_S1, types_pb2.TIMEFRAME_M1]
        stream: Any = world.stub.StreamBars(
            service_pb2.StreamBarsRequest(symbol=["EURUSD"], timeframe=wanted)
        )
        counts = (4, 1) if speed else (3, 1)  # the clock of a live feed closes the last one too
        reading = asyncio.ensure_future(_take(stream, "bar", sum(counts)))
        await _until(lambda: _readers(world) == 1)
        await world.feed(ticks_at((1, 2, 2.5, 61, 62)), speed=speed)
        await _tell_time(world, 70, 5)
        async with asyncio.timeout(10):
            streamed = await reading
        for frame, count in zip(wanted, counts, strict=True):
            listed = await world.stub.ListBars(service_pb2.ListBarsRequest(symbol="EURUSD", timeframe=frame))
            shown = [each.bar for each in streamed if each.bar.timeframe == frame]
            assert shown == list(listed.bars)
            assert len(shown) == count
        assert {each.session_id for each in streamed} == {"s1"}
        assert not [each for each in world.of(events_pb2.BarClosed) if each.timeframe == wanted[0]]
        await stream.aclose()


async def _take(stream: Any, content: str, count: int) -> list[Any]:
    return [await _first(stream, content) for _ in range(count)]


async def _tell_time(world: Platform, second: float, sequence: int) -> None:
    clock = types_pb2.MarketClock(session_id="s1", time=timestamp(round(second * 1e9)), speed=1.0)
    clock.sequence = sequence
    update = market_events_pb2.MarketDataUpdated(
        session_id="s1",
        symbol="EURUSD",
        revision=round(second * 10),
        quote=market_pb2.Quote(),
        clock=clock,
    )
    await world.market_bus.publish(update)
    await world.broker.drain()


async def _first(stream: Any, content: str) -> Any:
    """The first message that is no heartbeat."""
    async for message in stream:
        if message.HasField(content):
            return message
    raise AssertionError("the stream ended")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what it looks at has no event
            await asyncio.sleep(0)


def _readers(world: Platform) -> int:
    record = world.service.servicer._queries._record  # type: ignore[attr-defined]
    return sum(map(len, (record.bars, record.snapshots, record.patterns, record.signals)))


@pytest.mark.parametrize(
    ("method", "request_", "kind", "reason"),
    [
        (
            "ListBars",
            service_pb2.ListBarsRequest(symbol="eurusd"),
            Kind.INVALID_ARGUMENT,
            "VALIDATION_FAILED",
        ),
        ("ListBars", service_pb2.ListBarsRequest(symbol="AAABBB"), Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL"),
        (
            "ListBars",
            service_pb2.ListBarsRequest(symbol="EURUSD", session_id="no-such"),
            Kind.NOT_FOUND,
            "UNKNOWN_SESSION",
        ),
        (
            "ListIndicators",
            service_pb2.ListIndicatorsRequest(symbol="EURUSD", indicator=["emma(3)"]),
            Kind.INVALID_ARGUMENT,
            "UNKNOWN_INDICATOR",
        ),
        (
            "ListIndicators",
            service_pb2.ListIndicatorsRequest(symbol="EURUSD", indicator=["ema(1e3)"]),
            Kind.INVALID_ARGUMENT,
            "BAD_PARAMETER",
        ),
        (
            "ListIndicators",
            service_pb2.ListIndicatorsRequest(symbol="EURUSD", indicator=["ema(20)"]),
            Kind.FAILED_PRECONDITION,
            "NOT_ENOUGH_BARS",
        ),
        (
            "GetSignal",
            service_pb2.GetSignalRequest(signal_id="r1:EURUSD:1h:trend:20140501T1300Z"),
            Kind.NOT_FOUND,
            "UNKNOWN_SIGNAL",
        ),
        (
            "ListSignals",
            service_pb2.ListSignalsRequest(strategy="martingale"),
            Kind.INVALID_ARGUMENT,
            "UNKNOWN_STRATEGY",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_wrong_questions_are_refused_with_their_reason(
    tmp_path: Path, method: str, request_: Message, kind: Kind, reason: str
) -> None:
    async with platform(tmp_path) as world:
        with pytest.raises(FxError) as refused:
            await getattr(world.stub, method)(request_)
        assert (refused.value.kind, refused.value.reason) == (kind, reason)


async def test_progress_is_what_is_published_and_outlives_the_process(
    shared_data: Path, tmp_path: Path
) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:3_000]
    asked = service_pb2.GetSessionProgressRequest(session_id="file")
    async with platform(tmp_path) as world:
        with pytest.raises(FxError, match="UNKNOWN_SESSION"):
            await world.stub.GetSessionProgress(asked)
        await world.feed(part)
        half = await world.stub.GetSessionProgress(asked)
        assert [(each.sequence, each.session_ended) for each in half.feeds] == [(3_000, False)]
        await world.feed(part[3_000:], ended=True)
        over = await world.stub.GetSessionProgress(asked)
        assert [(each.symbol, each.session_ended) for each in over.feeds] == [("EURUSD", True)]
        assert over.signal_count == len(world.of(events_pb2.SignalGenerated)) > 0
    async with platform(tmp_path) as world:
        assert await world.stub.GetSessionProgress(asked) == over


async def test_before_the_first_tick_there_are_no_bars(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        answer = await world.stub.ListBars(service_pb2.ListBarsRequest(symbol="EURUSD"))
        assert (list(answer.bars), answer.session_id) == ([], "")


async def test_absent_peers_stop_nothing(shared_data: Path, tmp_path: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:10_000]
    async with platform(tmp_path) as world:
        for name in ("pipeline.v1.Pipeline", "inference.v1.Inference", "marketdata.v1.MarketData"):
            world.channels.withdraw(f"fxmesh.{name}Service")
        for batch in part.split(1_000):
            await world.feed(batch, speed=10.0)
        assert not world.broker.dead_letters
        assert len(world.of(events_pb2.BarClosed)) > 200
        assert world.of(events_pb2.SignalGenerated)


async def test_a_live_feed_closes_bars_of_a_quiet_symbol_by_its_clock(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await world.feed(ticks_at((10, 20, 59)), speed=1.0)
        for second, bars in ((60, 0), (61.9, 0), (62, 1), (200, 1)):
            await _tell_time(world, second, 3)
            closed = [
                each for each in world.of(events_pb2.BarClosed) if each.timeframe == types_pb2.TIMEFRAME_M1
            ]
            assert len(closed) == bars, second
        assert not world.market_data.acknowledged


async def test_a_book_leans_into_the_evidence(shared_data: Path, tmp_path: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:4_000]
    async with platform(tmp_path) as world:
        await world.feed(part[:100], speed=1.0)
        book = market_pb2.OrderBook(session_id="file", symbol="EURUSD", sequence=100)
        book.bids.add(price="1.38000", size="3000000")
        book.asks.add(price="1.38010", size="1000000")
        await world.market_bus.publish(
            market_events_pb2.OrderBookUpdated(session_id="file", symbol="EURUSD", revision=1, book=book)
        )
        await world.feed(part[100:], speed=1.0)
        evidence = world.of(events_pb2.SignalGenerated)[0].signal.evidence
        assert (evidence[-1].name, evidence[-1].value) == ("order book imbalance", 0.5)
