"""OANDA v20 and FIX 4.4 messages as values of the venue port: what an adapter's own mapping comes to.

No adapter: it shows on recorded messages that port and domain hold all that these venues say.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.market.instruments import INSTRUMENTS
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Accepted, AmendRefused, CancelRefused, Executed, Report
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce
from services.trading_gateway.domain.venue_views import Holding, Snapshot, VenueOrder

Fields = Mapping[str, Any]
SIZE_DIGITS = 2
OANDA_STATES = {
    "PENDING": OrderStatus.ACCEPTED,
    "FILLED": OrderStatus.FILLED,
    "TRIGGERED": OrderStatus.ACCEPTED,
    "CANCELLED": OrderStatus.CANCELLED,
}


def raw_size(units: str) -> int:
    """Signed units as a raw size."""
    return int(Decimal(units).scaleb(SIZE_DIGITS))


def raw_price(symbol: str, price: str) -> int:
    """Price text as a raw price."""
    of = INSTRUMENTS.get(symbol)
    return int(Decimal(price).scaleb(5 if of is None else of.digits))


def symbol_of(instrument: str) -> str:
    """EURUSD for EUR_USD and EUR/USD; others keep their name."""
    plain = instrument.replace("_", "").replace("/", "")
    return plain if plain in INSTRUMENTS else instrument


# OANDA v20


def oanda_time(text: str) -> int:
    """Nanoseconds of `2016-10-24T21:48:18.593753865Z`."""
    whole, _, nanos = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return int(at.timestamp()) * 10**9 + int(nanos.ljust(9, "0"))


def oanda_order_id(order: Fields) -> str:
    """Ours, where it is one of ours."""
    return str(order.get("clientExtensions", {}).get("id") or f"oanda-{order['id']}")


def oanda_order(order: Fields, account_id: str) -> VenueOrder:
    """An order of `/orders`, `/orders/{id}` or `/accounts/{id}`."""
    symbol = symbol_of(order["instrument"])
    price = raw_price(symbol, order["price"]) if "price" in order else None
    limit = order["type"] in ("LIMIT", "TAKE_PROFIT")
    return VenueOrder(
        order_id=oanda_order_id(order),
        account_id=account_id,
        status=OANDA_STATES[order["state"]],
        time_ns=oanda_time(order["createTime"]),
        size=abs(raw_size(order["units"])),
        filled=0,
        limit=price if limit else None,
        stop=None if limit else price,
    )


def oanda_report(transaction: Fields) -> Report | None:
    """A transaction; None for one that says nothing of an order."""
    time_ns = oanda_time(transaction["time"])
    if transaction["type"].endswith("_ORDER") and transaction["reason"] == "CLIENT_ORDER":
        return Accepted(time_ns, oanda_order_id(transaction))
    return None


def oanda_holdings(positions: list[Fields], account_id: str) -> tuple[Holding, ...]:
    """Positions, both sides netted."""
    found = [
        Holding(
            account_id,
            symbol_of(each["instrument"]),
            raw_size(each["long"]["units"]) + raw_size(each["short"]["units"]),
        )
        for each in positions
    ]
    return tuple(each for each in found if each.size)


def oanda_snapshot(response: Fields, account_id: str) -> Snapshot:
    """Of `/accounts/{id}`: one moment, named by its last transaction."""
    account = response["account"]
    return Snapshot(
        cursor=response["lastTransactionID"],
        orders=tuple(oanda_order(each, account_id) for each in account["orders"]),
        holdings=oanda_holdings(account["positions"], account_id),
        balances=((account_id, account["balance"]),),
    )


def oanda_request(order: Order) -> dict[str, Any]:
    """The body that places an order."""
    of = INSTRUMENTS[order.symbol]
    units = of.size_text(order.size)
    body: dict[str, Any] = {
        "type": order.type.name,
        "instrument": f"{of.base}_{of.quote}",
        "units": units if order.side is Side.BUY else f"-{units}",
        "timeInForce": "GFD" if order.time_in_force is TimeInForce.DAY else order.time_in_force.name,
        "positionFill": "REDUCE_ONLY" if order.reduce_only else "DEFAULT",
        "clientExtensions": {"id": order.order_id},
    }
    price = order.limit if order.type is OrderType.LIMIT else order.stop
    if price is not None:
        body["price"] = of.price_text(price)
    return {"order": body}


# FIX 4.4


def fix_fields(message: str) -> dict[str, str]:
    """Tags of a message that has no repeating group."""
    return dict(each.split("=", 1) for each in message.strip().strip("|").split("|"))


def fix_time(text: str) -> int:
    """Nanoseconds of `20240115-10:30:00` or with milliseconds."""
    form = "%Y%m%d-%H:%M:%S.%f" if "." in text else "%Y%m%d-%H:%M:%S"
    at = datetime.strptime(text, form).replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000) * 10**6


def fix_report(fields: Fields, known: Mapping[str, str]) -> Report | None:
    """An execution report or a cancel reject. `known` is what the adapter keeps: our id by the venue's
    OrderID, which is all that some name.
    """
    order_id = fields.get("11") or known[fields["37"]]
    order_id, _, revision = order_id.partition(".")
    if fields["35"] == "9":
        words = (f"CxlRejReason {fields.get('102', '')}", fields.get("58", ""))
        time_ns = fix_time(fields["60"])
        if fields["434"] == "1":
            return CancelRefused(time_ns, order_id, "VENUE_REJECTED", ": ".join(words))
        return AmendRefused(time_ns, order_id, "VENUE_REJECTED", ": ".join(words), int(revision or 0))
    if fields["150"] in ("F", "1", "2"):
        symbol = symbol_of(fields["55"])
        return Executed(
            fix_time(fields["60"]),
            order_id,
            fields["17"],
            abs(raw_size(fields["32"])),
            raw_price(symbol, fields["31"]),
        )
    return Accepted(fix_time(fields["60"]), order_id) if fields["150"] == "0" else None


FIX_TYPES = {OrderType.MARKET: "1", OrderType.LIMIT: "2", OrderType.STOP: "3", OrderType.STOP_LIMIT: "4"}
FIX_TIMES = {TimeInForce.DAY: "0", TimeInForce.GTC: "1", TimeInForce.IOC: "3", TimeInForce.FOK: "4"}


def fix_request(order: Order) -> dict[str, str]:
    """NewOrderSingle, without header and trailer."""
    of = INSTRUMENTS[order.symbol]
    fields = {
        "35": "D",
        "11": order.order_id,
        "1": order.account_id,
        "55": f"{of.base}/{of.quote}",
        "54": "1" if order.side is Side.BUY else "2",
        "60": datetime.fromtimestamp(order.created_ns // 10**9, UTC).strftime("%Y%m%d-%H:%M:%S"),
        "38": of.size_text(order.size),
        "40": FIX_TYPES[order.type],
        "59": FIX_TIMES[order.time_in_force],
        "15": of.base,
    }
    if order.limit is not None:
        fields["44"] = of.price_text(order.limit)
    if order.stop is not None:
        fields["99"] = of.price_text(order.stop)
    return fields
