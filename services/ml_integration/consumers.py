"""The workbench's events: trainings and deployments."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.workbench.v1 import events_pb2

from services.ml_integration import wire
from services.ml_integration.handlers import News
from services.runtime.ports import Delivery, Subscription

EVENTS = (
    events_pb2.ModelTrainingStarted,
    events_pb2.ModelTrainingCompleted,
    events_pb2.ModelTrainingFailed,
    events_pb2.ModelDeployed,
)


def subscriptions(news: News) -> Sequence[Subscription]:
    """One subscription; an event heard twice asks the workbench twice and changes nothing."""

    async def hear(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if isinstance(delivery.event, events_pb2.ModelDeployed):
                await news.deployed(delivery.event.endpoint_name)
            else:
                await news.training(wire.training_news(delivery.event))

    return (Subscription(EVENTS, hear),)
