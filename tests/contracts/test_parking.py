"""What becomes of a key one of whose events cannot be handled, whichever bus a service was handed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from google.protobuf.message import Message

from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import Collector
from tests.kit.events import signal, unfit
from tests.kit.nats import until, until_async
from tests.kit.worlds import World

pytestmark = pytest.mark.integration


class Poisoned(Collector):
    """Cannot handle the given events until it is cured."""

    def __init__(self, *poison: Message) -> None:
        super().__init__()
        self._poison = poison

    def cure(self) -> None:
        self._poison = ()

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        if any(each.event in self._poison for each in deliveries):
            raise ValueError("cannot be handled")
        await super().__call__(deliveries)

    def numbers(self, symbol: str) -> list[int]:
        return [int(each.id.rpartition(":")[2]) for each in self.deliveries if each.key == symbol]


async def test_the_poison_in_a_batch_is_the_only_dead_letter_and_only_its_key_waits_behind_it(
    world: World,
) -> None:
    got = Poisoned(signal(13))
    await world.bus("beta").publish_many(
        [signal(number, symbol) for number in range(1, 31) for symbol in ("EURUSD", "USDJPY")]
    )
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got, max_batch=30, merge=True))
    await until(lambda: len(got.deliveries) == 42)
    await until_async(lambda: world.bus("beta").pending("alpha", SignalGenerated), 0)

    assert got.numbers("EURUSD") == list(range(1, 13))
    assert got.numbers("USDJPY") == list(range(1, 31))
    assert await world.dead_letters() == ["alpha/fxmesh.analysis.v1.SignalGenerated/s-1:EURUSD:1m:trend:13"]


async def parked_behind_13(world: World) -> Poisoned:
    """A consumer that has handled 1 to 12 of EURUSD, given 13 up and parked 14 to 20."""
    got = Poisoned(signal(13))
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got, max_batch=4))
    await world.bus("beta").publish_many([signal(number) for number in range(1, 21)])
    await until(lambda: len(got.deliveries) == 12)
    await until_async(lambda: world.bus("beta").pending("alpha", SignalGenerated), 0)
    assert len(await world.dead_letters()) == 1
    return got


async def test_a_redriven_event_is_handled_then_what_was_parked_behind_it_then_what_is_new(
    world: World,
) -> None:
    got = await parked_behind_13(world)
    got.cure()
    await world.order("redrive", "alpha")
    await world.bus("beta").publish_many([signal(number) for number in range(21, 31)])
    await until(lambda: len(got.deliveries) == 30)

    assert got.numbers("EURUSD") == list(range(1, 31))
    assert await world.dead_letters() == []


async def test_a_dropped_event_never_comes_and_what_was_parked_behind_it_does(world: World) -> None:
    got = await parked_behind_13(world)
    await world.order("drop", "alpha")
    await until(lambda: len(got.deliveries) == 19)
    await world.bus("beta").publish(signal(21))
    await until(lambda: len(got.deliveries) == 20)

    assert got.numbers("EURUSD") == [*range(1, 13), *range(14, 22)]
    assert await world.dead_letters() == []


async def test_a_redrive_that_fails_leaves_everything_as_it_was(world: World) -> None:
    got = await parked_behind_13(world)
    await world.order("redrive", "alpha")
    assert len(await world.dead_letters()) == 1

    got.cure()
    await world.bus("beta").publish(signal(21))
    await until_async(lambda: world.bus("beta").pending("alpha", SignalGenerated), 0)
    assert got.numbers("EURUSD") == list(range(1, 13))

    await world.order("redrive", "alpha")
    await until(lambda: len(got.deliveries) == 21)
    assert got.numbers("EURUSD") == list(range(1, 22))


async def test_a_second_bad_event_among_the_parked_parks_the_key_anew(world: World) -> None:
    got = Poisoned(signal(3), signal(5))
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got, max_batch=4))
    await world.bus("beta").publish_many([signal(number) for number in range(1, 9)])
    await until_async(lambda: world.bus("beta").pending("alpha", SignalGenerated), 0)

    await world.order("drop", "alpha")
    assert got.numbers("EURUSD") == [1, 2, 4]
    assert [each.rpartition(":")[2] for each in await world.dead_letters()] == ["5"]
    got.cure()
    await world.order("redrive", "alpha")
    await until(lambda: len(got.deliveries) == 7)
    assert got.numbers("EURUSD") == [1, 2, 4, 5, 6, 7, 8]


async def test_a_redrive_runs_the_named_consumer_and_no_other(world: World) -> None:
    alpha, beta = Poisoned(signal(1)), Poisoned(signal(1))
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), alpha))
    await world.bus("beta").subscribe(Subscription((SignalGenerated,), beta))
    await world.bus("beta").publish_many([signal(1), signal(2)])

    async def letters() -> int:
        return len(await world.dead_letters())

    await until_async(letters, 2)
    alpha.cure()
    beta.cure()
    await world.order("redrive", "beta")
    await until(lambda: beta.numbers("EURUSD") == [1, 2])
    assert alpha.deliveries == []
    assert [each.partition("/")[0] for each in await world.dead_letters()] == ["alpha"]


async def test_an_event_that_breaks_the_rules_of_its_contract_is_given_up_at_once(world: World) -> None:
    got = Collector()
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got, max_batch=30, merge=True))
    await world.bus("beta").publish_many([signal(1), unfit(2), signal(3), signal(1, "USDJPY")])
    await until_async(lambda: world.bus("beta").pending("alpha", SignalGenerated), 0)

    assert sorted(got.ids) == [
        "fxmesh.analysis.v1.SignalGenerated/s-1:EURUSD:1m:trend:1",
        "fxmesh.analysis.v1.SignalGenerated/s-1:USDJPY:1m:trend:1",
    ]
    assert await world.dead_letters() == ["alpha/fxmesh.analysis.v1.SignalGenerated/s-1:EURUSD:1m:trend:2"]
    assert await world.reasons() == [("EVENT_UNFIT: signal: value is required", 1)]

    await world.order("redrive", "alpha")
    assert len(await world.dead_letters()) == 1
    await world.order("drop", "alpha")
    await until(lambda: len(got.deliveries) == 3)
    assert got.events[-1] == signal(3)
    assert await world.dead_letters() == []
