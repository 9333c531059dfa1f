"""Wrong requests over channels with the whole plan of the mesh: refused, with reason and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from fxmesh.trading.v1 import service_pb2, trading_pb2
from google.protobuf.message import Message

from services.errors import FxError, Kind
from services.wire.times import timestamp
from tests.trading_gateway.kit import SECOND, START
from tests.trading_gateway.platform import platform
from tests.trading_gateway.test_service import limit, order, quoted

pytestmark = pytest.mark.usefixtures("databases")

NO_SYMBOL = (Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL")


@pytest.mark.parametrize(
    ("method", "request_", "kind", "reason"),
    [
        ("PlaceOrder", order("a", size="1e5"), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        ("PlaceOrder", order("a", size="１000"), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        ("PlaceOrder", order("a", size="NaN"), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        ("PlaceOrder", order("no good"), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        ("PlaceOrder", order("a", size="0.5"), Kind.INVALID_ARGUMENT, "SIZE_BELOW_MINIMUM"),
        ("PlaceOrder", order("a", size="1.5"), Kind.INVALID_ARGUMENT, "SIZE_STEP"),
        ("PlaceOrder", order("a", limit_price="1.1"), Kind.INVALID_ARGUMENT, "PRICE_NOT_ALLOWED"),
        ("PlaceOrder", limit("a", "1.100001"), Kind.INVALID_ARGUMENT, "PRICE_TICK"),
        ("PlaceOrder", limit("a", "0.5"), Kind.FAILED_PRECONDITION, "PRICE_COLLAR"),
        (
            "PlaceOrder",
            limit("a", time_in_force=trading_pb2.TIME_IN_FORCE_GTD, expires_at=timestamp(START - SECOND)),
            Kind.INVALID_ARGUMENT,
            "TIME_IN_FORCE_INVALID",
        ),
        ("GetAccount", service_pb2.GetAccountRequest(account_id="x"), Kind.NOT_FOUND, "UNKNOWN_ACCOUNT"),
        (
            "GetSessionProgress",
            service_pb2.GetSessionProgressRequest(session_id="x"),
            Kind.NOT_FOUND,
            "UNKNOWN_SESSION",
        ),
        ("GetOrder", service_pb2.GetOrderRequest(order_id="x"), Kind.NOT_FOUND, "UNKNOWN_ORDER"),
        (
            "ClosePosition",
            service_pb2.ClosePositionRequest(account_id="demo", symbol="EURUSD", client_order_id="a"),
            Kind.FAILED_PRECONDITION,
            "NO_POSITION",
        ),
        (
            "OpenAccount",
            service_pb2.OpenAccountRequest(request_id="r", account_id="demo", currency="USD", deposit="1"),
            Kind.ALREADY_EXISTS,
            "ACCOUNT_EXISTS",
        ),
        (
            "OpenAccount",
            service_pb2.OpenAccountRequest(request_id="r", account_id="a", currency="USD", deposit="1.001"),
            Kind.INVALID_ARGUMENT,
            "VALIDATION_FAILED",
        ),
        (
            "ListOrders",
            service_pb2.ListOrdersRequest(page_token="nonsense"),
            Kind.INVALID_ARGUMENT,
            "BAD_PAGE_TOKEN",
        ),
        (
            "ListOrders",
            service_pb2.ListOrdersRequest(account_id="demo", symbol=["EURUSD", "AAABBB"]),
            *NO_SYMBOL,
        ),
        ("ListOrders", service_pb2.ListOrdersRequest(account_id="x"), Kind.NOT_FOUND, "UNKNOWN_ACCOUNT"),
        ("ListFills", service_pb2.ListFillsRequest(account_id="x"), Kind.NOT_FOUND, "UNKNOWN_ACCOUNT"),
        (
            "ListPositions",
            service_pb2.ListPositionsRequest(account_id="x"),
            Kind.NOT_FOUND,
            "UNKNOWN_ACCOUNT",
        ),
        ("ListFills", service_pb2.ListFillsRequest(symbol=["AAABBB"]), *NO_SYMBOL),
        (
            "ListPositions",
            service_pb2.ListPositionsRequest(account_id="demo", symbol=["AAABBB"]),
            *NO_SYMBOL,
        ),
        (
            "CancelAllOrders",
            service_pb2.CancelAllOrdersRequest(request_id="r", account_id="demo", symbol="AAABBB"),
            *NO_SYMBOL,
        ),
        (
            "ClosePosition",
            service_pb2.ClosePositionRequest(account_id="demo", symbol="AAABBB", client_order_id="a"),
            *NO_SYMBOL,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_wrong_requests_are_refused_with_their_reason(
    tmp_path: Path, method: str, request_: Message, kind: Kind, reason: str
) -> None:
    async with platform(tmp_path) as world:
        await quoted(world)
        with pytest.raises(FxError) as refused:
            await getattr(world.stub, method)(request_)
        assert (refused.value.kind, refused.value.reason) == (kind, reason)
        fields = [each.field for each in refused.value.violations]
        assert fields == (["symbol"] if reason == "UNKNOWN_SYMBOL" else fields)


async def test_a_stream_of_orders_of_an_unknown_symbol_is_refused(tmp_path: Path) -> None:
    async with platform(tmp_path) as world:
        with pytest.raises(FxError, match="UNKNOWN_SYMBOL"):
            await anext(aiter(world.stub.StreamOrders(service_pb2.StreamOrdersRequest(symbol=["AAABBB"]))))
