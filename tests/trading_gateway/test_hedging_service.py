"""A hedging account over channels with the whole plan of the mesh."""

from __future__ import annotations

from pathlib import Path

from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2

from services.wire.times import timestamp
from tests.trading_gateway.kit import START
from tests.trading_gateway.platform import platform
from tests.trading_gateway.test_service import BUY, SELL, order, quoted
from tests.trading_gateway.world import until


async def test_a_hedging_account_from_request_to_books_and_events(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        opening = service_pb2.OpenAccountRequest(
            request_id="r",
            account_id="hedged",
            currency="USD",
            deposit="50000",
            position_mode=trading_pb2.POSITION_MODE_HEDGING,
        )
        account = (await world.stub.OpenAccount(opening)).account
        assert account.position_mode == trading_pb2.POSITION_MODE_HEDGING
        opened = []
        for key, side in (("long", BUY), ("short", SELL)):
            wanted = order(key, side)
            wanted.account_id = "hedged"
            opened.append((await world.stub.PlaceOrder(wanted)).order)
        assert [each.position_id for each in opened] == ["", ""]

        closing = order("part", SELL, size="4000", position_id=opened[0].order_id)
        closing.account_id = "hedged"
        closed = (await world.stub.PlaceOrder(closing)).order
        assert (closed.position_id, closed.reduce_only) == (opened[0].order_id, True)
        listing = service_pb2.ListPositionsRequest(account_id="hedged")
        positions = (await world.stub.ListPositions(listing)).positions
        assert [(each.position_id, each.size) for each in positions] == [
            (opened[0].order_id, "6000"),
            (opened[1].order_id, "-10000"),
        ]
        assert [each.margin for each in positions] == ["219.78", "366.34"]  # each as if alone
        assert all(each.opened_at == timestamp(START) for each in positions)
        account = (await world.stub.GetAccount(service_pb2.GetAccountRequest(account_id="hedged"))).account
        assert account.margin_used == "366.34"  # the larger side: 10,000 × 1.10010 × 3.33 %

        fills = (await world.stub.ListFills(service_pb2.ListFillsRequest(account_id="hedged"))).fills
        assert [each.position_id for each in fills] == [
            opened[0].order_id,
            opened[1].order_id,
            opened[0].order_id,
        ]
        await until(lambda: len(world.of(events_pb2.PositionChanged)) == 3)  # none taken for another
        told = world.of(events_pb2.PositionChanged)
        assert [each.position.position_id for each in told] == [
            opened[0].order_id,
            opened[1].order_id,
            opened[0].order_id,
        ]
        proof = service_pb2.ReconcileAccountRequest(account_id="hedged")
        assert (await world.stub.ReconcileAccount(proof)).reconciled
