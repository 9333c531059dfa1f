"""An observer knows whether it hears everything: what its cache keeps depends on it."""

from __future__ import annotations

import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated

from services.runtime.ports import Observation
from tests.kit.buses import process
from tests.kit.events import signal
from tests.kit.nats import NatsServer, until

pytestmark = pytest.mark.integration


async def test_it_is_told_when_the_way_is_lost_and_when_it_is_back(own_nats: NatsServer) -> None:
    told: list[str] = []
    observation = Observation(
        (SignalGenerated.DESCRIPTOR.full_name,),
        lambda event: told.append(event.rpartition(".")[2]),
        lambda: told.append("listening"),
        lambda: told.append("deaf"),
    )
    async with process(own_nats, "alpha") as listener, process(own_nats, "beta") as publisher:
        await listener.bus.observe(observation)
        await until(lambda: told == ["listening"])
        own_nats.kill()
        await until(lambda: told[-1] == "deaf")
        own_nats.start()
        await until(lambda: told[-1] == "listening")
        await publisher.bus.publish(signal(1))
        await until(lambda: told[-1] == "SignalGenerated")
        await listener.bus.close()
        assert told[-1] == "deaf"
