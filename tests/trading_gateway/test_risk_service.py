"""Limits, storms of orders, margin calls and stop-outs over the wire."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2

from services.errors import FxError, Kind
from services.trading_gateway.config import Settings
from tests.kit.databases import chosen
from tests.trading_gateway.kit import SECOND, START, batch
from tests.trading_gateway.platform import platform
from tests.trading_gateway.test_service import GOOD, order, quoted
from tests.trading_gateway.world import until

pytestmark = pytest.mark.usefixtures("databases")

PATIENT = Settings(feed_stale_seconds=60)
"""On a busy machine two seconds may pass between a tick and the orders that follow it."""


FILLED, REJECTED = trading_pb2.ORDER_STATUS_FILLED, trading_pb2.ORDER_STATUS_REJECTED


async def test_limits_over_the_wire_are_audited_with_who_set_them(tmp_path: Path) -> None:
    async with platform(tmp_path, PATIENT) as world:
        await quoted(world)
        name = trading_pb2.RISK_LIMIT_NAME_ORDER_NOTIONAL
        asked = service_pb2.SetRiskLimitsRequest(
            request_id="r1",
            account_id="demo",
            symbol="EURUSD",
            limits=[trading_pb2.RiskLimitSetting(name=name, value="500")],
            reason="new desk",
        )
        first, again = await world.stub.SetRiskLimits(asked), await world.stub.SetRiskLimits(asked)
        (change,) = first.changes
        assert list(again.changes) == [change]
        assert (change.old_value, change.new_value, change.reason) == ("", "500.00", "new desk")
        assert change.changed_by and change.HasField("changed_at")
        (shown,) = (each for each in first.risk_state.limits if each.set_at_run_time)
        assert (shown.name, shown.symbol, shown.limit, shown.unit) == (
            "order_notional", "EURUSD", "500.00", "USD",
        )  # fmt: skip
        with pytest.raises(FxError) as refused:
            await world.stub.PlaceOrder(order("a"))
        assert refused.value.reason == "NOTIONAL_LIMIT"
        await until(lambda: bool(world.of(events_pb2.RiskLimitChanged)))
        assert world.of(events_pb2.RiskLimitChanged)[0].change == change

        asked.request_id, asked.limits[0].value = "r2", ""
        await world.stub.SetRiskLimits(asked)
        page = await world.stub.ListRiskLimitChanges(
            service_pb2.ListRiskLimitChangesRequest(account_id="demo", page_size=1)
        )
        assert [(each.number, each.old_value, each.new_value) for each in page.changes] == [(2, "500.00", "")]
        rest = await world.stub.ListRiskLimitChanges(
            service_pb2.ListRiskLimitChangesRequest(account_id="demo", page_token=page.next_page_token)
        )
        assert list(rest.changes) == [change]


async def test_a_storm_of_orders_is_told_once(tmp_path: Path) -> None:
    async with platform(tmp_path, PATIENT) as world:
        await quoted(world)
        name = trading_pb2.RISK_LIMIT_NAME_ORDERS_PER_SECOND
        limit_ = trading_pb2.RiskLimitSetting(name=name, value="1")
        await world.stub.SetRiskLimits(
            service_pb2.SetRiskLimitsRequest(request_id="r", account_id="demo", limits=[limit_])
        )
        await world.stub.PlaceOrder(order("a"))
        for number in range(20):
            with pytest.raises(FxError) as refused:
                await world.stub.PlaceOrder(order(f"b{number}"))
            assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, "ORDER_RATE")
        await until(lambda: sum(each.count for each in world.of(events_pb2.OrdersRefused)) == 20)
        assert world.of(events_pb2.OrderRejected) == []
        orders = (await world.stub.ListOrders(service_pb2.ListOrdersRequest(account_id="demo"))).orders
        assert [each.client_order_id for each in orders] == ["a"]
        risk = (await world.stub.GetRiskState(service_pb2.GetRiskStateRequest(account_id="demo"))).risk_state
        assert dict(risk.refusals) == {"ORDER_RATE": 20}


async def test_a_gateway_that_is_stopped_tells_the_refusals_of_its_last_moment(tmp_path: Path) -> None:
    async with platform(tmp_path, PATIENT.model_copy(update={"max_orders_per_second": 1})) as world:
        await quoted(world)
        await world.stub.PlaceOrder(order("a"))
        for number in range(5):
            with pytest.raises(FxError, match="ORDER_RATE"):
                await world.stub.PlaceOrder(order(f"b{number}"))
    books = chosen().engine(tmp_path / "trading.db")
    with books.connect() as connection:
        told = connection.exec_driver_sql("SELECT payload FROM journal WHERE kind = 'OrdersRefused'").all()
    books.dispose()
    assert sum(json.loads(payload)["count"] for (payload,) in told) == 5


async def test_a_margin_call_and_a_stop_out_over_the_wire(tmp_path: Path) -> None:
    async with platform(tmp_path, PATIENT) as world:
        await quoted(world)
        await world.stub.PlaceOrder(order("a"))
        levels = [
            trading_pb2.RiskLimitSetting(name=name, value="100")
            for name in (trading_pb2.RISK_LIMIT_NAME_MARGIN_CALL, trading_pb2.RISK_LIMIT_NAME_LEVERAGE)
        ]
        asked = service_pb2.SetRiskLimitsRequest(request_id="r1", account_id="demo", limits=levels)
        await world.stub.SetRiskLimits(asked)
        get = service_pb2.GetAccountRequest(account_id="demo")
        account = (await world.stub.GetAccount(get)).account
        assert float(account.margin_level) > 100 and not account.margin_called
        asked = service_pb2.SetRiskLimitsRequest(
            request_id="r2",
            account_id="demo",
            limits=[
                trading_pb2.RiskLimitSetting(name=trading_pb2.RISK_LIMIT_NAME_LEVERAGE, value="1"),
                trading_pb2.RiskLimitSetting(name=trading_pb2.RISK_LIMIT_NAME_STOP_OUT, value="100"),
            ],
        )
        await world.stub.SetRiskLimits(asked)
        await world.tick(batch([GOOD], first=2, start_ns=START + SECOND))
        await until(lambda: bool(world.of(events_pb2.PositionStoppedOut)))
        called = world.of(events_pb2.MarginCallChanged)[0]
        assert called.raised and called.equity == account.equity
        out = world.of(events_pb2.PositionStoppedOut)[0]
        assert (out.position.symbol, out.margin_level) == ("EURUSD", called.margin_level)
        asked_order = service_pb2.GetOrderRequest(order_id=out.order_id)
        closing = (await world.stub.GetOrder(asked_order)).order
        assert closing.origin == trading_pb2.ORDER_ORIGIN_RISK
        assert closing.status == trading_pb2.ORDER_STATUS_FILLED
        proof = await world.stub.ReconcileAccount(service_pb2.ReconcileAccountRequest(account_id="demo"))
        assert proof.reconciled


async def test_an_order_sent_before_the_market_was_heard_holds_nothing_up(tmp_path: Path) -> None:
    """Its time is the clock's, years ahead of the market that is played here."""
    one_a_second = PATIENT.model_copy(update={"max_orders_per_second": 1})
    async with platform(tmp_path, one_a_second) as world:
        with pytest.raises(FxError, match="FEED_STALE"):
            await world.stub.PlaceOrder(order("early"))
        await quoted(world)
        await world.stub.PlaceOrder(order("a"))
        orders = (await world.stub.ListOrders(service_pb2.ListOrdersRequest(account_id="demo"))).orders
        first, early = sorted(orders, key=lambda each: each.client_order_id)
        assert (first.status, early.status) == (FILLED, REJECTED)
        assert first.created_at.ToNanoseconds() < early.created_at.ToNanoseconds()
