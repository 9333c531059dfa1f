"""The way out of an account."""

from __future__ import annotations

from decimal import Decimal

from fxmesh.trading.v1 import service_pb2 as pb

from services.cli import inputs
from services.cli import paint as colours
from services.cli.link import Link
from services.cli.output import ExitCode
from services.cli.render import Table, word
from services.cli.requests.trading import order_table


async def flatten(link: Link, account: str, symbol: str, request_id: str) -> ExitCode | None:
    """Cancel and close; FAILED while anything is still open."""
    request_id = request_id or link.new_id()
    symbol = inputs.symbol(symbol) if symbol else ""
    request = pb.FlattenAccountRequest(request_id=request_id, account_id=account, symbol=symbol)
    answer = await link.mutate(
        link.trading.FlattenAccount(request),
        f"{account} is flat",
        f"Ask with `fxmesh positions --account {account}`, or repeat it with --request-id {request_id}.",
    )
    where = f"{account}, {symbol}," if symbol else account
    verdict = f"{where} is flat." if answer.flat else f"{where} is NOT flat: see `fxmesh positions`."
    link.out.answer(
        answer,
        _closed_table(answer),
        order_table(answer.orders, "No order was working."),
        verdict,
        f"request id  {request_id}",
    )
    return None if answer.flat else ExitCode.FAILED


def _closed_table(answer: pb.FlattenAccountResponse) -> Table:
    rows = [
        (
            each.symbol,
            each.position_id,
            each.size,
            each.order.filled_size,
            str(abs(Decimal(each.size)) - Decimal(each.order.filled_size)),
            each.order.average_price,
            word(each.order, "status"),
            each.order.reason,
            each.order.order_id,
        )
        for each in answer.positions
    ]
    points = ("SIZE", "CLOSED", "LEFT", "AVERAGE")
    return Table(
        ("SYMBOL", "POSITION", *points, "STATUS", "REASON", "ORDER"),
        rows,
        empty="Nothing was open.",
        points=points,
        paint={"STATUS": colours.state},
    )
