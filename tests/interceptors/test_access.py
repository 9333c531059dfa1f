"""Callers say who they are, and those get through whom the contract lets, whatever the shape of the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog

from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.identity import Principal
from services.runtime.identity.issuer import Lives
from services.runtime.identity.rights import Rights
from services.runtime.identity.token_file import TokenFile
from services.runtime.limits import Limits, Rate
from services.runtime.policy import service_policy
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import EchoServicer, Request
from tests.interceptors.conftest import Serve, networked
from tests.kit.identity import Trusted
from tests.kit.nats import until

ECHO = service_policy(SERVICE)  # its contract lists that it calls Unary, and nothing else
METHODS = {"Unary": "echo:read", "Gather": "echo:write", "Spread": "echo:read", "Converse": "echo:read"}


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    stranger = replace(ECHO, full_name="echo.v1.EchoService", name="stranger", calls=())
    return Trusted(tmp_path / "secrets", Rights((ECHO, stranger)), ("echo", "stranger", "operator"))


class Shown(TokenFile):
    """Shows what a test wants shown; nothing where it is empty."""

    def __init__(self, credentials: str = "") -> None:
        self.credentials = credentials

    def entry(self) -> tuple[str, str]:
        return ("authorization", f"Bearer {self.credentials}") if self.credentials else ("x-nothing", "")


async def _requests(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield Request(text=text)


def calls(stub: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One call of each shape, with a request that breaks a rule of the contract."""

    async def all_of(stream: Any) -> list[Any]:
        return [each async for each in stream]

    broken = Request(count=-1)
    return {
        "Unary": lambda: stub.Unary(broken),
        "Gather": lambda: stub.Gather(_requests("")),
        "Spread": lambda: all_of(stub.Spread(broken)),
        "Converse": lambda: all_of(stub.Converse(_requests(""))),
    }


async def outcomes(stub: Any) -> dict[str, str]:
    """By method, the reason of the refusal; LET for what got as far as the request or the handler."""
    found = {}
    for name, call in calls(stub).items():
        try:
            await call()
            found[name] = "LET"
        except FxError as error:
            denied = error.kind in (Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED)
            judged = denied or error.reason == "INTERNAL"
            found[name] = error.reason if judged else "LET"
    return found


def all_are(outcome: str, **other: str) -> dict[str, str]:
    return dict.fromkeys(METHODS, outcome) | other


async def test_each_shape_asks_who_calls_before_it_looks_at_anything(serve: Serve, trusted: Trusted) -> None:
    shown = Shown()
    servicer = EchoServicer()
    async with serve(identity=trusted.identity, own=shown, servicer=servicer) as echo:
        assert await outcomes(echo.stub) == all_are("CREDENTIALS_MISSING")
        shown.credentials = trusted.token("operator", life_s=-60)
        assert await outcomes(echo.stub) == all_are("TOKEN_EXPIRED")
        shown.credentials = trusted.token("echo") + "x"
        assert await outcomes(echo.stub) == all_are("TOKEN_INVALID")
        shown.credentials = trusted.key("gone", "*", revoked=True)
        assert await outcomes(echo.stub) == all_are("CREDENTIALS_REVOKED")
        shown.credentials = trusted.key("other", "trading.*")
        assert await outcomes(echo.stub) == all_are("SCOPE_MISSING")
        assert servicer.finished == []  # none of them reached the handler


async def test_who_is_refused_takes_no_token_of_any_rate(serve: Serve, trusted: Trusted) -> None:
    """Not even of one for callers without credentials: with identity on there are none."""
    shown, scarce = Shown(), Limits(keys=Rate(0.001, 3), anonymous=Rate(0.001, 3))
    async with serve(identity=trusted.identity, own=shown, limits=scarce) as echo:
        for credentials, refusal in (("", "CREDENTIALS_MISSING"), ("x.y.z", "TOKEN_INVALID")):
            shown.credentials = credentials
            for _ in range(3):
                assert await outcomes(echo.stub) == all_are(refusal)
        assert echo.server_metrics.get_sample_value("fxmesh_rate_limit_buckets") == 0
        shown.credentials = trusted.key("reader", "echo:read")
        await echo.stub.Unary(Request())
        assert echo.server_metrics.get_sample_value("fxmesh_rate_limit_buckets") == 1


