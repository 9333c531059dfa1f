"""An order as typed, and the request that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading
from fxmesh.types.v1 import market_pb2 as types

from services.cli import inputs
from services.cli.output import CliError, ExitCode

_TYPES = {
    (): trading.ORDER_TYPE_MARKET,
    ("limit",): trading.ORDER_TYPE_LIMIT,
    ("stop",): trading.ORDER_TYPE_STOP,
    ("limit", "stop"): trading.ORDER_TYPE_STOP_LIMIT,
    ("touch",): trading.ORDER_TYPE_MARKET_IF_TOUCHED,
    ("trail",): trading.ORDER_TYPE_TRAILING_STOP,
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """At which prices an order fills or starts to work; empty texts were not given."""

    limit: str = ""
    stop: str = ""
    touch: str = ""
    trail: str = ""
    trigger: str = ""
    post_only: bool = False
    reduce_only: bool = False
    position: str = ""

    @property
    def type(self) -> trading.OrderType.ValueType:
        """The type of order that has these prices. Raises CliError USAGE when none has."""
        given = tuple(name for name in ("limit", "stop", "touch", "trail") if getattr(self, name))
        if given not in _TYPES:
            options = " and ".join(f"--{name}" for name in given)
            hint = "--stop goes with --limit; --touch and --trail go alone."
            raise CliError("USAGE", f"No order has {options}.", hint, ExitCode.USAGE)
        return _TYPES[given]


@dataclass(frozen=True, slots=True)
class Family:
    """What an order comes with, what it shares its size with, and what it follows; empty texts: nothing."""

    take_profit: str = ""
    stop_loss: str = ""
    stop_loss_trail: str = ""
    link: str = ""
    after: str = ""

    @property
    def profit_leg(self) -> pb.TakeProfit | None:
        if not self.take_profit:
            return None
        price, distance = _price_or_distance(self.take_profit)
        return pb.TakeProfit(limit_price=price, distance=distance)

    @property
    def loss_leg(self) -> pb.StopLoss | None:
        if not (self.stop_loss or self.stop_loss_trail):
            return None
        price, distance = _price_or_distance(self.stop_loss)
        return pb.StopLoss(stop_price=price, distance=distance, trail_distance=self.stop_loss_trail)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an order works; empty texts were not given."""

    tif: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as typed; empty texts were not given."""

    side: str
    symbol: str
    size: str
    account: str
    conditions: Conditions = Conditions()
    family: Family = Family()
    timing: Timing = Timing()
    client_order_id: str = ""


def request_of(ticket: Ticket, symbol: str, key: str, units: str) -> pb.PlaceOrderRequest:
    """The request of a ticket, with its size in units. Raises CliError USAGE, BAD_OPTION."""
    conditions = ticket.conditions
    return pb.PlaceOrderRequest(
        account_id=ticket.account,
        client_order_id=key,
        symbol=symbol,
        side=types.SIDE_BUY if ticket.side == "buy" else types.SIDE_SELL,
        type=conditions.type,
        size=units,
        limit_price=conditions.limit,
        stop_price=conditions.stop or conditions.touch,
        trail_distance=conditions.trail,
        trigger_side=trading.TriggerSide.Value(f"TRIGGER_SIDE_{conditions.trigger.upper() or 'UNSPECIFIED'}"),
        post_only=conditions.post_only,
        reduce_only=conditions.reduce_only,
        position_id=conditions.position,
        time_in_force=_time_in_force(ticket.timing),
        expires_at=inputs.time(ticket.timing.expires) if ticket.timing.expires else None,
        take_profit=ticket.family.profit_leg,
        stop_loss=ticket.family.loss_leg,
        link_id=ticket.family.link,
        parent_order_id=ticket.family.after,
    )


def _price_or_distance(text: str) -> tuple[str, str]:
    """`1.0990` is a price, `+0.0020` a distance."""
    return ("", text[1:]) if text.startswith("+") else (text, "")


def _time_in_force(timing: Timing) -> trading.TimeInForce.ValueType:
    text = timing.tif or ("gtd" if timing.expires else "")
    return trading.TimeInForce.Value(f"TIME_IN_FORCE_{text.upper() or 'UNSPECIFIED'}")
