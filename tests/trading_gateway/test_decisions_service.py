"""What auto-trading made of signals, over channels with the whole plan of the mesh."""

from __future__ import annotations

from pathlib import Path

import pytest
from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2

from services.errors import FxError
from services.runtime import context
from tests.trading_gateway.platform import Platform, platform
from tests.trading_gateway.test_service import BUY, SELL, quoted, signal
from tests.trading_gateway.world import until


async def test_a_decision_is_told_from_the_signal_to_the_fills(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        context.correlation_id.set("the-story")
        await world.signal(signal())
        context.correlation_id.set(None)
        await until(lambda: len(world.of(events_pb2.OrderAccepted)) == 2)
        asked = service_pb2.ListDecisionsRequest(account_id="demo")
        (made,) = (await world.stub.ListDecisions(asked)).decisions
        assert (made.signal_id, made.symbol, made.side) == ("syn-1:EURUSD:1m:trend:1", "EURUSD", BUY)
        assert (made.strategy, made.timeframe) == ("trend", "1m")
        assert (made.strength, made.probability, made.score) == ("0.8", "0.6", "0.48")
        assert made.reason == "ORDERED"
        assert made.risked == "500.00"  # half a percent of 100,000 USD
        entry, stop = made.orders
        assert (entry.order_id, entry.size) == (made.order_id, entry.filled_size)
        assert (stop.type, stop.parent_order_id) == (trading_pb2.ORDER_TYPE_STOP, entry.order_id)
        (fill,) = made.fills
        assert (fill.order_id, fill.size) == (entry.order_id, entry.size)
        assert made.correlation_id == "the-story"


async def decided(world: Platform, count: int) -> None:
    """Return once so many signals were decided about."""

    def reached() -> bool:
        (counter,) = (each for each in world.registry.collect() if each.name == "fxmesh_trading_decisions")
        return sum(each.value for each in counter.samples if each.name.endswith("_total")) == count

    await until(reached)


async def test_decisions_come_in_pages_newest_first(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        for number, side in enumerate((BUY, BUY, SELL), 1):
            await world.signal(signal(number, side))
            await decided(world, number)
        every = service_pb2.ListDecisionsRequest(account_id="demo")
        reasons = [each.reason for each in (await world.stub.ListDecisions(every)).decisions]
        assert reasons == ["ORDERED", "ALREADY_IN_POSITION", "ORDERED"]
        ordered = service_pb2.ListDecisionsRequest(account_id="demo", ordered_only=True, symbol=["EURUSD"])
        assert [each.side for each in (await world.stub.ListDecisions(ordered)).decisions] == [SELL, BUY]

        found = []
        page = service_pb2.ListDecisionsRequest(account_id="demo", page_size=2)
        while True:
            answer = await world.stub.ListDecisions(page)
            found += [each.signal_id for each in answer.decisions]
            page.page_token = answer.next_page_token
            if not page.page_token:
                break
        assert found == [f"syn-1:EURUSD:1m:trend:{number}" for number in (3, 2, 1)]


@pytest.mark.parametrize(
    ("account", "symbol", "reason"),
    [("nobody", [], "UNKNOWN_ACCOUNT"), ("demo", ["AAABBB"], "UNKNOWN_SYMBOL")],
)
async def test_decisions_of_what_there_is_not(
    tmp_path: Path, account: str, symbol: list[str], reason: str
) -> None:
    async with platform(tmp_path) as world:
        with pytest.raises(FxError, match=reason):
            await world.stub.ListDecisions(
                service_pb2.ListDecisionsRequest(account_id=account, symbol=symbol)
            )
