"""Every event the contract says monitoring consumes: counted, and shown to the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fxmesh.trading.v1 import events_pb2 as trading
from fxmesh.trading.v1.trading_pb2 import TRADING_STATE_ACTIVE, TradingState
from google.protobuf.message import Message

from services.monitoring_alerting.domain.rules import News
from services.monitoring_alerting.handlers import Alerts
from services.runtime.bus.events import message_class
from services.runtime.ports import Delivery, Subscription

ALL_ACCOUNTS = "all accounts"
"""No account can have this name: it has a space."""


def subscriptions(
    consumes: Sequence[str], alerts: Alerts, count: Callable[[str], None]
) -> list[Subscription]:
    """One subscription for all."""

    async def handle(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            name = delivery.event.DESCRIPTOR.full_name
            count(name)
            await alerts.event(delivery.id, name, _news(delivery))

    # By name and not from the pool: in a process of its own nothing else has imported the contracts.
    return [Subscription(tuple(message_class(name) for name in consumes), handle)]


def _news(delivery: Delivery) -> News:
    event = delivery.event
    if isinstance(event, trading.TradingStateChanged):
        return _trading_state(event)
    return News(delivery.key, _summary(event))


def _trading_state(event: trading.TradingStateChanged) -> News:
    """A halt of all is one alert, whatever the number of accounts; it ends when all trade again."""
    if event.trading_state == TRADING_STATE_ACTIVE:
        all_too = (ALL_ACCOUNTS,) if event.everywhere else ()
        return News(event.account_id, ends=(event.account_id, *all_too))
    whose = ALL_ACCOUNTS if event.everywhere else event.account_id
    state = TradingState.Name(event.trading_state).removeprefix("TRADING_STATE_").lower()
    return News(whose, f"trading of {whose} is {state}: {event.reason or 'no reason given'}")


def _summary(event: Message) -> str:
    """What the event says of itself, in words: the failure of a run, the reason of an order."""
    for part in ("execution", "run"):
        if part in event.DESCRIPTOR.fields_by_name:
            content = getattr(event, part)
            if content.failure:
                return f"{content.failure_reason}: {content.failure}"
    if "order" in event.DESCRIPTOR.fields_by_name and event.order.reason:  # type: ignore[attr-defined]
        order = event.order  # type: ignore[attr-defined]
        return f"{order.symbol} order {order.client_order_id}: {order.reason}: {order.reason_detail}"
    return ""
