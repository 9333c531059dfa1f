"""Ticks a second onto the bus: batches of 100 through `Bus.publish_many`, against bare nats-py with the same
bytes.

`python bench/publish.py [--batches N] [--rounds N] [--server PATH]`. The target is 50,000 ticks a second.
Both sides wait for every acknowledgement of a nats-server of their own with file storage; the best of the
rounds counts, taken in turns so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from fxmesh.types.v1.market_pb2 import TickColumns

from services.cli.nats import find_or_fetch, write_config
from services.runtime.bus import Link, NatsBus
from services.runtime.bus.envelope import Envelope, Envelopes
from services.runtime.clock import WallClock
from services.runtime.policy import ServicePolicy, service_policy

ROOT = Path(__file__).resolve().parent.parent
TARGET = 50_000
BATCH = 100
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD")


def batches(session: str, count: int) -> list[PriceTickReceived]:
    """Batches of `BATCH` ticks of four symbols in turn, every one with an id of its own."""
    events = []
    for number in range(count):
        first = number // len(SYMBOLS) * BATCH + 1
        columns = TickColumns(
            price_exponent=-5,
            first_time_ns=1_398_902_400_000_000_000,
            time_offset_ns=range(0, BATCH * 250_000_000, 250_000_000),
            bid=(138_000 + step % 37 for step in range(BATCH)),
            ask=(138_012 + step % 37 for step in range(BATCH)),
        )
        events.append(
            PriceTickReceived(
                session_id=session,
                symbol=SYMBOLS[number % len(SYMBOLS)],
                first_sequence=first,
                last_sequence=first + BATCH - 1,
                ticks=columns,
            )
        )
    return events


async def through_the_bus(bus: NatsBus, events: Sequence[PriceTickReceived]) -> float:
    """Seconds from the events to the last acknowledgement."""
    started = time.perf_counter()
    await bus.publish_many(events)
    return time.perf_counter() - started


async def through_bare_nats(link: Link, envelopes: Sequence[Envelope]) -> float:
    """The same for envelopes that are ready made: encoding, ids and headers cost it nothing."""
    jetstream = (await link.session()).client.jetstream()
    started = time.perf_counter()
    acknowledged = [
        await jetstream.publish_async(each.subject, each.payload, headers=dict(each.headers))
        for each in envelopes
    ]
    await asyncio.gather(*acknowledged)
    return time.perf_counter() - started


async def measure(url: str, count: int, rounds: int) -> None:
    """Run the rounds and print what came of them."""
    log = structlog.get_logger()
    link = Link(url, "bench", log)
    link.open()
    policy = service_policy("fxmesh.marketdata.v1.MarketDataService")
    bus = NatsBus(link, policy, WallClock(), log)
    await bus.open()
    ours, bare = [], []
    for number in range(rounds):
        ours.append(await through_the_bus(bus, batches(f"bus-{number}", count)))
        bare.append(await through_bare_nats(link, _envelopes(policy, f"bare-{number}", count)))
    await link.close()
    ticks = count * BATCH
    size = len(batches("bus-0", 1)[0].SerializeToString())
    rate = ticks / min(ours)
    print(f"{count:,} batches of {BATCH} ticks, {size} bytes each, best of {rounds} rounds")
    print(f"bus        {rate:12,.0f} ticks/s   (target {TARGET:,}: {rate / TARGET:.1f} x)")
    print(f"bare nats  {ticks / min(bare):12,.0f} ticks/s   (messages made beforehand)")
    print(f"ratio      {min(bare) / min(ours):12.2f}")


def _envelopes(policy: ServicePolicy, session: str, count: int) -> list[Envelope]:
    make = Envelopes(policy, WallClock())
    return [make.wrap(event) for event in batches(session, count)]


@contextmanager
def nats_server(program: Path) -> Iterator[str]:
    """A server on a free port with a store in a temporary folder; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="bench-nats-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        config = Path(folder, "nats.conf")
        write_config(config, "127.0.0.1", port, Path(folder, "store"))
        process = subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL)
        try:
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Read the arguments, start a server, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", type=Path, help="nats-server to use; default: as `fxmesh up`")
    arguments = parser.parse_args()
    program = arguments.server or find_or_fetch(ROOT / ".tools", os.environ, print).path
    with nats_server(program) as url:
        asyncio.run(measure(url, arguments.batches, arguments.rounds))


if __name__ == "__main__":
    main()
