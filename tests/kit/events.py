"""Events and services for tests of the bus, from the real contracts."""

from __future__ import annotations

import logging
from typing import TextIO

import structlog
from fxmesh.analysis.v1.analysis_pb2 import Signal
from fxmesh.analysis.v1.events_pb2 import BarClosed, SignalGenerated
from fxmesh.marketdata.v1.events_pb2 import MarketDataUpdated, PriceTickReceived
from fxmesh.marketdata.v1.market_pb2 import Quote
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from fxmesh.trading.v1.trading_pb2 import Order
from fxmesh.types.v1.market_pb2 import Side
from structlog.typing import FilteringBoundLogger

from services.runtime.policy import ServicePolicy

PUBLISHES = tuple(
    each.DESCRIPTOR.full_name
    for each in (BarClosed, SignalGenerated, MarketDataUpdated, PriceTickReceived, OrderPlaced)
)


def service(name: str = "market_data") -> ServicePolicy:
    """A service that may publish and consume the events of this module."""
    return ServicePolicy(
        full_name=f"fxmesh.test.v1.{name}",
        name=name,
        area="test",
        grpc_port=0,
        http_port=0,
        consumes=PUBLISHES,
        publishes=PUBLISHES,
    )


def ticks(number: int, symbol: str = "EURUSD", size: int = 1, session: str = "s-1") -> PriceTickReceived:
    """The `number`-th batch of a session, `size` ticks long; the first is number 1."""
    first = (number - 1) * size + 1
    return PriceTickReceived(
        session_id=session, symbol=symbol, first_sequence=first, last_sequence=first + size - 1
    )


def update(number: int, symbol: str = "EURUSD") -> MarketDataUpdated:
    """The `number`-th quote of a session."""
    return MarketDataUpdated(session_id="s-1", symbol=symbol, revision=number, quote=Quote())


def unfit(number: int, symbol: str = "EURUSD") -> SignalGenerated:
    """A signal that breaks the rules of its contract: it says nothing."""
    empty = signal(number, symbol)
    empty.ClearField("signal")
    return empty


def signal(number: int, symbol: str = "EURUSD") -> SignalGenerated:
    """A signal with an id of its own."""
    return SignalGenerated(
        signal_id=f"s-1:{symbol}:1m:trend:{number}", session_id="s-1", symbol=symbol, signal=Signal()
    )


def order(number: int, account: str = "demo") -> OrderPlaced:
    """The first revision of an order."""
    placed = Order(side=Side.SIDE_BUY, size="1000")
    return OrderPlaced(order_id=f"{account}-{number}", account_id=account, revision=1, order=placed)


def quiet_log(file: TextIO | None = None) -> FilteringBoundLogger:
    """One plain line an event, shown where a test fails; or into a file."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(file),
        processors=[
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return log
