"""Thousands of processes inside one: trading as composed, on its real database file, ends at crash points and
is born again on the file as the crash left it.

All of it runs on one thread and in virtual time, in an order that follows from the seed. At a crash point the
file is copied as it lies there, write-ahead log and all, which is what a killed process leaves; what the
dying still does reaches neither the copy nor the bus nor a caller.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.analysis.v1.service_pb2_grpc import add_AnalysisServiceServicer_to_server
from fxmesh.marketdata.v1.service_pb2_grpc import add_MarketDataServiceServicer_to_server
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from prometheus_client import CollectorRegistry

from interceptors.plan import Place
from interceptors.standard import server_concerns, steady_client_concerns
from services.crash import POINTS, watch
from services.errors import FxError
from services.runtime import store
from services.runtime.bus.envelope import Envelopes
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.memory_bus import _Stored
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Mesh
from services.runtime.policy import service_policy
from services.trading_gateway import compose as composition
from services.trading_gateway.adapters import simulated_venue
from services.trading_gateway.adapters.schema import Schema
from tests.kill.inline import InlineStore, LoopClock, Stream, connect
from tests.kill.load import PASSING, Load
from tests.kill.market import LIVE, REPLAY, Analysis, Market
from tests.kill.settings import SETTINGS
from tests.kill.venue import VENUE_FILE
from tests.kill.verdict import FILE, Books, judge, unheard, unpublished
from tests.kit.events import quiet_log
from tests.kit.virtual_time import VirtualLoop

TRADING = "fxmesh.trading.v1.TradingService"
AGAIN = 12
"""As many of the last signals are delivered again to a process that is born."""
LONGEST_S = 36_000.0
"""Virtual time in which a run must come to its end."""


class Crash(BaseException):
    """The process ends here: no error, so that nothing that handles errors takes it for one."""


@dataclass
class Plan:
    """Where a life ends: at the `left`-th arrival at a point of that name, or (no name) at any."""

    name: str = ""
    left: int = 0

    def hit(self, point: str) -> bool:
        if self.left and self.name in ("", point):
            self.left -= 1
            return self.left == 0
        return False


def drawn(random: Random) -> Iterator[Plan]:
    """By name, so that rare points have their share, or by count, so that any moment has."""
    while True:
        if random.random() < 0.6:
            yield Plan(random.choice(tuple(POINTS)), random.randint(1, 3))
        else:
            yield Plan("", random.randint(1, 120))


class Ground:
    """What is there before and after every process: peers, the bus, time."""

    def __init__(self, load: Load) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.stream = Stream(self.clock)
        self.ids, self.metrics = CountedIds("call"), CollectorRegistry()
        server = dict(server_concerns(self.ids, self.metrics, limits=None))
        client = dict(steady_client_concerns(self.ids, self.metrics))
        for concerns in (server, client):
            del concerns[Place.DEADLINE]  # the wall's, which has no part in this
        self.channels = MemoryChannels(server, client)
        market: Any = Market(load.feed)  # type: ignore[abstract] # only what trading calls
        self.channels.serve(add_MarketDataServiceServicer_to_server, market)
        analysis: Any = Analysis()  # type: ignore[abstract] # the same
        self.channels.serve(add_AnalysisServiceServicer_to_server, analysis)
        self.stub: Any = TradingServiceStub(self.channels.to(TRADING))
        """Calls whichever process there is."""
        self.schema = Schema()
        self.signals = load.history.signals
        self._wrap = Envelopes(service_policy("fxmesh.analysis.v1.AnalysisService"), self.clock).wrap

    def delivered(self, event: SignalGenerated) -> _Stored:
        """An event as the bus hands it on."""
        return _Stored(self._wrap(event, None), 1)


class Life:
    """One process. It is dead once `died` is done."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.folder = folder
        self.died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.up = False
        self._ground = ground
        policy = service_policy(TRADING)
        self.bus = ground.stream.bus(policy)
        mesh = Mesh(
            service=policy,
            bus=self.bus,
            channels=ground.channels,
            registry=MemoryRegistry(),
            clock=ground.clock,
            ids=ground.ids,
            health=Health(),
            data_dir=folder,
            metrics=CollectorRegistry(),
            log=quiet_log(),
        )
        self.stores: list[InlineStore] = []
        """The gateway's, and that of its venue."""

        def opened(path: Path, schema: Any) -> InlineStore:
            self.stores.append(InlineStore.inline(path, schema))
            return self.stores[-1]

        with (
            patch.object(store, "_connect", connect),
            patch.object(composition, "open_database", lambda _, path, schema, __: opened(path, schema)),
            patch.object(simulated_venue, "SqliteStore", SimpleNamespace(open=opened)),
            patch.object(composition, "Schema", lambda: ground.schema),
        ):
            self.service = composition.compose(SETTINGS, mesh)
        ground.channels.serve(self.service.add_to_server, self.service.servicer)

    async def live(self) -> None:
        """Come up and stay."""
        await self.service.start()
        background = [asyncio.ensure_future(each()) for each in self.service.background]
        await self.bus.subscribe(*self.service.subscriptions)
        self.up = True
        for each in self._ground.signals[-AGAIN:]:
            self.hear(each)
        await asyncio.gather(*background)

    def hear(self, event: SignalGenerated) -> None:
        """An event is delivered, perhaps not for the first time."""
        if self.up:
            self.bus.offer(self._ground.delivered(event))


