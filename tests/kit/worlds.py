"""The two buses that contract tests run on, with what those tests ask of them beyond the port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from services.runtime.bus.letters import Letters, messages
from services.runtime.clock import WallClock
from services.runtime.memory_bus import MemoryBroker
from services.runtime.ports import Bus
from tests.kit.buses import Process
from tests.kit.events import quiet_log, service
from tests.kit.nats import NatsServer, until_async, wipe


@dataclass
class World:
    """Buses of several services that share their events."""

    bus: Callable[[str], Bus]
    dead_letters: Callable[[], Awaitable[list[str]]]
    """Ids of the events given up, with the consumer that did: `consumer/id`."""
    reasons: Callable[[], Awaitable[list[tuple[str, int]]]]
    """Why, and after how many attempts, of each."""
    order: Callable[[str, str], Awaitable[None]]
    """`redrive` or `drop` the oldest dead letter of a consumer; returns when it is carried out."""


@pytest_asyncio.fixture(params=["nats", "memory"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        broker = MemoryBroker(WallClock(), quiet_log())

        async def given_up() -> list[str]:
            return [f"{each.consumer}/{each.delivery.id}" for each in broker.dead_letters]

        async def why() -> list[tuple[str, int]]:
            return [(each.reason, each.attempts) for each in broker.dead_letters]

        async def tell(action: str, consumer: str) -> None:
            letter = next(each for each in broker.dead_letters if each.consumer == consumer)
            broker.redrive(letter, drop=action == "drop")
            await broker.drain()

        buses = {name: broker.bus(service(name)) for name in ("alpha", "beta")}
        yield World(buses.__getitem__, given_up, why, tell)
        for bus in buses.values():
            await bus.close()
        return
    server: NatsServer = request.getfixturevalue("shared_nats")
    await wipe(server)
    processes = {name: Process(server, name) for name in ("alpha", "beta")}

    async def stored() -> list[str]:
        jetstream = (await processes["alpha"].link.session()).jetstream
        return [(each.headers or {})["Nats-Msg-Id"] async for each in messages(jetstream, "DLQ", "dlq.>")]

    async def told() -> list[tuple[str, int]]:
        letters = Letters((await processes["alpha"].link.session()).client)
        return [(each.reason, each.attempts) for each in await letters.find()]

    async def order(action: str, consumer: str) -> None:
        letters = Letters((await processes["beta"].link.session()).client)
        number = await letters.order(action, (await letters.find(consumer=consumer))[0])
        await until_async(lambda: letters.is_carried_out(number), expected=True)

    yield World(lambda name: processes[name].bus, stored, told, order)
    for process in processes.values():
        await process.close()
