"""Ticks a second from a file to storage: the whole platform, with bars, signals, predictions and trading.

`python bench/replay.py [--rounds N] [--file FILE]`. The target is 10,000 ticks a second on two cores. Beside
it, in the same run, the bare lower layer: reading the same file and encoding its batches, without a bus.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1 import service_pb2_grpc as market_grpc
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1 import service_pb2_grpc as store_grpc

from bench._platform import SHARED_DATA, Running, platform
from services.market.clock import MarketClock
from services.market.formats import read_tick_blocks
from services.market_data import wire
from services.market_data.domain.history import TickMessage

TICKS = SHARED_DATA / "ticks" / "oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
BARS = SHARED_DATA / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz"
POLL_S = 0.5
"""Longer than a commit of the pipeline waits, so that two equal counts mean that all is stored."""


def bare(path: Path) -> float:
    """Ticks a second of reading and encoding alone."""
    began, count = time.monotonic(), 0
    with read_tick_blocks(path, block=2000) as blocks:
        for block in blocks:
            for batch in block.batch("bare").split(100):
                clock = MarketClock("bare", batch.times_ns[-1], 0.0, batch.last_sequence)
                wire.tick_event(TickMessage(batch, clock)).SerializeToString()
            count += len(block)
    return count / (time.monotonic() - began)


def whole(running: Running, path: Path) -> tuple[float, float, dict[str, int]]:
    """Ticks a second published, and stored with all bars made; what was stored."""
    # The stubs are typed for grpc.aio; at run time they take a plain channel as well.
    market_channel: Any = running.channel("market_data")
    store_channel: Any = running.channel("data_pipeline")
    market: Any = market_grpc.MarketDataServiceStub(market_channel)
    store = store_grpc.PipelineServiceStub(store_channel)
    began = time.monotonic()
    session = running.ask("replay", str(path), "--unpaced", "--detach")["replay"]["replayId"]
    request = marketdata.StreamReplayRequest(replay_id=session)
    *_, last = market.StreamReplay(request)
    published_s, ticks = time.monotonic() - began, last.replay.ticks_published
    counts, before = _counts(store, session), {"ticks": -1}
    while counts["ticks"] < ticks or counts != before:
        time.sleep(POLL_S)
        before, counts = counts, _counts(store, session)
    return ticks / published_s, ticks / (time.monotonic() - began), counts


def _counts(store: Any, session: str) -> dict[str, int]:
    report = store.GetStorageReport(pipeline.GetStorageReportRequest(source_id=session))
    return {each.name.rpartition(".")[2]: each.count for each in report.counts}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file", type=Path, default=TICKS)
    options = parser.parse_args()
    lower = statistics.median(bare(options.file) for _ in range(options.rounds))
    with platform("--symbols", "EURUSD") as running:
        running.ask("import", str(BARS), "--symbol", "EURUSD")
        running.ask("train", "--deploy")
        rounds = [whole(running, options.file) for _ in range(options.rounds)]
    published = statistics.median(each[0] for each in rounds)
    stored = statistics.median(each[1] for each in rounds)
    print(f"reading and encoding alone        {lower:12,.0f} ticks/s")
    print(f"published through JetStream       {published:12,.0f} ticks/s")
    print(f"stored, with bars and signals     {stored:12,.0f} ticks/s   target 10,000")
    print(f"stored / reading and encoding     {stored / lower:12.3f}")
    print("stored in the last round:", ", ".join(f"{name} {count}" for name, count in rounds[-1][2].items()))


if __name__ == "__main__":
    main()
