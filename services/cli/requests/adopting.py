"""Differences between the books and a venue, settled by a person."""

from __future__ import annotations

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli import inputs
from services.cli.link import Link
from services.cli.render import Table
from services.cli.requests.accounts import about_account, differences

BALANCE = "balance"


async def adopt(
    link: Link, account_id: str, difference: tuple[str, str, str], price: str, reason: str, request_id: str
) -> None:
    """(a symbol, "balance", or an execution that was busted; the venue's figure; ours)."""
    what, theirs, ours = difference
    request_id = request_id or link.new_id()
    request = pb.AdoptVenueFigureRequest(
        request_id=request_id,
        account_id=account_id,
        difference=trading.VenueDifference(symbol=_named(what), venue_figure=theirs, books_figure=ours),
        price=price,
        reason=reason,
    )
    answer = await link.mutate(
        link.trading.AdoptVenueFigure(request),
        f"the figure of {account_id} was adopted",
        f"Ask with `fxmesh account {account_id}`, or repeat it with --request-id {request_id}.",
    )
    left: list[Table] = differences(answer.account)
    link.out.answer(answer, about_account(answer.account), *left, f"request id  {request_id}")


def _named(what: str) -> str:
    """A symbol however it is written; the id of an execution, which is longer than any, as it is."""
    if what == BALANCE:
        return ""
    return what if what.startswith("o-") else inputs.symbol(what)