async def test_a_scope_opens_its_methods_and_no_others(serve: Serve, trusted: Trusted) -> None:
    shown = Shown(trusted.key("reader", "echo:read"))
    async with serve(identity=trusted.identity, own=shown) as echo:
        assert await outcomes(echo.stub) == all_are("LET", Gather="SCOPE_MISSING")
        shown.credentials = trusted.key("writer", "echo:write")
        assert await outcomes(echo.stub) == all_are("SCOPE_MISSING", Gather="LET")
        shown.credentials = trusted.token("operator")
        assert await outcomes(echo.stub) == all_are("LET")


async def test_a_service_calls_what_its_contract_lists(serve: Serve, trusted: Trusted) -> None:
    async with serve(identity=trusted.identity, own=trusted.own("echo")) as echo:
        assert await outcomes(echo.stub) == all_are("SCOPE_MISSING", Unary="LET")
    async with serve(identity=trusted.identity, own=trusted.own("stranger")) as echo:
        assert await outcomes(echo.stub) == all_are("SCOPE_MISSING")
        with pytest.raises(FxError, match=r"contract of stranger does not list echo.v1.EchoService/Unary"):
            await echo.stub.Unary(Request())


async def test_a_refusal_names_the_scope_and_never_the_credentials(serve: Serve, trusted: Trusted) -> None:
    key = trusted.key("writer", "echo:write")
    async with serve(identity=trusted.identity, own=Shown(key)) as echo:
        with pytest.raises(FxError) as caught:
            await echo.stub.Unary(Request())
    assert (caught.value.kind, caught.value.reason) == (Kind.PERMISSION_DENIED, "SCOPE_MISSING")
    assert "echo:read" in caught.value.detail
    assert key[-10:] not in str(caught.value)


async def test_a_handler_knows_who_asked(serve: Serve, trusted: Trusted) -> None:
    asked: list[Principal] = []

    class Asking(EchoServicer):
        async def Unary(self, request: Any, context_: Any) -> Any:  # noqa: N802 the contract's name
            asked.append(context.principal.get())
            return await super().Unary(request, context_)

    shown = Shown(trusted.key("robot", "*"))
    async with serve(identity=trusted.identity, own=shown, servicer=Asking()) as echo:
        await echo.stub.Unary(Request())
        shown.credentials = trusted.token("echo")
        await echo.stub.Unary(Request())
    assert [each.label for each in asked] == ["key:robot", "service:echo"]
    assert context.principal.get().label == "anonymous:nobody"


async def test_a_mutation_leaves_a_line_that_says_who_asked_for_it(serve: Serve, trusted: Trusted) -> None:
    shown = Shown(trusted.key("robot", "*"))
    async with serve(identity=trusted.identity, own=shown) as echo:
        with structlog.testing.capture_logs() as lines:
            await echo.stub.Unary(Request())  # free of side effects
            await echo.stub.Gather(_requests("a"))
            with pytest.raises(FxError):
                await echo.stub.Gather(_requests("refuse"))

            def mutations() -> list[Any]:
                return [line for line in lines if line["event"] == "mutation"]

            await until(lambda: len(mutations()) == 2)  # a line may follow the answer
    noted = [(line["method"], line["principal"], line["code"]) for line in mutations()]
    gather = "/echo.v1.EchoService/Gather"
    assert noted[0] == (gather, "key:robot", "OK")
    assert noted[1][:2] == (gather, "key:robot")
    assert noted[1][2] != "OK"


async def test_tokens_and_signing_keys_change_under_load_without_a_failed_call(tmp_path: Path) -> None:
    lives = Lives(token=60.0, renew=0.1, key=0.3, shown_first=0.2)
    trusted = Trusted(tmp_path / "secrets", Rights((ECHO,)), ("echo",), lives)
    own, stop = trusted.own("echo"), asyncio.Event()
    signed_by: set[str] = set()
    async with networked(identity=trusted.identity, own=own) as echo:

        async def call_on() -> int:
            made = 0
            while not stop.is_set():
                await echo.stub.Unary(Request())
                made += 1
            return made

        callers = [asyncio.create_task(call_on()) for _ in range(4)]
        async with asyncio.timeout(30):
            while len(signed_by) < 3:
                trusted.issuer.renew()
                trusted.keys.read_files()  # as every process does each second
                own._look()
                signed_by.add(str(jwt.get_unverified_header(trusted.token("echo"))["kid"]))
                await asyncio.sleep(0.02)
        stop.set()
        counts = await asyncio.gather(*callers)  # raises what any call failed with
    assert all(counts)
