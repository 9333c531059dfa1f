"""What a person sees of fills that their venue took back, and how he settles one that was never told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading
from fxmesh.types.v1 import market_pb2 as types

from services.cli.link import Link
from services.cli.render import Printer
from services.cli.requests.adopting import adopt
from services.cli.requests.trading import fills

TAKEN = trading.Fill(execution_id="o-1-7", order_id="o-1", side=types.SIDE_BUY, size="10", busted=True)
REVERSAL = trading.Fill(
    execution_id="b-9", order_id="o-1", side=types.SIDE_SELL, size="10", busts_execution_id="o-1-7"
)
OTHER = trading.Fill(execution_id="o-2-1", order_id="o-2", side=types.SIDE_BUY, size="10")


async def test_both_lines_of_a_fill_that_was_taken_back_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_: pb.ListFillsRequest) -> pb.ListFillsResponse:
        return pb.ListFillsResponse(fills=[REVERSAL, OTHER, TAKEN])

    link = SimpleNamespace(trading=SimpleNamespace(ListFills=answer), out=Printer(False))
    await fills(cast("Link", link), "demo", [], "", 20)
    header, reversal, other, taken = capsys.readouterr().out.splitlines()
    assert header.split()[-2:] == ["ORDER", "BUST"]
    assert reversal.endswith("o-1    takes back o-1-7")
    assert other.endswith("o-2")
    assert taken.endswith("o-1    busted")


@pytest.mark.parametrize(
    ("typed", "asked"), [("balance", ""), ("eur/usd", "EURUSD"), ("o-abc-never-told", "o-abc-never-told")]
)
async def test_what_differs_is_named_as_it_is_shown(typed: str, asked: str) -> None:
    requests: list[pb.AdoptVenueFigureRequest] = []

    async def answer(request: pb.AdoptVenueFigureRequest) -> pb.AdoptVenueFigureResponse:
        requests.append(request)
        return pb.AdoptVenueFigureResponse()

    async def mutate(call: Any, what: str, ask: str) -> Any:
        return await call

    link = SimpleNamespace(
        trading=SimpleNamespace(AdoptVenueFigure=answer), mutate=mutate, out=Printer(False)
    )
    await adopt(cast("Link", link), "mine", (typed, "busted", "unknown"), "", "asked them", "r-1")
    assert [each.difference.symbol for each in requests] == [asked]
