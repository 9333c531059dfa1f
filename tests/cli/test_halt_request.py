"""`halt` where the platform answers the switch and then nothing more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli.link import Link
from services.cli.render import Printer
from services.cli.requests.accounts import set_state
from services.errors import FxError, Kind


async def test_a_halt_has_happened_though_nobody_can_say_what_still_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def switch(request: pb.SetTradingStateRequest) -> pb.SetTradingStateResponse:
        halted = trading.Account(account_id=request.account_id, trading_state=request.trading_state)
        return pb.SetTradingStateResponse(accounts=[halted])

    async def orders(_: pb.ListOrdersRequest) -> pb.ListOrdersResponse:
        raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "nobody answers")

    async def mutate(call: Any, what: str, ask: str) -> Any:
        return await call

    stubs = SimpleNamespace(SetTradingState=switch, ListOrders=orders)
    link = SimpleNamespace(trading=stubs, mutate=mutate, out=Printer(False))
    await set_state(cast("Link", link), "demo", "halted", "drill", "r-1")
    told = capsys.readouterr().out
    assert "halted" in told
    assert "It is unknown which entry orders still work (nobody answers)" in told
