"""What every command says when the platform, or a part of it, is not there."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.trading.v1 import service_pb2 as trading_pb

from interceptors.retry import ATTEMPTS
from services.cli.addresses import Addresses
from services.cli.home import Home
from services.cli.link import Link
from services.cli.render import Printer
from services.cli.supervisor import lock, state
from services.cli.supervisor.preflight import make_folders
from services.cli.supervisor.state import Condition, Phase, ProcessState, RunState
from services.errors import FxError
from tests.cli.commands.conftest import Fxmesh
from tests.kit.ports import free_port

COMMANDS: list[tuple[str, ...]] = [
    ("quotes",),
    ("books",),
    ("instruments",),
    ("bars", "EURUSD"),
    ("bars", "EURUSD", "--watch"),
    ("bars", "EURUSD", "--history"),
    ("indicators", "EURUSD"),
    ("signals",),
    ("order", "buy", "EURUSD", "10000"),
    ("order", "cancel", "o-1"),
    ("order", "amend", "o-1", "--size", "1"),
    ("order", "show", "o-1"),
    ("order", "find", "key"),
    ("orders",),
    ("fills",),
    ("positions",),
    ("close", "EURUSD"),
    ("account",),
    ("accounts",),
    ("accounts", "open", "mine"),
    ("accounts", "auto-trade", "demo", "off"),
    ("risk",),
    ("halt",),
    ("resume",),
    ("replay", __file__),
    ("replays",),
    ("import", __file__),
    ("storage",),
    ("train",),
    ("models",),
    ("deploy", "eurusd-1h"),
    ("predict", "EURUSD"),
    ("alerts",),
    ("alerts", "--watch"),
    ("alerts", "ack", "a-1"),
    ("alerts", "silence"),
    ("alerts", "silences"),
    ("alerts", "rules"),
    ("services",),
    ("metrics",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_platform_every_command_says_so(typed: Fxmesh, command: tuple[str, ...]) -> None:
    done = typed(*command)
    assert (done.code, done.out) == (3, "")
    assert "No platform runs in" in done.err
    assert "`fxmesh up`" in done.err
    assert done.err.count("\n") == 1
    assert typed(*command, "--json").error["reason"] == "NOT_RUNNING"


@pytest.mark.parametrize("command", [("quotes",), ("order", "buy", "EURUSD", "10000")])
def test_a_service_that_is_down_was_sent_nothing(typed: Fxmesh, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = typed(*command, "--address", f"all=127.0.0.1:{port}")
    assert done.code == 5
    assert f"cannot be reached at 127.0.0.1:{port}; nothing was sent" in done.err
    assert typed(*command, "--address", f"all=127.0.0.1:{port}", "--json").error["reason"] == "SERVICE_DOWN"


@pytest.mark.parametrize("text", ["quotes", "nobody=127.0.0.1:1", "market_data=127.0.0.1", "market_data=:x"])
def test_an_address_that_is_none_is_wrong_usage(typed: Fxmesh, text: str) -> None:
    done = typed("quotes", "--address", text)
    assert done.code == 2
    assert "SERVICE=HOST:PORT" in done.err


class GoneAfterReading(grpc.GenericRpcHandler):
    """Takes each call and breaks off without an answer, as a service that dies."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.requests: list[bytes] = []

    def service(self, handler_call_details: Any) -> Any:
        metadata = dict(handler_call_details.invocation_metadata)

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append((handler_call_details.method, metadata["x-correlation-id"]))
            self.requests.append(request)
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(handle)


@contextmanager
def dies_in_each_call() -> Iterator[tuple[GoneAfterReading, int]]:
    handler = GoneAfterReading()
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, port
    server.stop(None).wait()


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoneAfterReading]:
    with dies_in_each_call() as (handler, port):
        monkeypatch.setenv("FXMESH_ADDRESS", f"all=127.0.0.1:{port}")
        yield handler


