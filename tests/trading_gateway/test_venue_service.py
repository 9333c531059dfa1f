"""The composed service with a simulated venue: opened by name, traded on, still right after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fxmesh.trading.v1 import events_pb2, service_pb2, trading_pb2

from services.errors import FxError, Kind
from services.trading_gateway.config import Settings
from tests.trading_gateway.kit import batch
from tests.trading_gateway.platform import Platform, platform
from tests.trading_gateway.test_service import GOOD, limit, order, quoted
from tests.trading_gateway.world import until

AGREED = trading_pb2.VENUE_STATE_AGREED


def settings(**more: Any) -> Settings:
    return Settings(simulated_venue="far", venue_settle_seconds=0.2, venue_audit_seconds=0.5, **more)


async def opened(world: Platform) -> None:
    asked = service_pb2.OpenAccountRequest(
        request_id="r", account_id="outside", currency="USD", deposit="100000", venue="far"
    )
    answer = (await world.stub.OpenAccount(asked)).account
    assert answer.venue == "far"


async def account(world: Platform) -> trading_pb2.Account:
    wanted = service_pb2.GetAccountRequest(account_id="outside")
    return (await world.stub.GetAccount(wanted)).account  # type: ignore[no-any-return]


async def agreed(world: Platform) -> None:
    """Once books and venue agree."""
    while (await account(world)).venue_state != AGREED:
        await until(lambda: True)


async def placed(world: Platform, request: service_pb2.PlaceOrderRequest) -> trading_pb2.Order:
    request.account_id = "outside"
    return (await world.stub.PlaceOrder(request)).order  # type: ignore[no-any-return]


async def become(world: Platform, one: trading_pb2.Order, status: int) -> trading_pb2.Order:
    """The order, once it is in that state."""
    while True:
        found = (await world.stub.GetOrder(service_pb2.GetOrderRequest(order_id=one.order_id))).order
        if found.status == status:
            return found  # type: ignore[no-any-return]


async def test_an_account_trades_on_the_venue_it_names(tmp_path: Path) -> None:
    async with platform(tmp_path, settings()) as world:
        await quoted(world)
        await opened(world)
        await agreed(world)
        filled = await become(world, await placed(world, order("k1")), trading_pb2.ORDER_STATUS_FILLED)
        assert filled.average_price == "1.1001000"
        resting = await become(world, await placed(world, limit("k2")), trading_pb2.ORDER_STATUS_ACCEPTED)
        told = world.of(events_pb2.AccountChanged)
        await until(lambda: any(each.account.venue_state == AGREED for each in told))
    async with platform(tmp_path, settings()) as world:
        await agreed(world)  # by what the venue's own file says
        await world.announce()
        await world.tick(batch([GOOD, ("1.09880", "1.09890")], first=2))
        await become(world, resting, trading_pb2.ORDER_STATUS_FILLED)
        books = await world.stub.ReconcileAccount(service_pb2.ReconcileAccountRequest(account_id="outside"))
        assert books.reconciled
        positions = await world.stub.ListPositions(service_pb2.ListPositionsRequest(account_id="outside"))
        assert [each.size for each in positions.positions] == ["20000"]


async def test_without_the_venue_its_accounts_take_no_order(tmp_path: Path) -> None:
    async with platform(tmp_path, settings()) as world:
        await quoted(world)
        await opened(world)
        await agreed(world)
    async with platform(tmp_path) as world:
        await world.announce()
        await world.tick(batch([GOOD], first=2))
        assert (await account(world)).venue_state == trading_pb2.VENUE_STATE_RECONCILING
        with pytest.raises(FxError) as refused:
            await placed(world, order("k1"))
        assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, "VENUE_RECONCILING")
        demo = await world.stub.PlaceOrder(order("k2"))
        assert demo.order.status == trading_pb2.ORDER_STATUS_FILLED


async def test_a_venue_that_there_is_not_is_the_callers_fault(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        with pytest.raises(FxError) as refused:
            await opened(world)
        assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_ARGUMENT, "UNKNOWN_VENUE")


def difference(symbol: str, theirs: str, ours: str) -> trading_pb2.VenueDifference:
    return trading_pb2.VenueDifference(symbol=symbol, venue_figure=theirs, books_figure=ours)


async def test_a_difference_is_shown_adopted_and_told(tmp_path: Path) -> None:
    async with platform(tmp_path, settings(simulated_accounts=("outside:USD:100012.35",))) as world:
        await quoted(world)
        await opened(world)
        while (await account(world)).venue_state != trading_pb2.VENUE_STATE_DIFFERS:
            await until(lambda: True)
        shown = (await account(world)).venue_differences
        assert list(shown) == [difference("", "100012.35", "100000")]
        stale = service_pb2.AdoptVenueFigureRequest(
            request_id="r-1", account_id="outside", difference=difference("", "1", "2"), reason="opening"
        )
        with pytest.raises(FxError) as refused:
            await world.stub.AdoptVenueFigure(stale)
        assert (refused.value.kind, refused.value.reason) == (Kind.ABORTED, "DIFFERENCE_CHANGED")
        asked = service_pb2.AdoptVenueFigureRequest(
            request_id="r-2", account_id="outside", difference=shown[0], reason="opening"
        )
        adopted = (await world.stub.AdoptVenueFigure(asked)).account
        assert (adopted.venue_state, adopted.balance, adopted.adjusted) == (AGREED, "100012.35", "12.35")
        assert not adopted.venue_differences
        assert (await world.stub.AdoptVenueFigure(asked)).account.adjusted == "12.35"
        listed = await world.stub.ListTransactions(service_pb2.ListTransactionsRequest(account_id="outside"))
        last = listed.transactions[-1]
        assert last.kind == trading_pb2.TRANSACTION_KIND_ADJUSTMENT
        assert last.detail.endswith(": opening")
        assert last.detail.startswith("100012.35 at the venue for 100000 here, by ")
        entries = await world.stub.ListLedgerEntries(
            service_pb2.ListLedgerEntriesRequest(account_id="outside")
        )
        assert entries.entries[-1].kind == trading_pb2.LEDGER_KIND_ADJUSTMENT
        assert entries.entries[-1].detail == last.detail
        filled = await become(world, await placed(world, order("k1")), trading_pb2.ORDER_STATUS_FILLED)
        assert filled.filled_size == "10000"
        told = world.of(events_pb2.AccountChanged)
        await until(lambda: any(each.account.adjusted == "12.35" for each in told))


async def test_no_reason_no_adoption(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        asked = service_pb2.AdoptVenueFigureRequest(
            request_id="r-1", account_id="demo", difference=difference("", "1", "2")
        )
        with pytest.raises(FxError) as refused:
            await world.stub.AdoptVenueFigure(asked)
        assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
