"""A stream in hand ends as soon as the next call with its credentials would be refused; nothing else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from prometheus_client import CollectorRegistry

from interceptors.authentication import Authentication
from interceptors.calls import ServerCall
from interceptors.errors import to_fx_error
from interceptors.plan import SERVER_ORDER, Place, compile_plan
from interceptors.server import run
from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError, Kind
from services.runtime.channels import static_channels
from services.runtime.health import Health
from services.runtime.identity.keys import KeyRecord, Secret, new_secret
from services.runtime.identity.rights import Rights
from services.runtime.identity.snapshot import Denial, of
from services.runtime.ids import CountedIds
from services.runtime.memory_context import MemoryContext
from services.runtime.policy import MethodPolicy, Shape, service_policy
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request, Response
from tests.interceptors.conftest import Serve
from tests.interceptors.test_access import Shown
from tests.kit.certificates import authority, shown, written
from tests.kit.identity import Trusted
from tests.kit.nats import until, until_async

ECHO = replace(
    service_policy(SERVICE), calls=tuple(f"{SERVICE}/{name}" for name in ("Gather", "Spread", "Converse"))
)
HANG = Request(text="hang", count=1)


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return Trusted(tmp_path / "secrets", Rights((ECHO,)), ("echo", "operator"))


async def _hanging() -> AsyncIterator[Any]:
    yield HANG
    await asyncio.Event().wait()


async def _consume(stream: Any) -> None:
    async for _ in stream:
        pass


STREAMS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "Gather": lambda stub: stub.Gather(_hanging()),
    "Spread": lambda stub: _consume(stub.Spread(HANG)),
    "Converse": lambda stub: _consume(stub.Converse(_hanging())),
}


class Robot:
    """A key whose record a test changes."""

    def __init__(self, trusted: Trusted) -> None:
        secret, self.shown = new_secret(time.time())
        self._trusted = trusted
        self._record = KeyRecord("robot", ("*",), time.time(), None, None, (secret,))
        self._become(self._record)

    def revoke(self) -> None:
        self._become(replace(self._record, revoked_at=time.time()))

    def rotate(self, overlap_s: float) -> None:
        self._become(self._record.rotated(Secret("next", "0" * 64, time.time()), time.time() + overlap_s))

    def remain(self) -> None:
        self._become(self._record)

    def _become(self, record: KeyRecord) -> None:
        self._trusted.authenticator.follow(of([record]))


async def refusal(stream: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(FxError) as caught:
        async with asyncio.timeout(20):
            await stream
    return caught.value.kind.name, caught.value.reason


class Restless(EchoServicer):
    """Whose stream never pauses: `cancelled` tells that its end was seen where the handler was."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = asyncio.Event()
        self.last_at = float("inf")

    async def Spread(self, request: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802 the contract's name
        try:
            while True:
                self.last_at = time.monotonic()
                yield Response(text="x" * len(request.text))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def rests(self) -> bool:
        """Whether nobody takes its answers."""
        return time.monotonic() > self.last_at + 0.5


async def test_a_stream_that_never_pauses_ends_with_the_reason_too(serve: Serve, trusted: Trusted) -> None:
    """An answer is nearly always on its way when the end comes."""
    servicer, mine = Restless(), Shown()
    async with serve(identity=trusted.identity, own=mine, servicer=servicer) as echo:
        for _ in range(20):
            robot = Robot(trusted)
            mine.credentials = robot.shown
            stream = echo.stub.Spread(Request(text="short"))
            await stream.read()
            robot.revoke()
            assert await refusal(_consume(stream)) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")
            async with asyncio.timeout(10):
                await servicer.cancelled.wait()
            servicer.cancelled.clear()


async def test_a_stream_that_nobody_reads_ends_and_its_caller_learns_that_when_they_read(
    serve: Serve, trusted: Trusted
) -> None:
    robot, servicer = Robot(trusted), Restless()
    async with serve(identity=trusted.identity, own=Shown(robot.shown), servicer=servicer) as echo:
        stream = echo.stub.Spread(Request(text="x" * 1_000))
        await stream.read()
        await until(servicer.rests)
        robot.revoke()
        async with asyncio.timeout(10):
            await servicer.cancelled.wait()
        assert await refusal(_consume(stream)) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")


@pytest.mark.parametrize("shape", STREAMS)
async def test_a_stream_ends_when_its_key_is_revoked(serve: Serve, trusted: Trusted, shape: str) -> None:
    robot = Robot(trusted)
    async with serve(identity=trusted.identity, own=Shown(robot.shown)) as echo:
        stream = asyncio.ensure_future(STREAMS[shape](echo.stub))
        await echo.servicer.until_running(1)
        robot.revoke()
        assert await refusal(stream) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")
        assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_it_ends_when_a_rotation_drops_its_secret_and_when_the_overlap_of_one_is_over(
    serve: Serve, trusted: Trusted
) -> None:
    for overlap_s, reason in ((-1.0, "KEY_INVALID"), (0.5, "KEY_EXPIRED")):
        robot = Robot(trusted)
        async with serve(identity=trusted.identity, own=Shown(robot.shown)) as echo:
            stream = asyncio.ensure_future(_consume(echo.stub.Spread(HANG)))
            await echo.servicer.until_running(1)
            robot.rotate(overlap_s)
            assert await refusal(stream) == ("UNAUTHENTICATED", reason)


async def test_streams_end_with_their_keys_each_in_its_time(serve: Serve, trusted: Trusted) -> None:
    now, mine = time.time(), Shown()
    keys = [trusted.key(f"until-{life}", "*", expires_at=now + life) for life in (3600.0, 1.0, 0.6)]
    async with serve(identity=trusted.identity, own=mine) as echo:
        streams = []
        for number, key in enumerate(keys):
            mine.credentials = key
            streams.append(asyncio.ensure_future(_consume(echo.stub.Spread(HANG))))
            await echo.servicer.until_running(number + 1)
        long, middle, short = streams
        assert await refusal(short) == ("UNAUTHENTICATED", "KEY_EXPIRED")
        assert not middle.done()
        assert await refusal(middle) == ("UNAUTHENTICATED", "KEY_EXPIRED")
        assert time.time() >= now + 1.0
        assert not long.done()
        long.cancel()


async def test_a_token_that_is_refused_ends_its_streams_and_no_others(serve: Serve, trusted: Trusted) -> None:
    mine = Shown(trusted.token("operator"))
    async with serve(identity=trusted.identity, own=mine) as echo:
        refused = asyncio.ensure_future(_consume(echo.stub.Spread(HANG)))
        await echo.servicer.until_running(1)
        token_id = jwt.decode(mine.credentials, options={"verify_signature": False})["jti"]
        mine.credentials = trusted.token("operator")
        other = echo.stub.Spread(Request(text="hang", count=1))
        assert (await other.read()).number == 0
        trusted.follow(Denial(token_id=token_id))
        assert await refusal(refused) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")
        assert echo.servicer.running == 1
        other.cancel()


async def test_an_expired_token_ends_no_stream_until_its_service_is_revoked(
    serve: Serve, trusted: Trusted
) -> None:
    mine = Shown(trusted.token("echo", life_s=-3.0))  # a moment is left of what clocks may differ by
    async with serve(identity=trusted.identity, own=mine) as echo:
        stream = asyncio.ensure_future(_consume(echo.stub.Spread(HANG)))
        await echo.servicer.until_running(1)

        async def next_call() -> str:
            async with asyncio.timeout(10):
                try:
                    await echo.stub.Gather(iter([Request()]))
                except FxError as error:
                    return error.reason
            return "LET"

        await until_async(next_call, "TOKEN_EXPIRED", 20)
        trusted.follow()
        trusted.authenticator.forget()
        trusted.follow(Denial(token_id="another"))
        assert await next_call() == "TOKEN_EXPIRED"
        assert not stream.done()
        trusted.follow(Denial(service="echo"))
        assert await refusal(stream) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")


async def test_a_call_of_one_answer_that_was_let_in_is_finished(serve: Serve, trusted: Trusted) -> None:
    let = asyncio.Event()

    class Waiting(EchoServicer):
        async def _act(self, text: str) -> str:
            await let.wait()
            return text

    robot = Robot(trusted)
    async with serve(identity=trusted.identity, own=Shown(robot.shown), servicer=Waiting()) as echo:
        call = asyncio.ensure_future(echo.stub.Unary(Request(text="done")))
        await echo.servicer.until_running(1)
        robot.revoke()
        with pytest.raises(FxError, match="CREDENTIALS_REVOKED"):
            await echo.stub.Unary(Request())
        let.set()
        assert (await call).text == "done"


async def test_the_streams_of_a_certificate_end_with_its_service(tmp_path: Path, trusted: Trusted) -> None:
    authorities = authority()
    server_tls = shown(written(tmp_path / "server", "echo", authorities))
    caller_tls = shown(written(tmp_path / "caller", "echo", authorities))
    servicer = EchoServicer()
    concerns = server_concerns(CountedIds("s"), CollectorRegistry(), identity=trusted.identity)
    server = MeshServer("127.0.0.1", 0, concerns, Health(), server_tls)
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await server.start()
    calling = client_concerns(CountedIds("c"), CollectorRegistry())
    channels = static_channels({SERVICE: f"127.0.0.1:{server.port}"}, calling, caller_tls)
    try:
        stream: Any = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)).Spread(HANG)
        assert (await stream.read()).number == 0
        trusted.follow(Denial(service="another"))
        trusted.follow(Denial(service="echo"))
        assert await refusal(stream.read()) == ("UNAUTHENTICATED", "CREDENTIALS_REVOKED")
    finally:
        await channels.close()
        await server.close()


