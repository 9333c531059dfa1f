"""Ticks a second through analysis: a tick file through decode, handlers and encode, publishing to nobody.

`python bench/analysis.py [FILE] [--profile]`. The target is 15,000 ticks a second in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from fxmesh.marketdata.v1 import events_pb2

from services.analysis_engine import wire
from services.analysis_engine.adapters.store import SqliteStore
from services.analysis_engine.compose import plan_of
from services.analysis_engine.config import Settings
from services.analysis_engine.domain.signals import Finding, Prediction
from services.analysis_engine.handlers import Feeds, Predictions, Record, Ticks, WarmUp
from services.analysis_engine.handlers.predictions import Patience
from services.analysis_engine.ports import Importance, PredictionRequest
from services.errors import FxError, Kind
from services.market.formats import read_tick_blocks
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.runtime.clock import WallClock
from services.runtime.traces import ContextTracer
from services.tracing import Story

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = ROOT.parent / "shared/data/ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
TARGET = 15_000
BATCH, DELIVERIES = 100, 16


class Nowhere:
    """Publisher, history, inference and replays of an otherwise empty platform."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()

    async def publish(self, findings: Sequence[Finding], stories: Mapping[str, Story]) -> None:
        """Encode as for the bus, then forget."""
        for finding in findings:
            event = wire.event(finding)
            event.SerializeToString()
            self.published[event.DESCRIPTOR.name] += 1

    async def last(
        self, symbol: str, timeframe: Timeframe, digits: int, before_ns: int, count: int, timeout_s: float
    ) -> list[Bar]:
        """No history."""
        return []

    async def predict(self, request: PredictionRequest, timeout_s: float) -> Prediction:
        """No model."""
        raise FxError(Kind.FAILED_PRECONDITION, "NO_MODEL", "none")

    async def importance(
        self, symbol: str, timeframe: Timeframe, endpoint: str, timeout_s: float
    ) -> Importance:
        """No model."""
        raise FxError(Kind.NOT_FOUND, "UNKNOWN_ENDPOINT", "none")

    async def acknowledge(
        self, session_id: str, symbol: str, sequence: int, signals: int, *, ended: bool
    ) -> None:
        """No lockstep replay."""
        raise FxError(Kind.FAILED_PRECONDITION, "REPLAY_NOT_LOCKSTEP", "none")


def payloads(path: Path) -> list[bytes]:
    """The file as PriceTickReceived payloads, the last one ending the session."""
    events, sequence, symbol = [], 0, ""
    with read_tick_blocks(path, block=BATCH) as blocks:
        for block in blocks:
            batch = block.batch("bench")
            if not len(batch):
                continue
            sequence, symbol = batch.last_sequence, batch.symbol
            event = events_pb2.PriceTickReceived(
                session_id="bench",
                symbol=symbol,
                first_sequence=batch.first_sequence,
                last_sequence=sequence,
            )
            first, ticks = batch.times_ns[0], event.ticks
            ticks.price_exponent, ticks.first_time_ns = -batch.digits, first
            ticks.time_offset_ns.extend(time_ns - first for time_ns in batch.times_ns)
            ticks.bid.extend(batch.bids)
            ticks.ask.extend(batch.asks)
            event.clock.session_id = "bench"
            event.clock.time.FromNanoseconds(batch.times_ns[-1])
            event.clock.sequence = sequence
            events.append(event.SerializeToString())
    return events


async def run(events: Sequence[bytes], folder: Path) -> tuple[float, float, Counter[str], int]:
    """Seconds of wall and processor, events published by kind, ticks."""
    nowhere, clock, log = Nowhere(), WallClock(), structlog.get_logger()
    plan = plan_of(Settings())
    store = SqliteStore(folder / "analysis.db")
    feeds = Feeds(plan, store, WarmUp(nowhere, clock, log, plan.computed_on, 1.0), clock)
    predictions = Predictions(nowhere, clock, log, Patience())
    ticks = Ticks(feeds, predictions, nowhere, nowhere, Record(), clock, log, ContextTracer(), 2.0)
    started, busy = time.perf_counter(), time.process_time()
    for start in range(0, len(events), DELIVERIES):
        part = events[start : start + DELIVERIES]
        await ticks.handle([wire.heard(events_pb2.PriceTickReceived.FromString(each)) for each in part])
    elapsed, busy = time.perf_counter() - started, time.process_time() - busy
    store.close()
    return elapsed, busy, nowhere.published, ticks.ticks


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_FILE)
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    arguments = parser.parse_args()
    events = payloads(arguments.file)
    with tempfile.TemporaryDirectory() as folder:
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        elapsed, busy, published, ticks = asyncio.run(run(events, Path(folder)))
        profile.disable()
    rate = ticks / elapsed
    print(
        f"{ticks:,} ticks in {elapsed:.1f} s: {rate:,.0f} ticks/s, {rate / TARGET:.1f} x {TARGET:,} aimed at"
        f" ({busy:.1f} s of processor)"
    )
    for name, count in sorted(published.items()):
        print(f"  {name:22} {count:,}")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
