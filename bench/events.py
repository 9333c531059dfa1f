"""What the bus costs: publishing and consuming through it against bare nats-py moving the same bytes.

`python bench/events.py [--events N] [--rounds N] [--server PATH] [--profile publish|consume]`. Both sides
publish to a nats-server with file storage and wait for every acknowledgement; both consume by a continuous
pull, decode and acknowledge every message, the bus through `subscribe` with its headers and batches, the bare
side with the payload only. They take turns, so that a busy machine slows both; medians of the rounds
count. The ratio by processor time of this process is the one that other load on the machine does not move.
Making or finding the durables, which a process does once, is measured on an empty stream and taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import logging
import os
import pstats
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import nats
import structlog
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from nats.aio.msg import Msg
from nats.js import api

from bench.publish import BATCH, ROOT, batches, nats_server
from services.cli.nats import find_or_fetch
from services.runtime.bus import Link, NatsBus
from services.runtime.clock import WallClock
from services.runtime.policy import ServicePolicy, service_policy
from services.runtime.ports import Delivery, Subscription

TARGET = 0.85
PREFETCH = 256
MAX_BATCH = 64
BARE_SUBJECT = "bare.ticks"


@dataclass
class Side:
    """Seconds an event took, by the clock on the wall and of the processor, a round each."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def time(self, work: Callable[[], Awaitable[None]], events: int) -> None:
        """Do it once."""
        wall, cpu = time.perf_counter(), time.process_time()
        await work()
        self.wall.append((time.perf_counter() - wall) / events)
        self.cpu.append((time.process_time() - cpu) / events)


def report(name: str, ours: Side, bare: Side) -> None:
    """One line a side, and the ratios."""
    for what, side in (("bus", ours), ("bare", bare)):
        print(
            f"{name:8} {what:5} {1 / median(side.wall):9,.0f} events/s  "
            f"{1e6 * median(side.cpu):6.1f} us of processor an event"
        )
    by_wall = median(bare.wall) / median(ours.wall)
    by_cpu = median(bare.cpu) / median(ours.cpu)
    print(f"{name:8} ratio {by_wall:.2f} by wall, {by_cpu:.2f} by processor (target {TARGET})")


class Bench:
    """A bus, and a bare client beside it."""

    def __init__(self, url: str) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        log = structlog.get_logger()
        self.link = Link(url, "bench", log)
        self.link.open()
        publisher = service_policy("fxmesh.marketdata.v1.MarketDataService")
        self.bus = NatsBus(self.link, publisher, WallClock(), log)
        self._consumer = service_policy("fxmesh.pipeline.v1.PipelineService")
        self._url, self._log = url, log

    async def open(self) -> None:
        """Make the streams of both sides."""
        await self.bus.open()
        self.bare = await nats.connect(self._url)
        jetstream = self.bare.jetstream()
        await jetstream.add_stream(name="BARE", subjects=["bare.>"], max_bytes=1 << 30)

    async def publish_bare(self, payloads: Sequence[bytes]) -> None:
        """Pipelined, every acknowledgement awaited, as much under way as nats-py allows."""
        jetstream = self.bare.jetstream()
        waiting = [await jetstream.publish_async(BARE_SUBJECT, each) for each in payloads]
        await asyncio.gather(*waiting)

    async def consume_bare(self, count: int) -> None:
        """A continuous pull that is topped up at half, an acknowledgement a message."""
        client = self.bare
        jetstream = client.jetstream()
        await jetstream.add_consumer(
            "BARE",
            api.ConsumerConfig(
                durable_name="bare", ack_policy=api.AckPolicy.EXPLICIT, max_ack_pending=1000, ack_wait=30
            ),
        )
        inbox, done = client.new_inbox(), asyncio.Event()
        got, asked = 0, 0

        async def ask(more: int) -> None:
            nonlocal asked
            asked += more
            request = json.dumps({"batch": more, "expires": 30 * 10**9}).encode()
            await client.publish("$JS.API.CONSUMER.MSG.NEXT.BARE.bare", request, reply=inbox)

        async def on_message(message: Msg) -> None:
            nonlocal got, asked
            if not message.reply:
                return
            PriceTickReceived.FromString(message.data)
            await client.publish(message.reply, b"+ACK")
            got, asked = got + 1, asked - 1
            if got == count:
                done.set()
            elif asked < PREFETCH // 2:
                await ask(PREFETCH - asked)

        subscription = await client.subscribe(inbox, cb=on_message)
        await ask(PREFETCH)
        await done.wait()
        await subscription.unsubscribe()
        await jetstream.delete_consumer("BARE", "bare")
        await jetstream.purge_stream("BARE")

    async def consume_bus(self, count: int) -> Consuming:
        """A consuming service, ready; `Consuming.run` waits until it has handled everything."""
        return Consuming(self.link, self._consumer, self._log, count)


