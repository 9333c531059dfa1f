"""Positions, and what they make of their accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli import inputs
from services.cli import paint as colours
from services.cli.link import Link
from services.cli.render import Table, market_age
from services.cli.requests.accounts import account_table

_POINTS = ("SIZE", "AVERAGE", "UNREALISED", "REALISED", "FINANCING", "MARGIN")
_PAINT = {
    "SIDE": colours.side,
    "UNREALISED": colours.gain,
    "REALISED": colours.gain,
    "FINANCING": colours.gain,
}


async def positions(link: Link, account: str, symbols: Sequence[str], flat: bool) -> None:
    """As text with the accounts that hold them: equity, and how far it is above the margin."""
    request = pb.ListPositionsRequest(account_id=account, symbol=inputs.symbols(symbols), include_flat=flat)
    answer = await link.trading.ListPositions(request)
    shown: list[Table | str] = [_table(answer.positions)]
    if answer.positions and not link.out.as_json:
        holders = {each.account_id for each in answer.positions}
        accounts = (await link.trading.ListAccounts(pb.ListAccountsRequest())).accounts
        shown.append(account_table([each for each in accounts if each.account_id in holders]))
    link.out.answer(answer, *shown)


def _table(positions: Sequence[trading.Position]) -> Table:
    """Ids only where an account has them."""
    now, tickets = datetime.now(UTC), any(each.position_id for each in positions)
    rows = [(*_row(each, now), *((each.position_id,) if tickets else ())) for each in positions]
    headers = ("ACCOUNT", "SYMBOL", "SIDE", *_POINTS, "AGE", *(("POSITION",) if tickets else ()))
    return Table(headers, rows, right=("AGE",), empty="No open positions.", points=_POINTS, paint=_PAINT)


def _row(position: trading.Position, now: datetime) -> tuple[str, ...]:
    size = Decimal(position.size)
    return (
        position.account_id,
        position.symbol,
        "long" if size > 0 else "short" if size else "flat",
        position.size,
        position.average_price,
        position.unrealised_profit or "no quote",
        position.realised_profit,
        position.financing,
        position.margin,
        market_age(position.account_id, position.opened_at, now) if size else "",
    )
