"""Signals and drift in. One worker for all partitions: signals are decided in their order of arrival."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.analysis.v1 import events_pb2 as analysis_pb2
from fxmesh.inference.v1 import events_pb2 as inference_pb2

from services.runtime.bus.envelope import story_of
from services.runtime.ports import Delivery, Subscription
from services.runtime.traces import within
from services.trading_gateway.handlers import Signals
from services.trading_gateway.wire import analysis as wire


def subscriptions(signals: Signals) -> Sequence[Subscription]:
    """One subscription an event."""

    async def on_signals(deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            assert isinstance(each.event, analysis_pb2.SignalGenerated)
            with within(story_of(each)):  # a batch has many; each signal goes on in its own
                await signals.on_signal(wire.signal(each.event.signal))

    async def on_drift(deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            assert isinstance(each.event, inference_pb2.ModelDriftDetected)
            await signals.on_drift(wire.drift(each.id, each.event))

    return (
        Subscription((analysis_pb2.SignalGenerated,), on_signals, max_batch=16, merge=True),
        Subscription((inference_pb2.ModelDriftDetected,), on_drift, max_batch=16),
    )
