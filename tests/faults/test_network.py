"""What networks do to calls: slow, broken up, cut off, one-way, silent. A caller gets its answer or learns in
time that it will not, and what serves it does not go on for nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.errors import FxError, Kind
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request, Response
from tests.interceptors.conftest import networked
from tests.kit.nats import until, until_async
from tests.kit.proxy import Proxy, proxy
from tests.kit.service_process import calling

HANG = Request(text="hang", count=1)


@dataclass
class Far:
    """The echo service at the other end of a link."""

    servicer: EchoServicer
    link: Proxy
    stub: Any
    metrics: CollectorRegistry


@asynccontextmanager
async def at_a_distance(servicer: EchoServicer | None = None) -> AsyncIterator[Far]:
    async with (
        networked(servicer=servicer) as echo,
        proxy(int(echo.address.rpartition(":")[2])) as link,
        calling(link.address, once=True) as channels,
    ):
        stub = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
        yield Far(echo.servicer, link, stub, echo.server_metrics)


@pytest_asyncio.fixture
async def far() -> AsyncIterator[Far]:
    async with at_a_distance() as made:
        await made.stub.Unary(Request(), timeout=10)  # connected
        yield made


async def unavailable_or_late(call: Any, kind: Kind) -> float:
    """Seconds until the call failed as it should."""
    began = time.monotonic()
    with pytest.raises(FxError) as caught:
        await call
    assert caught.value.kind is kind, caught.value
    return time.monotonic() - began


async def test_half_a_second_each_way_is_waited_for(far: Far) -> None:
    far.link.to_server.delay_s = far.link.to_client.delay_s = 0.5
    began = time.monotonic()
    await far.stub.Unary(Request(), timeout=10)
    assert time.monotonic() - began >= 1.0


async def test_a_deadline_shorter_than_the_link_is_kept(far: Far) -> None:
    far.link.to_server.delay_s = far.link.to_client.delay_s = 0.5
    assert await unavailable_or_late(far.stub.Unary(Request(), timeout=0.3), Kind.DEADLINE_EXCEEDED) < 3
    # The server learns with the call that nobody waits any more, and begins nothing.
    far.link.heal()
    await far.stub.Unary(Request(), timeout=10)
    assert set(await far.servicer.until_finished(2)) <= {"done", "CancelledError"}


async def test_a_kilobyte_a_second_is_slow_and_works(far: Far) -> None:
    far.link.to_server.bytes_per_s = far.link.to_client.bytes_per_s = 1_000
    began = time.monotonic()
    assert (await far.stub.Unary(Request(text="x" * 1_000), timeout=30)).text
    assert time.monotonic() - began >= 1.0


async def test_a_request_too_long_for_a_slow_link_ends_at_its_deadline(far: Far) -> None:
    far.link.to_server.bytes_per_s = 1_000
    late = far.stub.Unary(Request(text="x" * 100_000), timeout=1)
    assert await unavailable_or_late(late, Kind.DEADLINE_EXCEEDED) < 5
    assert far.servicer.finished == ["done"]  # of the call that connected: half a request reaches no handler


async def test_single_bytes_make_whole_calls_of_every_shape(far: Far) -> None:
    far.link.to_server.slice_bytes = far.link.to_client.slice_bytes = 1
    assert (await far.stub.Unary(Request(), timeout=20)).text
    assert (await far.stub.Gather(iter([Request(), Request()]), timeout=20)).number == 2
    assert [each.number async for each in far.stub.Spread(Request(count=3), timeout=20)] == [0, 1, 2]
    answers = [each async for each in far.stub.Converse(iter([Request(), Request()]), timeout=20)]
    assert len(answers) == 2


async def test_a_black_hole_is_found_in_fifteen_seconds(far: Far) -> None:
    waiting = asyncio.ensure_future(far.stub.Unary(HANG, timeout=60))
    reading = asyncio.ensure_future(far.stub.Spread(HANG, timeout=60).read())
    await far.servicer.until_running(2)
    await reading
    far.link.black_hole()
    # Pings go every 10 s and are waited for 5 s; the rest is room for a busy machine.
    assert await unavailable_or_late(waiting, Kind.UNAVAILABLE) < 15 + 5
    far.link.heal()
    await until(lambda: far.servicer.running == 0, seconds=30)  # the server finds it too

    async def answers() -> bool:
        try:
            return bool((await far.stub.Unary(Request(), timeout=5)).text)
        except FxError:  # an attempt to connect that fell into the hole ends first
            return False

    await until_async(answers, expected=True)


async def test_a_one_way_partition_ends_at_the_deadline_on_both_sides(far: Far) -> None:
    far.link.to_client.dropping = True
    late = far.stub.Unary(HANG, timeout=1)
    assert await unavailable_or_late(late, Kind.DEADLINE_EXCEEDED) < 5
    assert await far.servicer.until_finished(2) == ["done", "CancelledError"]


async def test_a_call_that_the_reset_interrupts_fails_at_once_and_its_handler_ends(far: Far) -> None:
    waiting = asyncio.ensure_future(far.stub.Unary(HANG, timeout=60))
    await far.servicer.until_running(1)
    far.link.reset()
    assert await unavailable_or_late(waiting, Kind.UNAVAILABLE) < 5
    assert await far.servicer.until_finished(2) == ["done", "CancelledError"]
    assert (await far.stub.Unary(Request(), timeout=20)).text
    assert far.link.accepted == 2


async def test_a_reset_in_a_stream_ends_it_after_what_had_come(far: Far) -> None:
    stream = far.stub.Spread(HANG, timeout=60)
    assert (await stream.read()).number == 0
    far.link.reset()
    assert await unavailable_or_late(stream.read(), Kind.UNAVAILABLE) < 5


async def test_a_reset_while_answers_are_written_is_nobodys_defect(far: Far) -> None:
    # gRPC lets the write fail, now and then before it says that the caller is gone.
    long_id = (("x-correlation-id", "x" * 128),)  # every answer repeats it: more than a window holds
    for turn in range(1, 6):
        await far.stub.Unary(Request(), timeout=20)  # connected once more
        far.link.to_client.stall()  # or they might be done before all have begun
        streams = [far.stub.Spread(Request(count=1000), timeout=60, metadata=long_id) for _ in range(10)]
        await far.servicer.until_running(10)
        for _ in range(20 * turn):  # the writers run into it, or not yet: either way they must end well
            await asyncio.sleep(0)
        far.link.reset()
        far.link.to_client.resume()
        for each in streams:
            with pytest.raises(FxError):
                await to_the_end(each)
        await far.servicer.until_finished(1 + 11 * turn)
    await until(lambda: far.servicer.running == 0)
    assert handled(far, "CANCELLED") == 50
    assert handled(far, "INTERNAL") == 0


async def to_the_end(stream: Any) -> None:
    async for _ in stream:
        pass


class Unsendable(EchoServicer):
    """Fails as a write does to a caller killed this very moment, which nobody can time."""

    async def Spread(self, request: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802 the contract's name
        yield Response(number=1)
        raise grpc.aio.InternalError("Failed execute_batch")


async def test_an_answer_that_cannot_be_written_counts_as_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with at_a_distance(Unsendable()) as far:
        stream = far.stub.Spread(Request(), timeout=2)
        assert (await stream.read()).number == 1
        await until(lambda: handled(far, "CANCELLED") == 1)
        stream.cancel()
    assert "call failed" not in capsys.readouterr().out


def handled(far: Far, code: str) -> float:
    """Streams that the server counts as ended with a code."""
    labels = {
        "grpc_type": "server_stream",
        "grpc_service": SERVICE,
        "grpc_method": "Spread",
        "grpc_code": code,
    }
    return far.metrics.get_sample_value("grpc_server_handled_total", labels) or 0.0


async def test_a_cancellation_crosses_a_slow_link(far: Far) -> None:
    far.link.to_server.delay_s = 0.5
    caller = asyncio.ensure_future(far.stub.Unary(HANG, timeout=60))
    await far.servicer.until_running(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await far.servicer.until_finished(2) == ["done", "CancelledError"]


async def test_a_slow_dependency_costs_no_more_than_the_callers_own_deadline() -> None:
    async with at_a_distance() as behind, at_a_distance(EchoServicer(behind.stub)) as front:
        await front.stub.Unary(Request(text="onward "), timeout=10)
        late = front.stub.Unary(Request(text="onward hang"), timeout=1)
        assert await unavailable_or_late(late, Kind.DEADLINE_EXCEEDED) < 5
        assert await behind.servicer.until_finished(2) == ["done", "CancelledError"]
        assert len(await front.servicer.until_finished(2)) == 2


async def test_who_stops_reading_a_stream_holds_up_its_server_and_nobody_else(far: Far) -> None:
    far.link.to_client.stall()
    reading = asyncio.ensure_future(far.stub.Spread(Request(count=1000), timeout=60).read())
    async with calling(f"127.0.0.1:{far.link.behind}") as channels:
        near: Any = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
        assert (await near.Unary(Request(), timeout=10)).text
    assert not reading.done()
    far.link.to_client.resume()
    assert (await reading).number == 0
