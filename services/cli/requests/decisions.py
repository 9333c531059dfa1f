"""What auto-trading made of signals."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli import inputs
from services.cli import paint as colours
from services.cli.link import Link
from services.cli.render import Table, clock, pairs, percent, word
from services.cli.requests.trading import bust

_EMPTY = "No signal was decided about."


async def decisions(
    link: Link, account: str, symbols: Sequence[str], ordered: bool, explain: bool, limit: int
) -> None:
    """A row each, or with `explain` a paragraph each."""
    request = pb.ListDecisionsRequest(
        account_id=account, symbol=inputs.symbols(symbols), ordered_only=ordered, page_size=limit
    )
    answer = await link.trading.ListDecisions(request)
    if explain and answer.decisions:
        link.out.answer(answer, *(_told(each) for each in answer.decisions))
    else:
        link.out.answer(answer, _table(answer.decisions))


def _table(decisions: Sequence[trading.Decision]) -> Table:
    points = ("SCORE", "SIZE", "FILLED", "AVERAGE")
    headers = ("TIME (UTC)", "SYMBOL", "SIDE", "SIGNAL", *points, "DECISION", "BECAUSE")
    rows = [
        (
            clock(each.time),
            each.symbol,
            word(each, "side"),
            f"{each.strategy} {each.timeframe}",
            each.score,
            *_traded(each),
            each.reason,
            each.reason_detail,
        )
        for each in decisions
    ]
    paint = {"SIDE": colours.side, "DECISION": colours.state}
    return Table(headers, rows, empty=_EMPTY, points=points, paint=paint)


def _traded(decision: trading.Decision) -> tuple[str, str, str]:
    """Size, filled size and average price of the order that answers the signal."""
    for each in decision.orders:
        if each.order_id == decision.order_id:
            return each.size, each.filled_size, each.average_price
    return "", "", ""


def _told(decision: trading.Decision) -> Table:
    """From the signal to the fills, a step a row."""
    signal = f"{decision.strategy} {decision.timeframe} {word(decision, 'side')} {decision.symbol}"
    strength = f"strength {percent(decision.strength)}"
    chance = percent(decision.probability) or "no model"
    risk = f"risks {decision.risked}, stop {decision.stop_distance} away" if decision.risked else ""
    steps = [
        ("time (UTC)", clock(decision.time)),
        ("signal", f"{signal}, {strength}, probability {chance}, score {percent(decision.score)}"),
        ("decision", f"{decision.reason}: {decision.reason_detail}"),
        ("risk", risk),
        *[("order", _order(each)) for each in decision.orders],
        *[("fill", _fill(each)) for each in decision.fills],
        ("correlation", decision.correlation_id),
        ("signal id", decision.signal_id),
    ]
    return pairs(steps)


def _order(order: trading.Order) -> str:
    price = order.limit_price or order.stop_price
    at = f" at {price}" if price else ""
    why = f", {order.reason}" if order.reason else ""
    what = f"{word(order, 'side')} {order.size} {word(order, 'type')}{at}"
    return f"{what}: {word(order, 'status')}{why} ({order.order_id})"


def _fill(fill: trading.Fill) -> str:
    costs = f", commission {fill.commission}" if fill.commission.strip("0.") else ""
    became = f", {bust(fill)}" if bust(fill) else ""
    return f"{word(fill, 'side')} {fill.size} at {fill.price}, profit {fill.realised_profit}{costs}{became}"