SPREAD = MethodPolicy(f"/{SERVICE}/Spread", Shape.SERVER_STREAM, 5.0, "echo:read")


async def test_nothing_is_kept_of_a_stream_that_is_over(trusted: Trusted) -> None:
    authentication = Authentication(trusted.authenticator)
    plan = compile_plan(SERVER_ORDER, {Place.AUTHENTICATION: authentication.server}, SPREAD)
    mine = (("authorization", f"Bearer {trusted.token('operator')}"),)
    held: list[int] = []

    async def look(*_: Any) -> None:
        held.append(len(authentication._streams._open))

    await run(plan, look, None, None, MemoryContext(None, mine, None))
    assert (held, len(authentication._streams._open)) == ([1], 0)


def _error(reason: str) -> FxError:
    return FxError(Kind.UNAUTHENTICATED, reason, "over")


async def _ended(steps: Callable[[ServerCall, asyncio.Task[Any]], object], beginning: bool = False) -> Any:
    """Serve a call that is `beginning`, or whose handler takes no notice of the first cancel; ask for its
    end, and do to it what `steps` says.
    """
    begun: asyncio.Future[ServerCall] = asyncio.get_running_loop().create_future()

    async def stubborn(call: ServerCall, _: Any) -> None:
        call.beginning = beginning
        begun.set_result(call)
        if not beginning:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    served = MemoryContext(None, (), None)
    task = asyncio.ensure_future(run(compile_plan(SERVER_ORDER, {}, SPREAD), stubborn, None, None, served))
    call = await begun
    call.end(_error("FIRST"))
    await asyncio.sleep(0)
    steps(call, task)
    async with asyncio.timeout(10):
        await asyncio.gather(task, return_exceptions=True)
    return served


def _told(served: MemoryContext) -> FxError:
    failure = served.failure()
    assert failure is not None
    return to_fx_error(failure, SPREAD.path)


async def test_a_call_that_is_ended_twice_is_answered_with_the_first_error() -> None:
    assert _told(await _ended(lambda call, _: call.end(_error("SECOND")))).reason == "FIRST"


async def test_a_first_answer_that_is_never_sent_does_not_keep_its_call() -> None:
    served = await _ended(lambda call, _: call.end(_error("SECOND")), beginning=True)
    assert _told(served).reason == "FIRST"


async def test_a_call_whose_caller_gave_up_meanwhile_is_not_answered() -> None:
    assert (await _ended(lambda _, task: task.cancel())).failure() is None


async def test_what_serves_a_call_is_left_alone_once_the_call_is_over() -> None:
    served: list[ServerCall] = []

    async def answer(call: ServerCall, _: Any) -> None:
        served.append(call)

    await run(compile_plan(SERVER_ORDER, {}, SPREAD), answer, None, None, MemoryContext(None, (), None))
    served[0].end(_error("LATE"))
    await asyncio.sleep(0)  # where a task that was cancelled would learn of it
