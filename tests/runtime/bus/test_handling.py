from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.runtime import context
from services.runtime.bus.handling import Handling, RetryPolicy
from services.runtime.ports import Delivery
from tests.kit.events import ticks


def deliveries(count: int) -> list[Delivery]:
    return [
        Delivery(ticks(number), str(number), "s", "k", number, headers={"correlation-id": f"c{number}"})
        for number in range(1, count + 1)
    ]


async def test_a_cancelled_helper_is_a_failure_and_not_the_end_of_the_consumer() -> None:
    async def cancelled(_: Sequence[Delivery]) -> None:
        raise asyncio.CancelledError

    failure = await Handling(cancelled).attempt(deliveries(1))

    assert isinstance(failure, RuntimeError)


async def test_cancelling_the_consumer_stops_it() -> None:
    started = asyncio.Event()

    async def wait(_: Sequence[Delivery]) -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(Handling(wait).attempt(deliveries(1)))
    await started.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_handler_works_in_the_context_of_what_it_handles() -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def note(_: Sequence[Delivery]) -> None:
        seen.append((context.correlation_id.get(), context.causation_id.get()))

    handling = Handling(note)
    await handling.attempt(deliveries(1))
    await handling.attempt(deliveries(2))
    await handling.attempt(deliveries(1) * 2)

    # Of several stories none is named, rather than the first one's for all.
    assert seen == [("c1", "1"), (None, None), ("c1", None)]


def test_delays_double_up_to_the_longest() -> None:
    retry = RetryPolicy(first_delay_s=0.1, longest_delay_s=0.3)

    assert [round(retry.delay_s(attempt), 3) for attempt in (1, 2, 3, 4, 5000)] == [0.1, 0.2, 0.3, 0.3, 0.3]
