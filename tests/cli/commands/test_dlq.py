"""`dlq list|show|redrive|drop`, on a real nats-server between two services."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from fxmesh.trading.v1.events_pb2 import OrderPlaced

from services.runtime.ports import Delivery, Subscription
from tests.cli.commands.conftest import Fxmesh
from tests.kit.buses import Process
from tests.kit.events import order
from tests.kit.nats import NatsServer, own_nats

pytestmark = pytest.mark.integration

__all__ = ["own_nats"]


class Consumer:
    """data_pipeline in a thread of its own, beside the command; bad orders fail until `cured`."""

    def __init__(self, server: NatsServer, *bad: str) -> None:
        self.handled: list[str] = []
        self.bad = set(bad)
        self._server = server
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        ids = [each.id.split("/")[1] for each in deliveries]
        if self.bad.intersection(ids):
            raise ValueError("no such instrument")
        self.handled += ids

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        running = Process(self._server, "data_pipeline", file=io.StringIO())
        await running.bus.subscribe(Subscription((OrderPlaced,), self._handle))
        self._ready.set()
        await self._stop.wait()
        await running.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


@contextmanager
def consumer(server: NatsServer, *bad: str) -> Iterator[Consumer]:
    running = Consumer(server, *bad)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def publish(server: NatsServer, *events: OrderPlaced) -> None:
    async def send() -> None:
        process = Process(server, "trading_gateway", file=io.StringIO())
        await process.bus.publish_many(events)
        await process.close()

    asyncio.run(send())


@pytest.fixture
def dlq(own_nats: NatsServer, typed: Fxmesh) -> Fxmesh:
    return lambda *arguments: typed("dlq", *arguments, "--nats", own_nats.url)


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.01)
    pytest.fail("not in time")


def parked(dlq: Fxmesh) -> list[int]:
    return [each["parked"] for each in dlq("list", "--json").data["letters"]]


def test_a_letter_is_listed_shown_and_redriven_with_what_waits_behind_it(
    own_nats: NatsServer, dlq: Fxmesh
) -> None:
    with consumer(own_nats, "demo-1") as running:
        publish(own_nats, order(1), order(2), order(3), order(1, "other"))
        wait_for(lambda: parked(dlq) == [2])
        header, row = dlq("list").out.splitlines()
        assert header.split() == ["ID", "SERVICE", "EVENT", "KEY", "TRIES", "PARKED", "STORED", "REASON"]
        assert row.split()[:6] == ["1", "data_pipeline", "OrderPlaced", "demo", "3", "2"]
        assert row.endswith("ValueError: no such instrument")
        assert dlq("list", "--key", "other").out == "No dead letters.\n"
        assert len(dlq("list", "--consumer", "data_pipeline", "--event", "OrderPlaced").out.splitlines()) == 2

        shown = dlq("show", 1)
        assert '"orderId": "demo-1"' in shown.out
        assert "fxmesh.trading.v1.OrderPlaced/demo-1/1" in shown.out
        assert dlq("show", 1, "--json").data["payload"]["accountId"] == "demo"

        failed = dlq("redrive", 1)
        assert (failed.code, running.handled) == (1, ["other-1"])
        assert "Letter 1 failed again and is letter 2 now: ValueError: no such instrument" in failed.out

        running.bad.clear()
        done = dlq("redrive", "--consumer", "data_pipeline", "--key", "demo", "--json")
        assert (done.code, done.data["outcomes"][0]["outcome"]) == (0, "redriven")
        assert running.handled == ["other-1", "demo-1", "demo-2", "demo-3"]
        assert dlq("list").out == "No dead letters.\n"


def test_a_dropped_letter_is_gone_and_what_waited_behind_it_goes_on(
    own_nats: NatsServer, dlq: Fxmesh
) -> None:
    with consumer(own_nats, "demo-1") as running:
        publish(own_nats, order(1), order(2))
        wait_for(lambda: parked(dlq) == [1])
        assert dlq("drop", 1).out == "Letter 1 is dropped.\n"
        assert running.handled == ["demo-2"]
        rows = dlq("list", "--advisories").out.splitlines()
        assert rows[1].split()[3:6] == ["terminated", "TRADING_MONEY", "data_pipeline_00"]


def test_an_order_for_a_service_that_is_away_waits_for_it(own_nats: NatsServer, dlq: Fxmesh) -> None:
    with consumer(own_nats, "demo-1"):
        publish(own_nats, order(1), order(2))
        wait_for(lambda: parked(dlq) == [1])
    waiting = dlq("redrive", 1, "--wait", "0")
    assert (waiting.code, "data_pipeline has still to do it" in waiting.out) == (6, True)
    with consumer(own_nats) as running:
        wait_for(lambda: running.handled == ["demo-1", "demo-2"])


def test_fields_from_a_newer_contract_are_named(own_nats: NatsServer, dlq: Fxmesh) -> None:
    newer = order(1)
    newer.MergeFromString(b"\xc2\x3e\x05later")
    newer.order.MergeFromString(b"\xc8\x3e\x07")
    with consumer(own_nats, "demo-1"):
        publish(own_nats, newer)
        wait_for(lambda: parked(dlq) == [0])
    assert dlq("show", 1, "--json").data["unknownFields"] == [
        {"path": "1000", "bytes": "6c 61 74 65 72"},
        {"path": "order.1001", "bytes": "7"},
    ]


def test_what_is_not_there_or_not_said_is_one_sentence(own_nats: NatsServer, dlq: Fxmesh) -> None:
    empty = dlq("list")
    assert (empty.code, "no stream of dead letters" in empty.err) == (3, True)
    with consumer(own_nats):
        assert dlq("show", 7, "--json").error["reason"] == "UNKNOWN_LETTER"
        assert dlq("redrive", "--consumer", "data_pipeline").code == 2
        assert dlq("redrive").code == 2
    own_nats.kill()
    assert dlq("list", "--json").error["reason"] == "BUS_UNAVAILABLE"


@pytest.mark.parametrize(
    ("arguments", "reason", "says"),
    [
        (
            ("list", "--consumer", "data_pipline"),
            "UNKNOWN_SERVICE",
            "There is no service that consumes events 'data_pipline'. Known: data_pipeline.",
        ),
        (
            ("redrive", "--consumer", "nobody"),
            "UNKNOWN_SERVICE",
            "There is no service that consumes events 'nobody'. Known: analysis_engine, data_pipeline, ",
        ),
        (
            ("list", "--event", "OrderPlace"),
            "UNKNOWN_EVENT",
            "There is no event 'OrderPlace'. Known: OrderPlaced, ",
        ),
        (
            ("list", "--event", "fxmesh.trading.v1.OrderPlace"),
            "UNKNOWN_EVENT",
            "There is no event 'fxmesh.trading.v1.OrderPlace'. Known: fxmesh.trading.v1.OrderPlaced, ",
        ),
        (
            ("list", "--reason", "EVENT_UNFITT"),
            "UNKNOWN_REASON",
            "There is no reason of a letter 'EVENT_UNFITT'. Known: EVENT_UNFIT",
        ),
        (
            ("list", "--reason", "quark"),
            "UNKNOWN_REASON",
            "There is no reason of a letter 'quark'. Known: ValueError.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("UNKNOWN") else "",
)
def test_a_filter_that_nothing_can_fit_is_refused_with_what_is_near(
    own_nats: NatsServer, dlq: Fxmesh, arguments: tuple[str, ...], reason: str, says: str
) -> None:
    with consumer(own_nats, "demo-1"):
        publish(own_nats, order(1))
        wait_for(lambda: parked(dlq) == [0])
    refused = dlq(*arguments, "--json")
    error = refused.error
    assert (refused.code, error["reason"]) == (2, reason)
    assert f"{error['message']} {error['hint']}".startswith(says)


def test_letters_are_found_by_service_event_and_reason(own_nats: NatsServer, dlq: Fxmesh) -> None:
    unfit = order(2, "other")
    unfit.ClearField("order")
    with consumer(own_nats, "demo-1"):
        publish(own_nats, order(1), unfit)
        wait_for(lambda: parked(dlq) == [0, 0])

    def keys(*arguments: str) -> list[str]:
        found = dlq("list", *arguments, "--json")
        assert found.code == 0
        return sorted(each["key"] for each in found.data["letters"])

    assert keys("--reason", "EVENT_UNFIT") == ["other"]
    assert keys("--reason", "ValueError") == ["demo"]
    assert keys("--reason", "EVENT_UNREADABLE") == []
    event = "fxmesh.trading.v1.OrderPlaced"
    assert keys("--event", event, "--consumer", "data_pipeline") == ["demo", "other"]
    assert keys("--event", "TradeExecuted") == []
    assert keys("--consumer", "monitoring_alerting") == []


@pytest.mark.parametrize("given", ["abc", "0", "-1", "1.5"])
@pytest.mark.parametrize("command", ["show", "drop"])
def test_what_is_no_number_of_a_letter_is_told_plainly(typed: Fxmesh, command: str, given: str) -> None:
    told = typed("dlq", command, "--json", "--", given)
    assert told.code == 2
    assert f"{given!r} is no letter: give a number that `fxmesh dlq list` shows." in told.error["message"]


def test_what_is_no_letter_or_time_to_redrive_is_told_plainly(typed: Fxmesh) -> None:
    told = typed("dlq", "redrive", "abc", "--json")
    assert (told.code, "'abc' is no letter" in told.error["message"]) == (2, True)
    told = typed("dlq", "redrive", "1", "--wait", "soon", "--json")
    assert told.code == 2
    assert "'soon' is no time: give seconds, as 20 or 0.5." in told.error["message"]
