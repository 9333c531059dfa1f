"""Every method of the contracts × everybody who may ask, at each service and through the edge; and that a
revocation reaches all of them, and no secret any log.

What is asked cannot be read as a message, or names a field there is not: who is let through learns that, and
nothing happens. Who is not let through must not even learn that.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest
import pytest_asyncio
from fxmesh.marketdata.v1.service_pb2 import StreamQuotesRequest
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from edge.rest import RestForm, RestForms
from interceptors.errors import to_fx_error
from services.cli.home import Home
from services.cli.supervisor.tokens import TRUST
from services.runtime.identity.issuer import SIGNING, Issuer
from services.runtime.identity.rights import rights
from services.runtime.policy import MethodPolicy, Shape, method_policies, service_policies
from tests.kit.edge import ask
from tests.kit.live import LivePlatform, eventually, opened

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SERVICES = service_policies()
METHODS = [method for service in SERVICES for method in method_policies(service.full_name)]
NAMES = {service.full_name: service.name for service in SERVICES}
FORMS = RestForms(SERVICES).all
EURUSD = StreamQuotesRequest(symbol=["EURUSD"])
BROKEN = b"\xff\xff\xff"  # a field number that cannot be, in any message
LIMIT_S = 30.0
AT_ONCE = 8
REACHES_ALL_S = 5.0
SLOW_MACHINE_S = 10.0


@dataclass(frozen=True)
class Caller:
    """Somebody who asks. `expected` is the reason of the refusal, by method; empty: let through."""

    name: str
    credentials: str
    service: str = ""
    holds: frozenset[str] = frozenset()
    refused: str = ""

    def expected(self, method: MethodPolicy) -> str:
        if self.refused:
            return self.refused
        if self.service:
            (policy,) = (each for each in SERVICES if each.name == self.service)
            return "" if method.path[1:] in policy.calls else "SCOPE_MISSING"
        return "" if method.scope in self.holds else "SCOPE_MISSING"


@dataclass(frozen=True)
class Cast:
    """All callers; those of keys with one scope, and with all but one, by that scope."""

    plain: list[Caller]
    exact: dict[str, Caller]
    others: dict[str, Caller]

    def for_scope(self, scope: str) -> list[Caller]:
        return [*self.plain, self.exact[scope], self.others[scope]]

    @property
    def secrets(self) -> list[str]:
        callers = [*self.plain, *self.exact.values(), *self.others.values()]
        return [each.credentials for each in callers if each.credentials]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(live: LivePlatform) -> AsyncIterator[Cast]:
    home = Home.at(live.home)
    issuer = Issuer(home.secrets, TRUST, (), time.time)
    issuer.open()
    plain = [
        Caller("nobody", "", refused="CREDENTIALS_MISSING"),
        Caller("an expired token", issuer.token("operator", life_s=-60), refused="TOKEN_EXPIRED"),
        *(Caller(each.name, home.token(each.name).read_text(), service=each.name) for each in SERVICES),
        Caller("the operator", live.token, holds=rights().scopes),
    ]
    exact, others = {}, {}
    async with live.keys() as keys:
        for number, scope in enumerate(sorted(rights().scopes)):
            rest = rights().scopes - {scope}
            _, one = await keys.create(f"exact-{number}", (scope,), None)
            _, all_but = await keys.create(f"others-{number}", tuple(sorted(rest)), None)
            exact[scope] = Caller(f"a key for {scope}", one, holds=frozenset({scope}))
            others[scope] = Caller(f"a key for all but {scope}", all_but, holds=rest)
        _, revoked = await keys.create("revoked", ("*",), None)
        await keys.revoke("revoked")
        plain.append(Caller("a revoked key", revoked, refused="CREDENTIALS_REVOKED"))
        wanted = len((await keys.all()).keys)

        async def known() -> bool:
            return {live.metric(name, "fxmesh_identity_keys") for name in doors()} == {wanted}

        await eventually(known)
        yield Cast(plain, exact, others)
        for name in (each.name for each in (await keys.all()).keys):
            await keys.revoke(name)


def doors() -> list[str]:
    """Every process that decides."""
    return [*(each.name for each in SERVICES), "edge_gate"]


async def nothing() -> AsyncIterator[bytes]:
    """Requests of somebody who waits for the answer before they send: a refusal must not need one."""
    await asyncio.Event().wait()
    yield b""


async def by_grpc(channel: Any, method: MethodPolicy, *, let: bool = True) -> str:
    """The reason of the answer. Who is not let through sends no message of a stream: gRPC's client takes one
    that crosses the refusal for an error of its own.
    """
    requests: Any = iter([BROKEN]) if let else nothing()
    try:
        match method.shape:
            case Shape.UNARY:
                await channel.unary_unary(method.path)(BROKEN, timeout=LIMIT_S)
            case Shape.CLIENT_STREAM:
                await channel.stream_unary(method.path)(requests, timeout=LIMIT_S)
            case Shape.SERVER_STREAM:
                async for _ in channel.unary_stream(method.path)(BROKEN, timeout=LIMIT_S):
                    return "ANSWERED"
            case Shape.BIDI_STREAM:
                async for _ in channel.stream_stream(method.path)(requests, timeout=LIMIT_S):
                    return "ANSWERED"
    except grpc.aio.AioRpcError as failure:
        error = to_fx_error(failure, method.path)
        # A denial under another code would be retried, or taken for a defect.
        code = {"SCOPE_MISSING": "PERMISSION_DENIED", "MALFORMED_REQUEST": "INVALID_ARGUMENT"}
        fits = error.kind.name == code.get(error.reason, "UNAUTHENTICATED")
        return error.reason if fits else str(failure)
    return "ANSWERED"


def by_rest(live: LivePlatform, form: RestForm, credentials: str) -> str:
    """The reason of the answer."""
    target = re.sub(r"\{\w+\}", "x", form.template) + ("" if form.body else "?no_such_field=1")
    headers = {"authorization": f"Bearer {credentials}"} if credentials else {}
    answer = ask(live.ports["edge"]["edge"], form.verb, target, b"{" if form.body else None, headers)
    status = {"SCOPE_MISSING": 403, "MALFORMED_REQUEST": 400, "VALIDATION_FAILED": 400}
    assert answer.status == status.get(answer.reason, 401), answer.content
    assert ("www-authenticate" in answer.headers) == (answer.status in (401, 403))
    assert answer.correlation_id == answer.headers["x-correlation-id"]
    return answer.reason


async def wrong_cells(cells: list[tuple[str, Any, str]]) -> list[str]:
    """What was answered otherwise than expected. A cell: its name, how to ask, the reason expected."""
    wrong: list[str] = []
    waiting = asyncio.Semaphore(AT_ONCE)

    async def look(name: str, asked: Any, expected: str) -> None:
        async with waiting:
            reason = await asked()
        if reason != expected:
            wrong.append(f"{name}: {reason}, not {expected}")

    await asyncio.gather(*(look(*cell) for cell in cells))
    return wrong


@pytest.mark.parametrize("place", ["itself", "edge"])
@pytest.mark.asyncio(loop_scope="module")
async def test_each_method_lets_its_callers_through_and_nobody_else(
    live: LivePlatform, cast: Cast, place: str
) -> None:
    channels: dict[tuple[str, str], Any] = {}
    cells = []
    for method in METHODS:
        name = "edge" if place == "edge" else NAMES[method.service]
        for caller in cast.for_scope(method.scope):
            at = (name, caller.credentials)
            channels[at] = channels.get(at) or live.channel(name, caller.credentials)
            cells.append(
                (
                    f"{method.path} by {caller.name}",
                    partial(by_grpc, channels[at], method, let=not caller.expected(method)),
                    caller.expected(method) or "MALFORMED_REQUEST",
                )
            )
    try:
        assert len(cells) == len(METHODS) * 13
        assert await wrong_cells(cells) == []
    finally:
        await asyncio.gather(*(channel.close() for channel in channels.values()))


@pytest.mark.asyncio(loop_scope="module")
async def test_so_does_each_path_of_the_edge(live: LivePlatform, cast: Cast) -> None:
    policies = {method.path: method for method in METHODS}
    cells: list[tuple[str, Any, str]] = []
    for form in FORMS:
        let = "MALFORMED_REQUEST" if form.body else "VALIDATION_FAILED"
        method = policies[form.method]
        cells += [
            (
                f"{form.verb} {form.template} by {caller.name}",
                partial(asyncio.to_thread, by_rest, live, form, caller.credentials),
                caller.expected(method) or let,
            )
            for caller in cast.for_scope(method.scope)
        ]
    assert len(FORMS) > 50
    assert await wrong_cells(cells) == []


def streams_begun(live: LivePlatform) -> float:
    """Streams of quotes that were ever begun."""
    return live.metric("market_data", "grpc_server_started_total", grpc_method="StreamQuotes")


async def all_begun(live: LivePlatform, count: float) -> bool:
    return streams_begun(live) >= count


async def end_of(stream: Any) -> str:
    """The reason why it ended."""
    try:
        async with asyncio.timeout(LIMIT_S):
            async for _ in stream:
                pass
    except grpc.aio.AioRpcError as failure:
        error = to_fx_error(failure, "")
        return error.reason if error.kind.name == "UNAUTHENTICATED" else str(failure)
    return "ENDED"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revocation_reaches_every_service_and_the_edge(live: LivePlatform, cast: Cast) -> None:
    asked = {NAMES[method.service]: method for method in METHODS if method.shape is Shape.UNARY}
    asked["edge"] = asked["market_data"]
    async with live.keys() as keys:
        _, key = await keys.create("short-lived", ("*",), None)
        channels = {name: live.channel(name, key) for name in asked}

        async def all_say(reason: str) -> bool:
            said = await asyncio.gather(*(by_grpc(channels[name], asked[name]) for name in asked))
            return set(said) == {reason}

        await eventually(lambda: all_say("MALFORMED_REQUEST"))
        open_already = streams_begun(live)
        stubs = [MarketDataServiceStub(channels[name]) for name in ("market_data", "edge")]
        streams = [asyncio.ensure_future(end_of(stub.StreamQuotes(EURUSD))) for stub in stubs]
        await eventually(partial(all_begun, live, open_already + len(streams)))
        began = time.monotonic()
        await keys.revoke("short-lived")
        await eventually(lambda: all_say("CREDENTIALS_REVOKED"))
        assert await asyncio.gather(*streams) == ["CREDENTIALS_REVOKED"] * len(streams)
        assert time.monotonic() - began < REACHES_ALL_S + SLOW_MACHINE_S
        await asyncio.gather(*(channel.close() for channel in channels.values()))


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_open_stays_open_and_closed_stays_closed(live: LivePlatform, cast: Cast) -> None:
    """Health and reflection come before any identity; a method that nobody has does not."""
    for name in ("trading_gateway", "edge"):
        port = live.ports[name]["edge" if name == "edge" else "grpc"]
        async with opened(f"127.0.0.1:{port}", "") as channel:
            way: Any = channel
            health = way.unary_unary("/grpc.health.v1.Health/Check")
            assert await health(b"", timeout=LIMIT_S) == b"\x08\x01"  # SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await way.unary_unary("/fxmesh.trading.v1.TradingService/Nothing")(b"", timeout=LIMIT_S)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.asyncio(loop_scope="module")
async def test_no_secret_is_in_any_log(live: LivePlatform, cast: Cast) -> None:
    """After all of the above, in which each was used, rightly and wrongly."""
    home = Home.at(live.home)
    written = live.log
    assert written.count('"event"') > 100
    tokens = [path.read_text() for path in (home.secrets / "tokens").iterdir()]
    private = re.findall(r"BEGIN PRIVATE KEY-----\\n(\S+?)\\n", (home.secrets / SIGNING).read_text())
    assert len(tokens) == len(SERVICES) + 1
    assert private
    for secret in [*cast.secrets, *tokens, *private]:
        # A part is enough to give it away: the secret of a key, the signature of a token.
        assert secret[-24:] not in written
        assert secret not in written
