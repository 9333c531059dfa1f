"""Accounts, orders, positions and switches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1 import market_pb2 as types

from tests.integration.repetitions.case import Case, Count, Platform, Twice, key


async def opened(platform: Platform) -> str:
    """A new account, of which nobody else knows."""
    account = f"twice-{key()[:8]}"
    await platform.trading.OpenAccount(opening(account))
    return account


def opening(account: str) -> pb.OpenAccountRequest:
    return pb.OpenAccountRequest(request_id=key(), account_id=account, currency="USD", deposit="100000")


def order(account: str, **given: Any) -> pb.PlaceOrderRequest:
    """To buy EURUSD at the market, unless said otherwise."""
    plain = {
        "account_id": account,
        "symbol": "EURUSD",
        "side": types.SIDE_BUY,
        "size": "1000",
        "type": trading_pb2.ORDER_TYPE_MARKET,
    }
    return pb.PlaceOrderRequest(**{**plain, "client_order_id": key(), **given})


def resting(account: str) -> pb.PlaceOrderRequest:
    return order(account, type=trading_pb2.ORDER_TYPE_LIMIT, limit_price="1.05000")


def orders(platform: Platform, account: str) -> Count:
    async def count() -> int:
        asked = pb.ListOrdersRequest(account_id=account, page_size=100)
        return len((await platform.trading.ListOrders(asked)).orders)

    return count


def fills(platform: Platform, account: str) -> Count:
    async def count() -> int:
        asked = pb.ListFillsRequest(account_id=account, page_size=100)
        return len((await platform.trading.ListFills(asked)).fills)

    return count


def revision(platform: Platform, order_id: str) -> Count:
    async def count() -> int:
        return int((await platform.trading.GetOrder(pb.GetOrderRequest(order_id=order_id))).order.revision)

    return count


async def open_account(platform: Platform, twice: Twice) -> None:
    async def accounts() -> int:
        return len((await platform.trading.ListAccounts(pb.ListAccountsRequest())).accounts)

    account = f"twice-{key()[:8]}"
    assert (await twice(opening(account), accounts)).account.account_id == account


async def place_order(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)
    placed = await twice(order(account), orders(platform, account))
    assert placed.order.account_id == account
    assert await fills(platform, account)() == 1


async def amend_order(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)
    placed = (await platform.trading.PlaceOrder(resting(account))).order.order_id
    amend = pb.AmendOrderRequest(request_id=key(), order_id=placed, limit_price="1.04000")
    await twice(amend, revision(platform, placed), effects=2)  # asked for, and done


async def cancel_order(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)
    placed = (await platform.trading.PlaceOrder(resting(account))).order.order_id
    cancel = pb.CancelOrderRequest(request_id=key(), order_id=placed)
    cancelled = await twice(cancel, revision(platform, placed), effects=2)  # asked for, and done
    assert cancelled.order.status == trading_pb2.ORDER_STATUS_CANCELLED


async def cancel_all_orders(platform: Platform, twice: Twice) -> None:
    """An order that came after the first is not cancelled by the second."""
    account = await opened(platform)
    await platform.trading.PlaceOrder(resting(account))

    async def another() -> None:
        await platform.trading.PlaceOrder(resting(account))

    async def statuses() -> list[int]:
        asked = pb.ListOrdersRequest(account_id=account, page_size=100)
        return sorted(each.status for each in (await platform.trading.ListOrders(asked)).orders)

    await twice.late(pb.CancelAllOrdersRequest(request_id=key(), account_id=account), another, statuses)
    assert await statuses() == [trading_pb2.ORDER_STATUS_ACCEPTED, trading_pb2.ORDER_STATUS_CANCELLED]


async def close_position(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)
    await platform.trading.PlaceOrder(order(account))
    close = pb.ClosePositionRequest(account_id=account, symbol="EURUSD", client_order_id=key())
    await twice(close, orders(platform, account))
    assert await fills(platform, account)() == 2


async def flatten_account(platform: Platform, twice: Twice) -> None:
    """What was opened after the first is not closed by the second."""
    account = await opened(platform)
    await platform.trading.PlaceOrder(resting(account))
    await platform.trading.PlaceOrder(order(account))

    async def another() -> None:
        await platform.trading.PlaceOrder(order(account))

    async def held() -> list[str]:
        asked = pb.ListPositionsRequest(account_id=account)
        return [each.size for each in (await platform.trading.ListPositions(asked)).positions]

    await twice.late(pb.FlattenAccountRequest(request_id=key(), account_id=account), another, held)
    assert await held() == ["1000"]
    assert await fills(platform, account)() == 3


async def set_trading_state(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)

    def state(wanted: int) -> pb.SetTradingStateRequest:
        return pb.SetTradingStateRequest(
            request_id=key(),
            account_id=account,
            trading_state=wanted,  # type: ignore[arg-type]
        )

    async def resume() -> None:
        await platform.trading.SetTradingState(state(trading_pb2.TRADING_STATE_ACTIVE))

    async def now() -> int:
        asked = pb.GetAccountRequest(account_id=account)
        return int((await platform.trading.GetAccount(asked)).account.trading_state)

    await twice.late(state(trading_pb2.TRADING_STATE_HALTED), resume, now)
    assert await now() == trading_pb2.TRADING_STATE_ACTIVE


async def set_auto_trade(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)

    def wanted(on: bool) -> pb.SetAutoTradeRequest:
        return pb.SetAutoTradeRequest(request_id=key(), account_id=account, auto_trade=on)

    async def switch_off() -> None:
        await platform.trading.SetAutoTrade(wanted(False))

    async def now() -> bool:
        asked = pb.GetAccountRequest(account_id=account)
        return bool((await platform.trading.GetAccount(asked)).account.auto_trade)

    await twice.late(wanted(True), switch_off, now)
    assert await now() is False


async def set_risk_limits(platform: Platform, twice: Twice) -> None:
    account = await opened(platform)

    def wanted(leverage: str) -> pb.SetRiskLimitsRequest:
        name = trading_pb2.RISK_LIMIT_NAME_LEVERAGE
        setting = trading_pb2.RiskLimitSetting(name=name, value=leverage)
        return pb.SetRiskLimitsRequest(request_id=key(), account_id=account, limits=[setting])

    async def loosen() -> None:
        await platform.trading.SetRiskLimits(wanted("7"))

    async def audit() -> list[str]:
        asked = pb.ListRiskLimitChangesRequest(account_id=account)
        return [each.new_value for each in (await platform.trading.ListRiskLimitChanges(asked)).changes]

    await twice.late(wanted("5"), loosen, audit)
    assert await audit() == ["7", "5"]


async def adopt_venue_figure(platform: Platform, twice: Twice) -> None:
    account = "twice-far"  # has 1000 there
    await platform.trading.OpenAccount(
        pb.OpenAccountRequest(
            request_id=key(), account_id=account, currency="USD", deposit="900", venue="far"
        )
    )

    async def differences() -> list[trading_pb2.VenueDifference]:
        found = (await platform.trading.GetAccount(pb.GetAccountRequest(account_id=account))).account
        return list(found.venue_differences)

    while not await differences():  # noqa: ASYNC110 another process has no event to wait for
        await asyncio.sleep(0.05)

    async def transactions() -> int:
        asked = pb.ListTransactionsRequest(account_id=account)
        return len((await platform.trading.ListTransactions(asked)).transactions)

    (shown,) = await differences()
    request = pb.AdoptVenueFigureRequest(
        request_id=key(), account_id=account, difference=shown, reason="opening"
    )
    answer = await twice(request, transactions)
    assert answer.account.balance == "1000.00"


CASES: Mapping[str, Case] = {
    "OpenAccount": open_account,
    "PlaceOrder": place_order,
    "AmendOrder": amend_order,
    "CancelOrder": cancel_order,
    "CancelAllOrders": cancel_all_orders,
    "ClosePosition": close_position,
    "FlattenAccount": flatten_account,
    "SetTradingState": set_trading_state,
    "SetAutoTrade": set_auto_trade,
    "SetRiskLimits": set_risk_limits,
    "AdoptVenueFigure": adopt_venue_figure,
}