class Lives:
    """A run: one load, and as many processes after each other as it takes."""

    def __init__(self, folder: Path, seed: int, steps: int, plans: Iterator[Plan] | None = None) -> None:
        """`plans`: where lives end, in turn, and none after the last; None: wherever the seed has it."""
        self.load = Load(seed, steps)
        self.crashes: list[str] = []
        """Where each life ended, in their order."""
        self._folder = folder
        self._plans = drawn(Random(f"{seed}-crashes")) if plans is None else plans
        self.ground = Ground(self.load)
        self._life: Life | None = None
        self._born = asyncio.Condition()
        self._plan = Plan()
        self._peace = False
        self._outside: set[asyncio.Task[Any]] = set()
        """Tasks that are no part of any process."""

    async def run(self) -> list[str]:
        """Everything that is wrong at the end."""
        asyncio.get_running_loop().set_exception_handler(_unless_crashed)
        watch(self._reached)
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._run()
        finally:
            watch(None)

    async def call(self, method: str, request: Any) -> Any:
        """As `Caller`."""
        while True:
            life = await self._living()
            attempt = asyncio.ensure_future(getattr(self.ground.stub, method)(request))
            await asyncio.wait({attempt, life.died}, return_when=asyncio.FIRST_COMPLETED)
            if life.died.done():
                attempt.cancel()
                continue
            try:
                return attempt.result()
            except FxError as failure:
                if failure.kind not in PASSING:
                    raise
                await asyncio.sleep(0.2)

    async def publish(self, event: SignalGenerated) -> None:
        """As `Caller`."""
        if self._life is not None:
            self._life.hear(event)

    # Inside

    async def _run(self) -> list[str]:
        people = [asyncio.ensure_future(each()) for each in self.load.people(self)]
        using = asyncio.ensure_future(asyncio.wait(people))
        own = asyncio.current_task()
        assert own is not None
        self._outside |= {own, using, *people}
        number = 0
        while True:
            number += 1
            folder = self._folder / f"{number}"
            folder.mkdir(exist_ok=True)
            over = await self._live(folder, using)
            shutil.rmtree(self._folder / f"{number - 1}", ignore_errors=True)
            for each in people:
                if each.done():
                    each.result()
            if over:
                return self._judge(folder)

    async def _live(self, folder: Path, using: asyncio.Task[Any]) -> bool:
        """One process from its birth to its end; True when it ended in peace, with nothing left to do."""
        self._plan = Plan() if self._peace else next(self._plans, Plan())
        life = Life(self.ground, folder)
        async with self._born:
            self._life = life
            self._born.notify_all()
        living, resting = asyncio.ensure_future(life.live()), asyncio.ensure_future(self._rest(life, using))
        ends: set[asyncio.Future[Any]] = {living, life.died, resting}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        died = life.died.done()
        if not died:
            if living.done():
                living.result()
            resting.result()  # what went wrong in it
        published = len(self.ground.stream.published)
        await self._stop(life)
        if died:
            assert len(self.ground.stream.published) == published, "the dead publish"
            for each in life.stores:
                await each.close()
        else:
            await life.service.close()
        self._life = None
        return not died

    async def _stop(self, life: Life) -> None:
        """Whatever the process still does is stopped."""
        while rest := asyncio.all_tasks() - self._outside:
            for each in rest:
                each.cancel()
            await asyncio.wait(rest)
            for each in rest:
                _ = each.cancelled() or each.exception()
        self.ground.stream._buses.remove(life.bus)

    def _reached(self, point: str, of: tuple[str, ...]) -> None:
        life = self._life
        if life is None or life.died.done():
            raise Crash(point)
        if self._plan.hit(point):
            self._die(life, point)
            raise Crash(point)

    def _die(self, life: Life, point: str) -> None:
        """The next life begins with the file as it is now."""
        following = life.folder.parent / f"{int(life.folder.name) + 1}"
        following.mkdir()
        for name in (FILE, f"{FILE}-wal", VENUE_FILE, f"{VENUE_FILE}-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(life.folder / name, following / name)
        self.crashes.append(point)
        life.died.set_result(point)

    async def _living(self) -> Life:
        async with self._born:
            await self._born.wait_for(lambda: self._life is not None and not self._life.died.done())
        assert self._life is not None
        return self._life

    async def _rest(self, life: Life, using: asyncio.Task[Any]) -> None:
        """Return once the load is over and all that it led to is done."""
        await asyncio.wait({using})
        self._peace, self._plan = True, Plan()
        for each in self.load.history.signals:
            life.hear(each)
        while not await self._settled(life):  # noqa: ASYNC110 what it looks at has no event
            await asyncio.sleep(0.5)

    async def _settled(self, life: Life) -> bool:
        try:
            for session in (LIVE, REPLAY):
                asked = pb.GetSessionProgressRequest(session_id=session)
                progress = await self.ground.stub.GetSessionProgress(asked)
                if progress.undecided_signal_count or not self.load.read(session, progress.feeds):
                    return False
        except FxError:
            return False
        return not (life.bus.busy or unpublished(life.folder / FILE) or unheard(life.folder))

    def _judge(self, folder: Path) -> list[str]:
        self.file, published = folder / FILE, self.ground.stream.published
        return judge(Books(self.file), SETTINGS.conduct(), self.load.ticks, published, self.load.history)


def _unless_crashed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), Crash):
        loop.default_exception_handler(context)


def run(folder: Path, seed: int, steps: int, plans: Iterator[Plan] | None = None) -> tuple[Lives, list[str]]:
    """A whole run, and what is wrong at its end."""

    async def whole() -> tuple[Lives, list[str]]:
        lives = Lives(folder, seed, steps, plans)
        return lives, await lives.run()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(whole())
