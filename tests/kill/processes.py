"""The real thing: trading as a process of its own on a real nats-server, killed where and when one likes.

Peers, callers and signals live in this process and outlive it. `Gateways` is who they call.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import nats
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.analysis.v1.service_pb2_grpc import add_AnalysisServiceServicer_to_server
from fxmesh.marketdata.v1.service_pb2_grpc import add_MarketDataServiceServicer_to_server
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from nats.js.client import JetStreamContext

from services.errors import FxError
from services.runtime.bus.events import event_type
from services.runtime.bus.naming import parse_subject
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import service_policy
from services.runtime.process import Process
from services.runtime.settings import RuntimeSettings
from services.runtime.wiring import connect
from tests.kill.load import PASSING, Load
from tests.kill.market import LIVE, REPLAY, Analysis, Market
from tests.kill.settings import SETTINGS
from tests.kill.verdict import FILE, Books, Published, judge, unheard, unpublished
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer
from tests.kit.service_process import ROOT, ServiceProcess, calling

TRADING = "fxmesh.trading.v1.TradingService"
CALL_S = 10.0
REST_S = 60.0
"""How long it may take until all that a load led to is done."""


class Town:
    """What is there before and after every gateway process."""

    def __init__(self, nats_server: NatsServer, folder: Path, load: Load) -> None:
        self.nats, self.folder, self.load = nats_server, folder, load
        self.gateway: ServiceProcess | None = None
        """The one that serves; None between two."""
        self._stub: Any = None
        self._changed = asyncio.Condition()
        self._analysis: Any = None
        self._peers: list[tuple[Process, asyncio.Task[None]]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Town]:
        """With both peers up."""
        market: Any = Market(self.load.feed)  # type: ignore[abstract] # only what trading calls
        analysis: Any = Analysis()  # type: ignore[abstract] # the same
        await self._peer(
            "fxmesh.marketdata.v1.MarketDataService", add_MarketDataServiceServicer_to_server, market
        )
        await self._peer(
            "fxmesh.analysis.v1.AnalysisService", add_AnalysisServiceServicer_to_server, analysis
        )
        try:
            yield self
        finally:
            for process, _ in self._peers:
                process.stop()
            await asyncio.gather(*(running for _, running in self._peers))

    async def _peer(self, service: str, add: Any, servicer: Any) -> None:
        policy = service_policy(service)
        runtime = RuntimeSettings(
            nats_url=self.nats.url,
            identity="off",
            grpc_port=0,
            http_port=0,
            data_dir=self.folder / policy.name,
        )

        def compose(mesh: Mesh) -> Service:
            if policy.name == "analysis_engine":
                self._analysis = mesh.bus
            return Service(servicer, add)

        process = Process(policy, runtime, compose, connect, quiet_log())
        running = asyncio.create_task(process.run())
        self._peers.append((process, running))
        started = asyncio.create_task(process.started.wait())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            started.cancel()
            running.result()

    @asynccontextmanager
    async def born(self, crash_at: str = "") -> AsyncIterator[ServiceProcess]:
        """A gateway on the file that the last one left. It may be dead before it serves."""
        process = ServiceProcess(await self._start(crash_at))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(process.close)
            if await _serves(process):
                channels = await stack.enter_async_context(calling(process.address, TRADING, once=True))
                stack.push_async_callback(self._serve, None, None)
                await self._serve(process, TradingServiceStub(channels.to(TRADING)))
            yield process

    async def _start(self, crash_at: str) -> asyncio.subprocess.Process:
        given = {
            "FXMESH_NATS_URL": self.nats.url,
            "FXMESH_IDENTITY": "off",
            "FXMESH_GRPC_PORT": "0",
            "FXMESH_HTTP_PORT": "0",
            "FXMESH_DATA_DIR": str(self.folder / "trading"),
            "FXMESH_CRASH_AT": crash_at,
            "GRPC_VERBOSITY": "NONE",
            "PYTHONPATH": str(ROOT),
            **{
                f"FXMESH_TRADING_GATEWAY_{name.upper()}": _text(getattr(SETTINGS, name))
                for name in SETTINGS.model_fields_set
            },
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.trading_gateway",
            env={**os.environ, **given},
            stdout=asyncio.subprocess.PIPE,
        )

    async def _serve(self, gateway: ServiceProcess | None, stub: Any) -> None:
        async with self._changed:
            self.gateway, self._stub = gateway, stub
            self._changed.notify_all()

    async def call(self, method: str, request: Any) -> Any:
        """As `Caller`."""
        while True:
            stub = await self._serving()
            attempt = asyncio.ensure_future(getattr(stub, method)(request, timeout=CALL_S))
            await asyncio.wait({attempt})
            if attempt.cancelled():  # its channel was closed
                continue
            try:
                return attempt.result()
            except grpc.aio.UsageError:  # the same, before it began
                continue
            except FxError as failure:
                if failure.kind not in PASSING:
                    raise
                await asyncio.sleep(0.02)

    async def publish(self, event: SignalGenerated) -> None:
        """As `Caller`: the bus keeps it until it was handled."""
        await self._analysis.publish(event)

    async def _serving(self) -> Any:
        async with self._changed:
            await self._changed.wait_for(lambda: self._stub is not None)
            return self._stub

    async def at_rest(self) -> None:
        """Return once all that the load led to is done."""
        async with asyncio.timeout(REST_S):
            while not await self._settled():  # noqa: ASYNC110 another process has no event to wait for
                await asyncio.sleep(0.05)

    async def _settled(self) -> bool:
        signals = self.load.history.signals
        for session in (LIVE, REPLAY):
            progress = await self.call("GetSessionProgress", pb.GetSessionProgressRequest(session_id=session))
            came = sum(each.session_id == session for each in signals)
            if progress.undecided_signal_count or progress.signal_count != came:
                return False
            if not self.load.read(session, progress.feeds):
                return False
        folder = self.folder / "trading"
        return not (unpublished(folder / FILE) or unheard(folder))

    async def asked(self) -> list[str]:
        """What the gateway itself says of it: books proved, every key answered as before."""
        wrong = []
        for account in (await self.call("ListAccounts", pb.ListAccountsRequest())).accounts:
            proof = await self.call(
                "ReconcileAccount", pb.ReconcileAccountRequest(account_id=account.account_id)
            )
            wrong += [f"{account.account_id}: {line}" for line in proof.lines if not line.equal]
        for (account_id, key), answer in self.load.history.placed.items():
            find = pb.FindOrderRequest(account_id=account_id, client_order_id=key)
            found = (await self.call("FindOrder", find)).order
            if found.order_id != answer.order_id:
                wrong.append(f"{key} was answered {answer.order_id} and is {found.order_id}")
        return wrong

    async def judged(self) -> list[str]:
        """What is wrong with the file that the last one left, and with the stream."""
        books = Books(self.folder / "trading" / FILE)
        published = await self._published()
        return judge(books, SETTINGS.conduct(), self.load.ticks, published, self.load.history)

    async def _published(self) -> list[Published]:
        client = await nats.connect(self.nats.url)
        try:
            return [each async for each in _messages(client.jetstream())]
        finally:
            await client.close()


def _text(setting: object) -> str:
    return ",".join(setting) if isinstance(setting, tuple) else str(setting)


async def _serves(process: ServiceProcess) -> bool:
    """False when it died before it took calls."""
    try:
        await process.until("serving")
    except AssertionError:
        assert await process.ended() == -9, process.lines
        return False
    return True


async def _messages(jetstream: JetStreamContext) -> AsyncIterator[Published]:
    """All that trading published, in order."""
    stream = event_type(OrderPlaced.DESCRIPTOR).stream
    last = (await jetstream.stream_info(stream.name)).state.last_seq
    if not last:
        return
    subscription = await jetstream.subscribe(stream.subjects, ordered_consumer=True)
    while True:
        message = await subscription.next_msg(timeout=CALL_S)
        key = parse_subject(message.subject).key
        yield Published(key, (message.headers or {})["ce-id"], message.data)
        if message.metadata.sequence.stream >= last:
            await subscription.unsubscribe()
            return
