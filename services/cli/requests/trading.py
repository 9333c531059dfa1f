"""Orders and fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli import inputs
from services.cli import paint as colours
from services.cli.link import Link
from services.cli.output import ExitCode
from services.cli.render import Table, clock, market_age, pairs, word
from services.cli.requests.tickets import Ticket, request_of

_FINAL = (
    trading.ORDER_STATUS_FILLED,
    trading.ORDER_STATUS_CANCELLED,
    trading.ORDER_STATUS_EXPIRED,
    trading.ORDER_STATUS_REJECTED,
)
_WORKING = [each for each in trading.OrderStatus.values() if each and each not in _FINAL]


@dataclass(frozen=True, slots=True)
class Change:
    """New values of a working order; empty texts leave it as it is, revision 0 means whichever it is at."""

    size: str = ""
    limit: str = ""
    stop: str = ""
    revision: int = 0
    trail: str = ""


async def place(link: Link, ticket: Ticket) -> ExitCode | None:
    symbol = inputs.symbol(ticket.symbol)
    key = ticket.client_order_id or link.new_id()
    request = request_of(ticket, symbol, key, await _units(link, symbol, ticket.size))
    answer = await link.mutate(
        link.trading.PlaceOrder(request), f"order {key} was placed", _ask(ticket.account, key)
    )
    return _placed(link, answer, answer.order)


async def close(
    link: Link, symbol: str, account: str, position: str, size: str, client_order_id: str
) -> ExitCode | None:
    """A position, or units of it; `position` names one of a hedging account."""
    key = client_order_id or link.new_id()
    symbol = inputs.symbol(symbol)
    request = pb.ClosePositionRequest(
        account_id=account,
        symbol=symbol,
        client_order_id=key,
        position_id=position,
        size=await _units(link, symbol, size),
    )
    answer = await link.mutate(
        link.trading.ClosePosition(request), f"closing order {key} was placed", _ask(account, key)
    )
    return _placed(link, answer, answer.order)


async def cancel(link: Link, order_id: str, request_id: str) -> ExitCode | None:
    request_id = request_id or link.new_id()
    answer = await link.mutate(
        link.trading.CancelOrder(pb.CancelOrderRequest(request_id=request_id, order_id=order_id)),
        f"order {order_id} is cancelled",
        f"Ask with `fxmesh order show {order_id}`; cancelling again does no harm.",
    )
    link.out.answer(answer, *_order(answer.order, request_id))
    return None


async def cancel_all(link: Link, account: str, symbol: str, request_id: str) -> ExitCode | None:
    request_id = request_id or link.new_id()
    request = pb.CancelAllOrdersRequest(
        request_id=request_id, account_id=account, symbol=inputs.symbol(symbol)
    )
    answer = await link.mutate(
        link.trading.CancelAllOrders(request),
        f"the working orders of {account} are cancelled",
        "Ask with `fxmesh orders --open`; cancelling again does no harm.",
    )
    link.out.answer(answer, order_table(answer.orders, "No order was working."))
    return None


async def amend(link: Link, order_id: str, change: Change, request_id: str) -> None:
    request_id = request_id or link.new_id()
    request = pb.AmendOrderRequest(
        request_id=request_id,
        order_id=order_id,
        size=change.size,
        limit_price=change.limit,
        stop_price=change.stop,
        revision=change.revision,
        trail_distance=change.trail,
    )
    answer = await link.mutate(
        link.trading.AmendOrder(request),
        f"order {order_id} was amended",
        f"Ask with `fxmesh order show {order_id}`, or repeat it with --request-id {request_id}.",
    )
    link.out.answer(answer, *_order(answer.order, request_id))


async def show(link: Link, order_id: str) -> None:
    answer = await link.trading.GetOrder(pb.GetOrderRequest(order_id=order_id))
    family = await link.trading.ListOrders(pb.ListOrdersRequest(parent_order_id=order_id))
    link.out.answer(answer, *_order(answer.order), *_attached(family.orders))


async def find(link: Link, account: str, client_order_id: str) -> None:
    """By client order id: what to ask when an outcome is unknown."""
    request = pb.FindOrderRequest(account_id=account, client_order_id=client_order_id)
    answer = await link.trading.FindOrder(request)
    link.out.answer(answer, *_order(answer.order))


async def orders(link: Link, account: str, symbols: Sequence[str], working: bool, limit: int) -> None:
    request = pb.ListOrdersRequest(
        account_id=account,
        symbol=inputs.symbols(symbols),
        status=_WORKING if working else [],
        page_size=limit,
    )
    answer = await link.trading.ListOrders(request)
    link.out.answer(answer, order_table(answer.orders, "No orders."))


async def entries(link: Link, account: str) -> Counter[str]:
    """How many orders that could open a position work, in an account or (empty) in each that has some."""
    status = [each for each in _WORKING if each != trading.ORDER_STATUS_HELD]
    found: Counter[str] = Counter()
    token = ""
    while True:
        request = pb.ListOrdersRequest(account_id=account, status=status, page_size=1000, page_token=token)
        answer = await link.trading.ListOrders(request)
        found.update(each.account_id for each in answer.orders if not each.reduce_only)
        token = answer.next_page_token
        if not token:
            return found


async def watch_orders(link: Link, account: str, symbols: Sequence[str]) -> None:
    request = pb.StreamOrdersRequest(account_id=account, symbol=inputs.symbols(symbols))
    async for answer in link.follow(lambda: link.trading.StreamOrders(request)):
        if answer.HasField("order"):
            link.out.item(answer.order, "  ".join(_order_row(answer.order, datetime.now(UTC))).rstrip())


def bust(fill: trading.Fill) -> str:
    """What became of a fill that its venue took back, on both of its lines; nothing of others."""
    if fill.busts_execution_id:
        return f"takes back {fill.busts_execution_id}"
    return "busted" if fill.busted else ""


async def fills(link: Link, account: str, symbols: Sequence[str], order_id: str, limit: int) -> None:
    request = pb.ListFillsRequest(
        account_id=account, symbol=inputs.symbols(symbols), order_id=order_id, page_size=limit
    )
    answer = await link.trading.ListFills(request)
    rows = [
        (
            clock(each.time),
            each.account_id,
            each.symbol,
            word(each, "side"),
            each.size,
            each.price,
            each.realised_profit,
            each.commission,
            each.order_id,
            bust(each),
        )
        for each in answer.fills
    ]
    points = ("SIZE", "PRICE", "PROFIT", "COMMISSION")
    headers = ("TIME (UTC)", "ACCOUNT", "SYMBOL", "SIDE", *points, "ORDER", "BUST")
    paint = {"SIDE": colours.side, "PROFIT": colours.gain}
    link.out.answer(answer, Table(headers, rows, empty="No fills.", points=points, paint=paint))


def _placed(
    link: Link, answer: pb.PlaceOrderResponse | pb.ClosePositionResponse, order: trading.Order
) -> ExitCode | None:
    attached = answer.attached if isinstance(answer, pb.PlaceOrderResponse) else ()
    link.out.answer(answer, *_order(order), *_attached(attached))
    return ExitCode.REFUSED if order.status == trading.ORDER_STATUS_REJECTED else None


async def _units(link: Link, symbol: str, size: str) -> str:
    """`0.1lot` in units of the base currency; anything else as it is."""
    lots = inputs.lots(size)
    if lots is None:
        return size
    answer = await link.market.GetInstrument(marketdata.GetInstrumentRequest(symbol=symbol))
    return f"{(lots * Decimal(answer.instrument.lot_size)).normalize():f}"


def _ask(account: str, key: str) -> str:
    return (
        f"Ask with `fxmesh order find {key} --account {account}`; repeating the order with "
        f"--client-order-id {key} cannot double it."
    )


def _order(order: trading.Order, request_id: str = "") -> list[Table | str]:
    shown = order_table([order], "")
    ids = [("order", order.order_id), ("client order id", order.client_order_id), ("request id", request_id)]
    why = f"{order.reason}: {order.reason_detail}" if order.reason else ""
    family = [("follows", order.parent_order_id), ("link", order.link_id), ("position", order.position_id)]
    return [shown, pairs([*ids, ("reason", why), ("signal", order.signal_id), *family])]


def _attached(orders: Sequence[trading.Order]) -> list[Table | str]:
    """What works for the fills of an order."""
    return ["For what it fills:", order_table(orders, "")] if orders else []


def order_table(orders: Sequence[trading.Order], empty: str) -> Table:
    """Orders, one a row."""
    points = ("SIZE", "PRICE", "FILLED", "AVERAGE")
    headers = (
        "CREATED (UTC)",
        "AGE",
        "ACCOUNT",
        "SYMBOL",
        "SIDE",
        "TYPE",
        *points,
        "STATUS",
        "ORIGIN",
        "ORDER",
    )
    now = datetime.now(UTC)
    rows = [_order_row(each, now) for each in orders]
    right, paint = ("AGE",), {"SIDE": colours.side, "STATUS": colours.state}
    return Table((*headers, "REASON"), rows, right=right, empty=empty, points=points, paint=paint)


def _type(order: trading.Order) -> str:
    """E.g. `limit gtc post-only`."""
    words = [word(order, "type"), word(order, "time_in_force")]
    words += ["post-only"] if order.post_only else []
    words += ["reduce-only"] if order.reduce_only else []
    return " ".join(words)


def _price(order: trading.Order) -> str:
    """The price it waits for: `1.0850`, `1.0990 then 1.0995` of a stop limit, `1.0970 by 0.0020` of a
    trailing stop.
    """
    side = f" {word(order, 'trigger_side')}" if order.trigger_side else ""
    if order.distance and not (order.limit_price or order.stop_price):
        return f"{order.distance} from the fill"
    if order.type == trading.ORDER_TYPE_STOP_LIMIT:
        return order.limit_price if order.triggered else f"{order.stop_price}{side} then {order.limit_price}"
    if order.type == trading.ORDER_TYPE_TRAILING_STOP:
        return f"{order.stop_price or 'market'}{side} by {order.trail_distance}"
    return order.limit_price or f"{order.stop_price}{side}"


def _order_row(order: trading.Order, now: datetime) -> tuple[str, ...]:
    return (
        clock(order.created_at),
        market_age(order.account_id, order.created_at, now),
        order.account_id,
        order.symbol,
        word(order, "side"),
        _type(order),
        order.size,
        _price(order),
        order.filled_size,
        order.average_price,
        word(order, "status"),
        word(order, "origin"),
        order.order_id,
        order.reason,
    )
