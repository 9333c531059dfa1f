"""TradingService: decode, call the handler, encode. Where several gateways share a database, the books are
those of the one that holds the lease, and it answers for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import service_pb2_grpc
from typing_extensions import override

from services.paging import encode_token, page_size
from services.runtime import context as call_context
from services.runtime.leaders import Leaders
from services.runtime.passing import answered_by_leader, streamed_by_leader
from services.trading_gateway import wire
from services.trading_gateway.handlers import (
    Accounts,
    Adopting,
    Decisions,
    Flattening,
    Halting,
    Orders,
    Progress,
    RiskLimits,
)
from services.trading_gateway.wire import decisions, requests

Context = grpc.aio.ServicerContext[Any, Any]


class TradingServicer(service_pb2_grpc.TradingServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(
        self,
        accounts: Accounts,
        orders: Orders,
        flattening: Flattening,
        limits: RiskLimits,
        progress: Progress,
        decisions: Decisions,
        adopting: Adopting,
        halting: Halting,
        leaders: Leaders[service_pb2_grpc.TradingServiceStub],
    ) -> None:
        self.leaders = leaders
        self._accounts = accounts
        self._orders = orders
        self._flattening = flattening
        self._limits = limits
        self._progress = progress
        self._decisions = decisions
        self._adopting = adopting
        self._halting = halting

    @override
    @answered_by_leader
    async def OpenAccount(self, request: pb.OpenAccountRequest, context: Context) -> pb.OpenAccountResponse:
        view = await self._accounts.open(
            request.request_id,
            request.account_id,
            request.currency,
            request.deposit,
            auto_trade=request.auto_trade,
            mode=requests.position_mode(request.position_mode),
            venue=request.venue,
        )
        return pb.OpenAccountResponse(account=wire.account(view))

    @override
    @answered_by_leader
    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        return pb.ListAccountsResponse(accounts=[wire.account(each) for each in await self._accounts.all()])

    @override
    @answered_by_leader
    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        return pb.GetAccountResponse(account=wire.account(await self._accounts.get(request.account_id)))

    @override
    @answered_by_leader
    async def SetAutoTrade(
        self, request: pb.SetAutoTradeRequest, context: Context
    ) -> pb.SetAutoTradeResponse:
        view = await self._accounts.set_auto_trade(
            request.request_id,
            request.account_id,
            auto_trade=request.auto_trade,
            symbol=request.symbol,
            reason=request.reason,
            changed_by=call_context.principal.get().label,
        )
        return pb.SetAutoTradeResponse(account=wire.account(view))

    @override
    @answered_by_leader
    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.PlaceOrderResponse:
        terms = requests.terms(request)
        order = await self._orders.place(request.account_id, request.client_order_id, terms)
        attached = [wire.order(each) for each in await self._orders.attached(order, terms)]
        return pb.PlaceOrderResponse(order=wire.order(order), attached=attached)

    @override
    @answered_by_leader
    async def AmendOrder(self, request: pb.AmendOrderRequest, context: Context) -> pb.AmendOrderResponse:
        change = requests.change(request)
        order = await self._orders.amend(request.request_id, request.order_id, change)
        return pb.AmendOrderResponse(order=wire.order(order))

    @override
    @answered_by_leader
    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        order = await self._orders.cancel(request.request_id, request.order_id)
        return pb.CancelOrderResponse(order=wire.order(order))

    @override
    @answered_by_leader
    async def CancelAllOrders(
        self, request: pb.CancelAllOrdersRequest, context: Context
    ) -> pb.CancelAllOrdersResponse:
        orders = await self._orders.cancel_all(request.request_id, request.account_id, request.symbol)
        return pb.CancelAllOrdersResponse(orders=[wire.order(each) for each in orders])

    @override
    @answered_by_leader
    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        return pb.GetOrderResponse(order=wire.order(await self._orders.get(request.order_id)))

    @override
    @answered_by_leader
    async def FindOrder(self, request: pb.FindOrderRequest, context: Context) -> pb.FindOrderResponse:
        order = await self._orders.find(request.account_id, request.client_order_id)
        return pb.FindOrderResponse(order=wire.order(order))

    @override
    @answered_by_leader
    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        query = requests.order_query(request)
        orders = await self._orders.page(query)
        full = len(orders) == query.limit
        token = encode_token([orders[-1].number], *requests.order_filters(request)) if full else ""
        return pb.ListOrdersResponse(orders=[wire.order(each) for each in orders], next_page_token=token)

    @override
    @streamed_by_leader
    async def StreamOrders(
        self, request: pb.StreamOrdersRequest, context: Context
    ) -> AsyncIterator[pb.StreamOrdersResponse]:
        number = 0
        async for order in self._orders.stream(request.account_id, request.symbol):
            number += 1
            shown = None if order is None else wire.order(order)
            yield pb.StreamOrdersResponse(stream_sequence=number, order=shown)

    @override
    @answered_by_leader
    async def ListFills(self, request: pb.ListFillsRequest, context: Context) -> pb.ListFillsResponse:
        query = requests.fill_query(request)
        fills = await self._orders.fills(query)
        full = len(fills) == query.limit
        token = encode_token([fills[-1].fill.number], *requests.fill_filters(request)) if full else ""
        shown = [wire.fill(each.fill, each.currency, busted=each.busted) for each in fills]
        return pb.ListFillsResponse(fills=shown, next_page_token=token)

    @override
    @answered_by_leader
    async def ListPositions(
        self, request: pb.ListPositionsRequest, context: Context
    ) -> pb.ListPositionsResponse:
        views = await self._accounts.positions(
            request.account_id, frozenset(request.symbol), include_flat=request.include_flat
        )
        return pb.ListPositionsResponse(positions=[wire.position(each) for each in views])

    @override
    @answered_by_leader
    async def ClosePosition(
        self, request: pb.ClosePositionRequest, context: Context
    ) -> pb.ClosePositionResponse:
        order = await self._orders.close_position(
            request.account_id, request.symbol, request.client_order_id, request.position_id, request.size
        )
        return pb.ClosePositionResponse(order=wire.order(order))

    @override
    @answered_by_leader
    async def FlattenAccount(
        self, request: pb.FlattenAccountRequest, context: Context
    ) -> pb.FlattenAccountResponse:
        done = await self._flattening.flatten(request.request_id, request.account_id, request.symbol)
        return wire.flattened(done)

    @override
    @answered_by_leader
    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, context: Context
    ) -> pb.ListLedgerEntriesResponse:
        after, limit = requests.ledger_position(request), page_size(request.page_size)
        code, entries = await self._accounts.ledger(request.account_id, after, limit)
        full = len(entries) == limit
        token = encode_token([entries[-1].entry], *requests.ledger_filters(request)) if full else ""
        shown = [wire.ledger_entry(each, code) for each in entries]
        return pb.ListLedgerEntriesResponse(entries=shown, next_page_token=token)

    @override
    @answered_by_leader
    async def ListTransactions(
        self, request: pb.ListTransactionsRequest, context: Context
    ) -> pb.ListTransactionsResponse:
        after, limit = requests.transaction_position(request), page_size(request.page_size)
        found = await self._accounts.transactions(request.account_id, after, limit)
        full = len(found) == limit
        token = encode_token([found[-1].number], *requests.transaction_filters(request)) if full else ""
        shown = [wire.transaction(each) for each in found]
        return pb.ListTransactionsResponse(transactions=shown, next_page_token=token)

    @override
    @answered_by_leader
    async def ReconcileAccount(
        self, request: pb.ReconcileAccountRequest, context: Context
    ) -> pb.ReconcileAccountResponse:
        return wire.reconciliation(await self._accounts.reconcile(request.account_id))

    @override
    @answered_by_leader
    async def AdoptVenueFigure(
        self, request: pb.AdoptVenueFigureRequest, context: Context
    ) -> pb.AdoptVenueFigureResponse:
        view = await self._adopting.adopt(
            request.request_id,
            request.account_id,
            requests.difference(request.difference),
            request.price,
            request.reason,
            call_context.principal.get().label,
        )
        return pb.AdoptVenueFigureResponse(account=wire.account(view))

    @override
    @answered_by_leader
    async def GetRiskState(
        self, request: pb.GetRiskStateRequest, context: Context
    ) -> pb.GetRiskStateResponse:
        state = await self._accounts.risk_state(request.account_id)
        return pb.GetRiskStateResponse(risk_state=wire.risk_state(state))

    @override
    @answered_by_leader
    async def SetRiskLimits(
        self, request: pb.SetRiskLimitsRequest, context: Context
    ) -> pb.SetRiskLimitsResponse:
        changes = await self._limits.set(
            request.request_id,
            request.account_id,
            request.symbol,
            wire.wanted_limits(request),
            request.reason,
            call_context.principal.get().label,
        )
        state = await self._accounts.risk_state(request.account_id)
        shown = [wire.limit_change(each) for each in changes]
        return pb.SetRiskLimitsResponse(risk_state=wire.risk_state(state), changes=shown)

    @override
    @answered_by_leader
    async def ListRiskLimitChanges(
        self, request: pb.ListRiskLimitChangesRequest, context: Context
    ) -> pb.ListRiskLimitChangesResponse:
        before, limit = requests.limit_change_position(request), page_size(request.page_size)
        changes = await self._limits.changes(request.account_id, before, limit)
        full = len(changes) == limit
        token = encode_token([changes[-1].number], *requests.limit_change_filters(request)) if full else ""
        shown = [wire.limit_change(each) for each in changes]
        return pb.ListRiskLimitChangesResponse(changes=shown, next_page_token=token)

    @override
    @answered_by_leader
    async def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: Context
    ) -> pb.ListDecisionsResponse:
        query = decisions.decision_query(request)
        found = await self._decisions.page(query)
        full = len(found) == query.limit
        filters = decisions.decision_filters(request)
        token = encode_token(decisions.decision_place(found[-1]), *filters) if full else ""
        shown = [decisions.decision(each) for each in found]
        return pb.ListDecisionsResponse(decisions=shown, next_page_token=token)

    @override
    @answered_by_leader
    async def GetSessionProgress(
        self, request: pb.GetSessionProgressRequest, context: Context
    ) -> pb.GetSessionProgressResponse:
        return wire.session_progress(await self._progress.of(request.session_id))

    @override
    @answered_by_leader
    async def SetTradingState(
        self, request: pb.SetTradingStateRequest, context: Context
    ) -> pb.SetTradingStateResponse:
        done = await self._halting.set(
            request.request_id,
            request.account_id,
            wire.trading_state(request.trading_state),
            request.reason,
            cancel_entries=request.cancel_entries,
        )
        shown = [wire.account(each) for each in done.accounts]
        return pb.SetTradingStateResponse(accounts=shown, cancelled_entries=done.cancelled)
