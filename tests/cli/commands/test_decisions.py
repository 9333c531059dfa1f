"""`decisions`, and the switches of auto-trading that they follow."""

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.types.v1 import market_pb2 as types
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.render import Printer
from services.cli.requests import decisions
from tests.cli.commands.conftest import Fxmesh

ENTRY = trading_pb2.Order(
    order_id="o-1",
    side=types.SIDE_BUY,
    type=trading_pb2.ORDER_TYPE_MARKET,
    size="250000",
    filled_size="250000",
    average_price="1.1001000",
    status=trading_pb2.ORDER_STATUS_FILLED,
)
STOP = trading_pb2.Order(
    order_id="o-2",
    side=types.SIDE_SELL,
    type=trading_pb2.ORDER_TYPE_STOP,
    size="250000",
    stop_price="1.09810",
    status=trading_pb2.ORDER_STATUS_ACCEPTED,
)
ORDERED = trading_pb2.Decision(
    signal_id="syn-1:EURUSD:1m:trend:1",
    symbol="EURUSD",
    side=types.SIDE_BUY,
    strategy="trend",
    timeframe="1m",
    strength="0.8",
    probability="0.6",
    score="0.48",
    reason="ORDERED",
    reason_detail="score 0.480: risks 500.00 USD over a stop of 0.00200",
    risked="500.00",
    stop_distance="0.00200",
    order_id="o-1",
    orders=[ENTRY, STOP],
    fills=[
        trading_pb2.Fill(
            side=types.SIDE_BUY, size="250000", price="1.10010", realised_profit="0.00", commission="9.63"
        )
    ],
    correlation_id="0190-abc",
    time=Timestamp(seconds=1_399_460_400),
)
LEFT_ALONE = trading_pb2.Decision(
    symbol="USDJPY",
    side=types.SIDE_SELL,
    strategy="breakout",
    timeframe="5m",
    score="0.1",
    reason="WEAK_SIGNAL",
    reason_detail="score 0.100 is below 0.200",
    time=Timestamp(seconds=1_399_460_340),
)


def shown(explain: bool, *made: trading_pb2.Decision) -> None:
    """Print what the command prints of these."""

    async def answer(_: Any) -> service_pb2.ListDecisionsResponse:
        return service_pb2.ListDecisionsResponse(decisions=made)

    link: Any = SimpleNamespace(trading=SimpleNamespace(ListDecisions=answer), out=Printer(False))
    asyncio.run(decisions.decisions(link, "demo", [], False, explain, 20))


def test_a_decision_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    shown(False, ORDERED, LEFT_ALONE)
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[-2:] == ["DECISION", "BECAUSE"]
    row = "2014-05-07 11:00:00 EURUSD buy trend 1m 0.48 250000 250000 1.1001000 ORDERED score 0.480:"
    assert " ".join(first.split()).startswith(row)
    assert " ".join(second.split()) == (
        "2014-05-07 10:59:00 USDJPY sell breakout 5m 0.1 WEAK_SIGNAL score 0.100 is below 0.200"
    )


def test_explained_it_goes_from_the_signal_to_the_fills(capsys: pytest.CaptureFixture[str]) -> None:
    shown(True, ORDERED)
    assert capsys.readouterr().out == (
        "time (UTC)   2014-05-07 11:00:00\n"
        "signal       trend 1m buy EURUSD, strength 80.00 %, probability 60.00 %, score 48.00 %\n"
        "decision     ORDERED: score 0.480: risks 500.00 USD over a stop of 0.00200\n"
        "risk         risks 500.00, stop 0.00200 away\n"
        "order        buy 250000 market: filled (o-1)\n"
        "order        sell 250000 stop at 1.09810: accepted (o-2)\n"
        "fill         buy 250000 at 1.10010, profit 0.00, commission 9.63\n"
        "correlation  0190-abc\n"
        "signal id    syn-1:EURUSD:1m:trend:1\n"
    )


def test_without_signals_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    shown(True)
    shown(False)
    assert capsys.readouterr().out == "No signal was decided about.\n" * 2


def test_of_an_account_that_trades_by_hand_there_are_none_and_its_switches_are_shown(fxmesh: Fxmesh) -> None:
    name = f"d-{uuid.uuid4().hex[:12]}"
    fxmesh("accounts", "open", name, "--auto-trade")
    off = fxmesh("accounts", "auto-trade", name, "off", "--symbol", "usdjpy", "--reason", "a test")
    assert off.code == 0
    assert "on but USDJPY" in off.out
    assert fxmesh("account", name, "--json").data["account"]["autoTradeOff"] == ["USDJPY"]
    audit = fxmesh("risk", name, "--changes").out
    assert "auto trade" in audit
    assert "a test" in audit
    fxmesh("accounts", "auto-trade", name, "off")
    assert fxmesh("account", name, "--json").data["account"]["autoTrade"] is False
    assert fxmesh("decisions", "--account", name, "--ordered", "--json").data["decisions"] == []
    assert fxmesh("decisions", "--account", "nobody").code == 4