@pytest.fixture
def noted(typed: Fxmesh) -> Iterator[Callable[..., None]]:
    """Tells as the supervisor does which instances of market_data run, by port."""
    home = Home.at(Path(os.environ["FXMESH_HOME"]))
    make_folders(home)
    held = lock.acquire(home)
    assert held is not None

    def note(*ports: int) -> None:
        names = ("market_data", *(f"market_data-{number}" for number in range(2, 6)))
        instances = tuple(
            ProcessState(name, Condition.SERVING, {"grpc": port}, "")
            for name, port in zip(names, ports, strict=False)
        )
        state.save(home, RunState(Phase.READY, "", "127.0.0.1", "", os.getpid(), 0.0, processes=instances))

    yield note
    os.close(held)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_of_several_instances_the_one_that_is_there_is_asked(
    typed: Fxmesh, noted: Callable[..., None], platform_address: str
) -> None:
    # Neither takes a call: one refuses, the other accepts and never says a word, as a frozen process.
    with socket.create_server(("127.0.0.1", 0)) as closed, socket.create_server(("127.0.0.1", 0)) as frozen:
        refusing = closed.getsockname()[1]
        closed.close()
        noted(refusing, frozen.getsockname()[1], port_of(platform_address))
        done = typed("instruments", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.data


async def test_a_call_that_dies_with_its_instance_is_made_at_another(
    noted: Callable[..., None], platform_address: str
) -> None:
    with dies_in_each_call() as (dying, port):
        noted(port, port_of(platform_address))
        link = Link(Addresses(Home.at(Path(os.environ["FXMESH_HOME"]))), Printer(False))
        try:
            async with asyncio.timeout(60):
                while not dying.calls:  # both are asked in turn as soon as both are connected
                    assert (await link.market.ListInstruments(pb.ListInstrumentsRequest())).instruments
        finally:
            await link.close()


def test_all_that_were_tried_are_named_when_none_is_there(typed: Fxmesh, noted: Callable[..., None]) -> None:
    ports = [free_port(), free_port()]
    noted(*ports)
    error = typed("quotes", "--json").error
    assert error["reason"] == "SERVICE_DOWN"
    assert f"cannot be reached at 127.0.0.1:{ports[0]} or 127.0.0.1:{ports[1]}" in error["message"]
    assert "market_data is serving; market_data-2 is serving" in error["message"]


def test_an_order_without_an_answer_is_unknown_and_can_be_asked_for(
    typed: Fxmesh, dying: GoneAfterReading
) -> None:
    done = typed("order", "buy", "EURUSD", "10000", "--client-order-id", "key-1")
    assert done.code == 5
    assert "it is unknown whether order key-1 was placed" in done.err
    assert "fxmesh order find key-1 --account demo" in done.err
    (call,) = set(dying.calls)
    assert call[0].endswith("/PlaceOrder")
    assert f"correlation id {call[1]}" in done.err
    error = typed("order", "buy", "EURUSD", "10000", "--json").error
    assert error["reason"] == "OUTCOME_UNKNOWN"
    assert error["details"]["correlation_id"] == dying.calls[-1][1]


@pytest.mark.parametrize(
    "command",
    [
        ("order", "cancel", "o-1"),
        ("order", "cancel", "--all"),
        ("order", "amend", "o-1", "--size", "1"),
        ("close", "EURUSD"),
        ("halt",),
        ("accounts", "open", "mine"),
        ("accounts", "auto-trade", "demo", "on"),
        ("replays", "--stop", "r1"),
        ("train",),
        ("deploy", "eurusd-1h"),
        ("alerts", "ack", "a-1"),
        ("alerts", "silence"),
    ],
    ids=" ".join,
)
def test_so_is_every_other_change(typed: Fxmesh, dying: GoneAfterReading, command: tuple[str, ...]) -> None:
    error = typed(*command, "--json").error
    assert error["reason"] == "OUTCOME_UNKNOWN"
    assert error["hint"]
    # Repeated by its key, as the contract allows: each time the same request.
    assert len(dying.calls) == ATTEMPTS
    assert len(set(dying.requests)) == 1


def test_a_question_without_an_answer_is_no_unknown_outcome(typed: Fxmesh, dying: GoneAfterReading) -> None:
    error = typed("orders", "--json").error
    assert error["reason"] == "PEER_UNAVAILABLE"
    assert "fxmesh status" in error["hint"]


async def test_a_cancel_is_made_at_the_priority_port_and_what_is_no_cancel_is_not(
    typed: Fxmesh, noted: Callable[..., None]
) -> None:
    home = Home.at(Path(os.environ["FXMESH_HOME"]))
    with dies_in_each_call() as (first, port), dies_in_each_call() as (priority, second):
        ports = {"grpc": port, "priority": second}
        instance = ProcessState("trading_gateway", Condition.SERVING, ports, "")
        run = RunState(Phase.READY, "", "127.0.0.1", "", os.getpid(), 0.0, processes=(instance,))
        state.save(home, run)
        link = Link(Addresses(home), Printer(False))
        try:
            with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
                await link.trading.CancelOrder(trading_pb.CancelOrderRequest(request_id="r", order_id="o"))
            # A repetition goes by the other way: whoever answers there has the cancel all the same.
            assert len(priority.calls) == 1
            assert len(first.calls) == ATTEMPTS - 1
            with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
                await link.trading.ListAccounts(trading_pb.ListAccountsRequest())
            assert len(priority.calls) == 1
        finally:
            await link.close()


async def test_a_cancel_is_made_at_the_first_port_where_nobody_is_at_the_other(
    typed: Fxmesh, noted: Callable[..., None]
) -> None:
    home = Home.at(Path(os.environ["FXMESH_HOME"]))
    with dies_in_each_call() as (first, port):
        ports = {"grpc": port, "priority": free_port()}
        instance = ProcessState("trading_gateway", Condition.SERVING, ports, "")
        run = RunState(Phase.READY, "", "127.0.0.1", "", os.getpid(), 0.0, processes=(instance,))
        state.save(home, run)
        link = Link(Addresses(home), Printer(False))
        try:
            with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
                await link.trading.CancelOrder(trading_pb.CancelOrderRequest(request_id="r", order_id="o"))
            assert {method for method, _ in first.calls} == {"/fxmesh.trading.v1.TradingService/CancelOrder"}
        finally:
            await link.close()