class Consuming:
    """One service that consumes ticks."""

    def __init__(
        self, link: Link, policy: ServicePolicy, log: structlog.typing.FilteringBoundLogger, count: int
    ) -> None:
        self._bus = NatsBus(link, policy, WallClock(), log)
        self._link = link
        self._left = count
        self._done = asyncio.Event()

    async def begin(self) -> None:
        """Find the durables and begin to pull."""
        await self._bus.subscribe(Subscription((PriceTickReceived,), self._handle, max_batch=MAX_BATCH))

    async def run(self) -> None:
        """From the subscription to the last acknowledgement."""
        await self.begin()
        await self._done.wait()

    async def end(self) -> None:
        """Leave nothing behind."""
        await self._bus.drain()
        jetstream = (await self._link.session()).jetstream
        await jetstream.purge_stream("MARKETDATA_MARKET")

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        self._left -= len(deliveries)
        if self._left == 0:
            self._done.set()


async def measure(url: str, events: int, rounds: int, profile: str) -> None:
    """Run the rounds and print what came of them."""
    bench = Bench(url)
    await bench.open()
    warm = await bench.consume_bus(events)
    await bench.bus.publish_many(batches("warm", events))
    await warm.run()  # the sixteen durables are made, which takes its time once
    await warm.end()
    published, consumed, begun = (Side(), Side()), (Side(), Side()), Side()
    profiler = cProfile.Profile()
    for number in range(rounds):
        made = batches(f"s-{number}", events)
        payloads = [each.SerializeToString() for each in made]

        async def publish(made: list[PriceTickReceived] = made) -> None:
            await bench.bus.publish_many(made)

        async def publish_bare(payloads: list[bytes] = payloads) -> None:
            await bench.publish_bare(payloads)

        idle = await bench.consume_bus(events)
        await begun.time(idle.begin, events)
        await idle.end()
        consuming = await bench.consume_bus(events)
        if profile == "publish":
            profiler.enable()
        await published[0].time(publish, events)
        profiler.disable()
        await published[1].time(publish_bare, events)
        if profile == "consume":
            profiler.enable()
        await consumed[0].time(consuming.run, events)
        profiler.disable()
        await consuming.end()
        await consumed[1].time(lambda: bench.consume_bare(events), events)
    await bench.bare.close()
    await bench.link.close()
    size = len(batches("size", 1)[0].SerializeToString())
    print(f"{events:,} batches of {BATCH} ticks, {size} bytes each, median of {rounds} rounds")
    print(f"durables found in {1e3 * events * median(begun.wall):.0f} ms")
    report("publish", *published)
    consumed[0].wall = [each - median(begun.wall) for each in consumed[0].wall]
    consumed[0].cpu = [each - median(begun.cpu) for each in consumed[0].cpu]
    report("consume", *consumed)
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(28)


def main() -> None:
    """Read the arguments, start a server, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", type=Path, help="nats-server to use; default: as `fxmesh up`")
    parser.add_argument("--profile", choices=("publish", "consume"), default="")
    arguments = parser.parse_args()
    program = arguments.server or find_or_fetch(ROOT / ".tools", os.environ, print).path
    with nats_server(program) as url:
        asyncio.run(measure(url, arguments.events, arguments.rounds, arguments.profile))


if __name__ == "__main__":
    main()
