"""The composed service: calls over channels with the whole plan of the mesh, events over the bus."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fxmesh.inference.v1 import events_pb2 as inference_events_pb2
from fxmesh.inference.v1 import inference_pb2
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as market_service_pb2
from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import FxError, Kind
from services.trading_gateway.config import Settings
from services.wire.times import timestamp
from tests.kit.signals import strong_signal
from tests.trading_gateway.kit import SECOND, START, batch
from tests.trading_gateway.platform import Platform, platform
from tests.trading_gateway.world import until

pytestmark = pytest.mark.usefixtures("databases")

GOOD = ("1.10000", "1.10010")
BUY, SELL = types_pb2.SIDE_BUY, types_pb2.SIDE_SELL


def order(key: str, side: types_pb2.Side.ValueType = BUY, **more: Any) -> service_pb2.PlaceOrderRequest:
    wanted: dict[str, Any] = {"type": trading_pb2.ORDER_TYPE_MARKET, "size": "10000", **more}
    return service_pb2.PlaceOrderRequest(
        account_id="demo", client_order_id=key, symbol="EURUSD", side=side, **wanted
    )


def limit(key: str, price: str = "1.09900", **more: Any) -> service_pb2.PlaceOrderRequest:
    return order(key, type=trading_pb2.ORDER_TYPE_LIMIT, limit_price=price, **more)


def signal(
    number: int = 1, side: types_pb2.Side.ValueType = BUY, session: str = "syn-1", tick: int = 1
) -> Any:
    return strong_signal(number, side, session, tick, bar_ns=START, time_ns=START)


async def quoted(world: Platform) -> None:
    await world.announce()
    await world.tick(batch([GOOD]))
    world.analysis.bar_ns = START - 60 * SECOND


async def test_withdrawals_go_with_a_halt_and_not_with_its_end(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        await world.stub.PlaceOrder(limit("a"))

        def state(wanted: trading_pb2.TradingState.ValueType) -> service_pb2.SetTradingStateRequest:
            return service_pb2.SetTradingStateRequest(
                request_id=f"r-{wanted}", trading_state=wanted, cancel_entries=True
            )

        with pytest.raises(FxError) as refused:
            await world.stub.SetTradingState(state(trading_pb2.TRADING_STATE_ACTIVE))
        assert refused.value.kind is Kind.INVALID_ARGUMENT
        assert [each.field for each in refused.value.violations] == ["cancel_entries"]
        done = await world.stub.SetTradingState(state(trading_pb2.TRADING_STATE_REDUCING))
        assert dict(done.cancelled_entries) == {"demo": 1}
        await until(lambda: bool(world.of(events_pb2.OrderCancelled)))
        assert world.of(events_pb2.OrderCancelled)[0].order.reason == "TRADING_REDUCING"


async def test_an_order_that_expires_at_no_time_at_all_is_the_callers_fault(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        for key, (seconds, nanos) in enumerate([(253_402_300_799, 0), (-(10**15), 0), (1_400_000_000, -5)]):
            until_then = limit(
                f"k{key}",
                time_in_force=trading_pb2.TIME_IN_FORCE_GTD,
                expires_at=Timestamp(seconds=seconds, nanos=nanos),
            )
            with pytest.raises(FxError) as refused:
                await world.stub.PlaceOrder(until_then)
            assert refused.value.kind is Kind.INVALID_ARGUMENT
            assert [each.field for each in refused.value.violations] == ["expires_at"]
        assert (await world.stub.PlaceOrder(order("good"))).order.status == trading_pb2.ORDER_STATUS_FILLED


async def test_an_order_from_request_to_books_and_events(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        placed = (await world.stub.PlaceOrder(order("a"))).order
        assert placed.status == trading_pb2.ORDER_STATUS_FILLED
        assert (placed.size, placed.filled_size, placed.average_price) == ("10000", "10000", "1.1001000")
        assert (placed.limit_price, placed.stop_price, placed.revision) == ("", "", 3)
        assert placed.time_in_force == trading_pb2.TIME_IN_FORCE_IOC
        assert placed.created_at == timestamp(START)

        await world.tick(batch([("1.10120", "1.10130")], first=2, start_ns=START + SECOND))
        closing = service_pb2.ClosePositionRequest(account_id="demo", symbol="EURUSD", client_order_id="b")
        assert (await world.stub.ClosePosition(closing)).order.side == SELL

        (position,) = (
            await world.stub.ListPositions(
                service_pb2.ListPositionsRequest(account_id="demo", include_flat=True)
            )
        ).positions
        assert (position.size, position.cost, position.average_price) == ("0", "0.0000000", "")
        assert (position.realised_profit, position.unrealised_profit, position.margin) == (
            "11.00",
            "0.00",
            "0.00",
        )
        account = (await world.stub.GetAccount(service_pb2.GetAccountRequest(account_id="demo"))).account
        assert (account.balance, account.equity, account.currency) == ("100011.00", "100011.00", "USD")
        fills = (await world.stub.ListFills(service_pb2.ListFillsRequest(account_id="demo"))).fills
        assert [(each.price, each.realised_profit, each.conversion_rate) for each in fills] == [
            ("1.10120", "11.00", "1"),
            ("1.10010", "0.00", ""),
        ]
        proof = await world.stub.ReconcileAccount(service_pb2.ReconcileAccountRequest(account_id="demo"))
        assert (proof.reconciled, proof.fills) == (True, 2)
        assert {line.name for line in proof.lines} > {"balance", "EURUSD size", "EURUSD cost"}

        await until(lambda: len(world.published) >= 11)
        kinds = [type(each).__name__ for each in world.published]
        one = ["OrderPlaced", "OrderAccepted", "TradeExecuted", "PositionChanged", "AccountChanged"]
        assert kinds == ["AccountChanged", *one, *one]
        assert [each.fill.execution_id for each in world.of(events_pb2.TradeExecuted)] == [
            f"{placed.order_id}-1",
            fills[0].execution_id,
        ]


async def test_an_order_with_its_legs_over_the_wire(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        request = limit(
            "entry",
            "1.09950",
            take_profit=service_pb2.TakeProfit(distance="0.00100"),
            stop_loss=service_pb2.StopLoss(
                trail_distance="0.00050", trigger_side=trading_pb2.TRIGGER_SIDE_MID
            ),
            post_only=True,
        )
        answer = await world.stub.PlaceOrder(request)
        entry, (profit, loss) = answer.order, answer.attached
        assert await world.stub.PlaceOrder(request) == answer
        assert (entry.post_only, profit.distance, loss.trail_distance) == (True, "0.00100", "0.00050")
        assert {profit.status, loss.status} == {trading_pb2.ORDER_STATUS_HELD}
        assert (loss.type, loss.trigger_side) == (
            trading_pb2.ORDER_TYPE_TRAILING_STOP,
            trading_pb2.TRIGGER_SIDE_MID,
        )
        other = limit("entry", "1.09950", post_only=True)
        with pytest.raises(FxError, match="DUPLICATE_CLIENT_ORDER_ID"):
            await world.stub.PlaceOrder(other)

        await world.tick(batch([("1.09940", "1.09950")], first=2, start_ns=START + SECOND))
        family = service_pb2.ListOrdersRequest(parent_order_id=entry.order_id)
        await until(lambda: len(world.of(events_pb2.OrderAccepted)) == 3)
        profit, loss = sorted(
            (await world.stub.ListOrders(family)).orders, key=lambda each: each.limit_price, reverse=True
        )
        assert (profit.limit_price, loss.stop_price) == ("1.10050", "1.09895")
        assert {each.parent_order_id for each in (profit, loss)} == {entry.order_id}

        await world.tick(batch([("1.10050", "1.10060")], first=3, start_ns=START + 2 * SECOND))
        await until(lambda: bool(world.of(events_pb2.OrderCancelled)))
        (gone,) = (each.order for each in world.of(events_pb2.OrderCancelled))
        assert (gone.order_id, gone.reason) == (loss.order_id, "LINK_FILLED")
        placed = [each.order.order_id for each in world.of(events_pb2.OrderPlaced)]
        assert placed == [entry.order_id, profit.order_id, loss.order_id]


async def test_working_an_order_by_request_ids(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        placed = (await world.stub.PlaceOrder(limit("a"))).order
        amended = (
            await world.stub.AmendOrder(
                service_pb2.AmendOrderRequest(
                    request_id="r1", order_id=placed.order_id, limit_price="1.09950", revision=placed.revision
                )
            )
        ).order
        assert (amended.limit_price, amended.size) == ("1.09950", "10000")
        found = (
            await world.stub.FindOrder(service_pb2.FindOrderRequest(account_id="demo", client_order_id="a"))
        ).order
        assert (
            found
            == amended
            == (await world.stub.GetOrder(service_pb2.GetOrderRequest(order_id=placed.order_id))).order
        )
        await world.stub.PlaceOrder(limit("b"))
        cancel = service_pb2.CancelOrderRequest(request_id="r2", order_id=placed.order_id)
        assert (await world.stub.CancelOrder(cancel)).order.status == trading_pb2.ORDER_STATUS_CANCELLED
        every = service_pb2.CancelAllOrdersRequest(request_id="r3", account_id="demo")
        (other,) = (await world.stub.CancelAllOrders(every)).orders
        assert (other.client_order_id, other.reason) == ("b", "CANCELLED_BY_USER")

        await until(lambda: len(world.of(events_pb2.OrderCancelled)) == 2)
        assert world.of(events_pb2.OrderAmended)[0].order == amended


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        for number in range(5):
            await world.stub.PlaceOrder(limit(f"k{number}"))
        seen, token = [], ""
        while True:
            page = await world.stub.ListOrders(
                service_pb2.ListOrdersRequest(account_id="demo", page_size=2, page_token=token)
            )
            seen += [each.client_order_id for each in page.orders]
            token = page.next_page_token
            if not token:
                break
        assert seen == ["k4", "k3", "k2", "k1", "k0"]
        entries = await world.stub.ListLedgerEntries(service_pb2.ListLedgerEntriesRequest(account_id="demo"))
        (entry,) = entries.entries
        assert (entry.amount, entry.balance, entry.source_amount) == ("100000.00", "100000.00", "100000")
        first = await world.stub.ListOrders(service_pb2.ListOrdersRequest(account_id="demo", page_size=2))
        wrong = service_pb2.ListOrdersRequest(account_id="other", page_token=first.next_page_token)
        with pytest.raises(FxError, match="BAD_PAGE_TOKEN"):
            await world.stub.ListOrders(wrong)


async def test_the_stream_of_orders_shows_commits_and_beats(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        await world.stub.PlaceOrder(limit("a"))
        stream = aiter(world.stub.StreamOrders(service_pb2.StreamOrdersRequest(account_id="demo")))

        async def coming() -> Any:
            """The next order; beats come in between when it takes its time."""
            while not (answer := await anext(stream)).HasField("order"):
                pass
            return answer

        first = await coming()
        await world.stub.PlaceOrder(order("b"))
        following = [await coming(), await coming()]
        beat = await anext(stream)
        assert (first.order.client_order_id, first.stream_sequence) == ("a", 1)
        assert [each.order.client_order_id for each in following] == ["b", "b"]
        assert not beat.HasField("order")
        await stream.aclose()


async def test_the_kill_switch_over_the_wire(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        halt = service_pb2.SetTradingStateRequest(
            request_id="r1", trading_state=trading_pb2.TRADING_STATE_HALTED, reason="drill"
        )
        (account,) = (await world.stub.SetTradingState(halt)).accounts
        assert account.trading_state == trading_pb2.TRADING_STATE_HALTED
        with pytest.raises(FxError) as refused:
            await world.stub.PlaceOrder(order("a"))
        assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, "TRADING_HALTED")
        risk = (await world.stub.GetRiskState(service_pb2.GetRiskStateRequest(account_id="demo"))).risk_state
        assert (risk.state_reason, dict(risk.refusals)) == ("drill", {"TRADING_HALTED": 1})
        await until(lambda: bool(world.of(events_pb2.OrderRejected)))
        assert world.of(events_pb2.OrderRejected)[0].order.reason == "TRADING_HALTED"
        assert world.of(events_pb2.TradingStateChanged)[0].reason == "drill"
        off = service_pb2.SetAutoTradeRequest(request_id="r2", account_id="demo", auto_trade=False)
        assert not (await world.stub.SetAutoTrade(off)).account.auto_trade


async def test_opening_accounts(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        asked = service_pb2.OpenAccountRequest(
            request_id="r1", account_id="euros", currency="EUR", deposit="250.5", auto_trade=False
        )
        assert (await world.stub.OpenAccount(asked)).account.balance == "250.50"
        listed = (await world.stub.ListAccounts(service_pb2.ListAccountsRequest())).accounts
        assert [each.account_id for each in listed] == ["demo", "euros"]


async def test_without_an_account_lists_hold_those_of_all(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        await world.stub.OpenAccount(
            service_pb2.OpenAccountRequest(request_id="r", account_id="a", currency="USD", deposit="5000")
        )
        for each in ("demo", "a"):
            placed = order("k")
            placed.account_id = each
            await world.stub.PlaceOrder(placed)
        positions = (await world.stub.ListPositions(service_pb2.ListPositionsRequest())).positions
        assert [(each.account_id, each.symbol) for each in positions] == [("a", "EURUSD"), ("demo", "EURUSD")]
        orders = (await world.stub.ListOrders(service_pb2.ListOrdersRequest())).orders
        fills = (await world.stub.ListFills(service_pb2.ListFillsRequest())).fills
        assert [each.account_id for each in orders] == [each.account_id for each in fills] == ["a", "demo"]


async def test_a_signal_is_traded_and_every_edge_is_called(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        await world.tick(batch([GOOD], first=2, start_ns=START + SECOND, sizes=(1_000, 1_000)))
        levels = [market_pb2.BookLevel(price="1.10010", size="9000000")]
        world.market.books["EURUSD"] = market_pb2.OrderBook(
            session_id="syn-1", symbol="EURUSD", sequence=2, time=timestamp(START + SECOND), asks=levels
        )
        await world.signal(signal())
        await until(lambda: bool(world.of(events_pb2.TradeExecuted)))
        (traded,) = world.of(events_pb2.TradeExecuted)
        assert traded.order.origin == trading_pb2.ORDER_ORIGIN_SIGNAL
        assert traded.order.signal_id == "syn-1:EURUSD:1m:trend:1"
        assert traded.order.status == trading_pb2.ORDER_STATUS_FILLED
        assert traded.fill.size == "250000"
        for method in ("ListQuotes", "ListOrderBooks", "ListSignals", "ListIndicators"):
            assert world.calls_made(method) > 0, method


async def test_a_lockstep_replay_over_the_wire(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await world.announce("r1", replay=True)
        await world.tick(batch([GOOD] * 5, session="r1"), speed=0.0)
        world.analysis.bar_ns = START - 60 * SECOND
        world.market.send(
            barrier=market_service_pb2.LockstepBarrier(
                session_id="r1", symbol="EURUSD", sequence=5, signal_count=1
            )
        )
        await world.signal(signal(session="r1", tick=3))
        await until(lambda: bool(world.market.acknowledged))
        (acknowledged,) = world.market.acknowledged
        assert (acknowledged.consumer, acknowledged.sequence) == ("trading_gateway", 5)
        page = await world.stub.ListOrders(service_pb2.ListOrdersRequest(account_id="replay-r1"))
        assert [each.created_at for each in page.orders] == [timestamp(START + 2 * SECOND)] * 2


async def test_progress_says_when_trading_is_done_with_a_replay(tmp_path: Path) -> None:
    asked = service_pb2.GetSessionProgressRequest(session_id="r1")
    async with platform(tmp_path) as world:
        await world.announce("r1", replay=True)
        await world.tick(batch([GOOD] * 3, session="r1"), speed=10.0)
        await world.signal(signal(session="r1", tick=4))
        (feed,) = (await world.stub.GetSessionProgress(asked)).feeds
        assert (feed.symbol, feed.sequence, feed.session_ended) == ("EURUSD", 3, False)
        await world.broker.drain()
        waiting = await world.stub.GetSessionProgress(asked)
        assert (waiting.signal_count, waiting.undecided_signal_count) == (1, 1)
        await world.tick(batch([], session="r1", first=4), speed=10.0, ended=True)

        async def over() -> bool:
            now = await world.stub.GetSessionProgress(asked)
            return bool(now.feeds[0].session_ended and not now.undecided_signal_count)

        async with asyncio.timeout(10):
            while not await over():
                pass
    async with platform(tmp_path) as world:  # and it still knows after a restart
        (feed,) = (await world.stub.GetSessionProgress(asked)).feeds
        assert (feed.sequence, feed.session_ended) == (3, True)


async def test_drift_over_the_bus(tmp_path: Path) -> None:
    async with platform(tmp_path, Settings(drift_reduces=True)) as world:
        report = inference_pb2.DriftReport(endpoint="e", model_name="m", worst_index=0.4, drifted=True)
        await world.drift(
            inference_events_pb2.ModelDriftDetected(
                endpoint="e", model_version=3, report_number=1, instance_id="i", report=report
            )
        )
        account = (await world.stub.GetAccount(service_pb2.GetAccountRequest(account_id="demo"))).account
        assert account.trading_state == trading_pb2.TRADING_STATE_REDUCING


async def test_a_restart_goes_on_from_where_it_was(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        placed = (await world.stub.PlaceOrder(limit("a"))).order
    async with platform(tmp_path) as world:
        assert world.market.resumed == [[("syn-1", "EURUSD", 1)]]
        await world.announce()
        await world.tick(batch([("1.09880", "1.09890")], first=2, start_ns=START + SECOND))
        done = (await world.stub.GetOrder(service_pb2.GetOrderRequest(order_id=placed.order_id))).order
        assert (done.status, done.average_price) == (trading_pb2.ORDER_STATUS_FILLED, "1.0989000")
        assert (await world.stub.PlaceOrder(limit("a"))).order == done


async def test_absent_peers_stop_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        for peer in ("marketdata.v1.MarketData", "analysis.v1.Analysis"):
            world.channels.withdraw(f"fxmesh.{peer}Service")
        assert (await world.stub.PlaceOrder(order("a"))).order.status == trading_pb2.ORDER_STATUS_FILLED
        await world.signal(signal(side=SELL))
        await world.broker.drain()
        metric = "fxmesh_trading_decisions_total"
        await until(lambda: world.registry.get_sample_value(metric, {"reason": "PEER_UNAVAILABLE"}) == 1.0)
        assert not world.broker.dead_letters
