"""What a failure does to an event's key and to the others, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from services.errors import FxError, Kind
from services.runtime.bus.envelope import Envelopes
from services.runtime.bus.handling import Handling, RetryPolicy
from services.runtime.bus.holding import Holding
from services.runtime.bus.naming import order_of
from services.runtime.clock import WallClock
from services.runtime.ports import Delivery
from tests.kit.events import quiet_log, service, signal

AWAY = FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "away")
BAD = ValueError("bad\nthing")
ENVELOPES = Envelopes(service(), WallClock())

Fails = Callable[[Sequence[str]], Exception | None]


def event(text: str) -> Delivery:
    """`EURUSD3` is the third signal of EURUSD."""
    subject = ENVELOPES.wrap(signal(int(text[6:]), text[:6])).subject
    return Delivery(signal(int(text[6:]), text[:6]), text, subject, text[:6], int(text[6:]))


def events(*texts: str) -> list[Delivery]:
    return [event(text) for text in texts]


class Bench:
    """A holding whose handler fails as told, and everything that becomes of its events."""

    def __init__(self, fails: Fails, retry: RetryPolicy | None = None) -> None:
        self.fails = fails
        self.time = 0.0
        self.calls: list[list[str]] = []
        self.tried_at: list[float] = []
        self.done: list[str] = []
        self.buried: list[tuple[str, str, int]] = []
        self.parked: list[str] = []
        self.full = False
        self.holding = Holding(
            Handling(self._handle),
            self,
            retry or RetryPolicy(attempts=4, held_events=5),
            quiet_log(),
            max_batch=3,
            now=lambda: self.time,
        )

    async def _handle(self, given: Sequence[Delivery]) -> None:
        ids = [each.id for each in given]
        self.calls.append(ids)
        self.tried_at.append(round(self.time, 3))
        failure = self.fails(ids)
        if failure is not None:
            raise failure

    async def settled(self, deliveries: Sequence[Delivery]) -> None:
        self.done += [each.id for each in deliveries]

    async def bury(self, delivery: Delivery, reason: str, attempts: int) -> None:
        self._refuse()
        self.buried.append((delivery.id, reason, attempts))

    async def park(self, delivery: Delivery) -> None:
        self._refuse()
        self.parked.append(delivery.id)

    async def behind(self, key: str) -> Sequence[Delivery]:
        found = [each for each in self.parked if order_of(event(each).subject) == key][:2]
        self.parked = [each for each in self.parked if each not in found]
        return events(*found)

    async def recovered(self, key: str, *, entirely: bool) -> None:
        pass

    def _refuse(self) -> None:
        if self.full:
            raise FxError(Kind.RESOURCE_EXHAUSTED, "STREAM_FULL", "full")

    async def pass_time(self, seconds: float) -> None:
        """Let that much time go by, stepping whenever something is due."""
        end = self.time + seconds
        for _ in range(10_000):
            due_s = self.holding.due_s()
            if due_s is None or self.time + due_s > end:
                break
            self.time += due_s
            await self.holding.step()
        else:
            pytest.fail("steps without end")
        self.time = end


def poison(*bad: str, failure: Exception = BAD) -> Fails:
    return lambda ids: failure if set(bad).intersection(ids) else None


async def test_what_is_handled_is_settled_in_order() -> None:
    bench = Bench(poison())
    await bench.holding.run(events("EURUSD1", "EURUSD2", "USDJPY1"))

    assert bench.calls == [["EURUSD1", "EURUSD2", "USDJPY1"]]
    assert bench.done == ["EURUSD1", "EURUSD2", "USDJPY1"]
    assert bench.holding.due_s() is None


async def test_a_bad_event_is_tried_with_growing_delays_then_buried_and_its_key_parked() -> None:
    bench = Bench(poison("EURUSD1"))
    await bench.holding.run(events("EURUSD1"))
    await bench.holding.run(events("EURUSD2"))
    await bench.pass_time(60)
    await bench.holding.run(events("EURUSD3"))

    assert bench.calls == [["EURUSD1"]] * 4
    assert bench.tried_at == [0.0, 0.1, 0.3, 0.7]
    assert bench.buried == [("EURUSD1", "ValueError: bad thing", 4)]
    assert bench.parked == ["EURUSD2", "EURUSD3"]
    assert bench.holding.due_s() is None


@pytest.mark.parametrize("bad", ["EURUSD1", "EURUSD7", "EURUSD64", "EURUSD100"])
async def test_one_bad_event_of_a_batch_is_found_and_nothing_of_another_key_waits(bad: str) -> None:
    bench = Bench(poison(bad))
    batch = [f"{symbol}{number}" for number in range(1, 101) for symbol in ("EURUSD", "USDJPY")]
    await bench.holding.run(events(*batch))

    place = batch.index(bad)
    assert bench.time == 0.0
    assert len(bench.calls) < 40
    assert bench.done == [each for each in batch if each[:6] == "USDJPY" or batch.index(each) < place]


async def test_a_key_that_comes_good_goes_on_in_order() -> None:
    bench = Bench(poison("EURUSD1"))
    await bench.holding.run(events("EURUSD1", "EURUSD2", "USDJPY1"))
    await bench.holding.run(events("EURUSD3", "EURUSD4", "EURUSD5"))
    bench.fails = poison()
    await bench.pass_time(1)
    await bench.holding.run(events("EURUSD6"))

    assert bench.done == ["USDJPY1", "EURUSD1", "EURUSD2", "EURUSD3", "EURUSD4", "EURUSD5", "EURUSD6"]
    assert bench.buried == []


async def test_a_key_with_too_much_behind_it_is_parked_early() -> None:
    bench = Bench(poison("EURUSD1"), RetryPolicy(attempts=1000, held_events=5))
    await bench.holding.run(events(*(f"EURUSD{number}" for number in range(1, 20))))
    await bench.pass_time(1)

    assert [each[0] for each in bench.buried] == ["EURUSD1"]
    assert bench.parked == [f"EURUSD{number}" for number in range(2, 20)]


async def test_while_everything_is_away_all_keys_are_held_and_one_at_a_time_is_tried() -> None:
    bench = Bench(lambda _: AWAY)
    await bench.holding.run(events("EURUSD1", "USDJPY1", "GBPUSD1", "EURUSD2"))
    await bench.pass_time(120)

    assert bench.buried == []
    assert len(bench.calls) < 40
    bench.fails = poison()
    await bench.pass_time(6)
    assert sorted(bench.done) == ["EURUSD1", "EURUSD2", "GBPUSD1", "USDJPY1"]
    assert bench.done.index("EURUSD1") < bench.done.index("EURUSD2")


async def test_a_failure_that_may_pass_is_the_events_own_once_another_key_is_handled() -> None:
    bench = Bench(poison("EURUSD1", failure=AWAY))
    await bench.holding.run(events("EURUSD1"))
    await bench.pass_time(60)
    assert bench.buried == []

    for number in range(1, 9):
        await bench.holding.run(events(f"USDJPY{number}"))
        await bench.pass_time(6)

    assert bench.done == [f"USDJPY{number}" for number in range(1, 9)]
    assert [each[0] for each in bench.buried] == ["EURUSD1"]


async def test_an_untried_key_shows_at_once_that_the_trouble_is_not_everybodys() -> None:
    bench = Bench(poison("EURUSD1", failure=AWAY))
    await bench.holding.run(events("EURUSD1"))
    await bench.pass_time(100)
    await bench.holding.run(events("USDJPY1"))
    await bench.holding.step()

    assert bench.done == ["USDJPY1"]


async def test_even_what_may_pass_ends_once_it_was_held_long_enough() -> None:
    bench = Bench(lambda _: AWAY, RetryPolicy(attempts=2, hold_s=60.0))
    await bench.holding.run(events("EURUSD1", "EURUSD2"))
    await bench.pass_time(50)
    assert bench.buried == []
    await bench.pass_time(20)

    assert [each[0] for each in bench.buried] == ["EURUSD1"]
    assert bench.parked == ["EURUSD2"]


async def test_what_cannot_be_stored_is_kept_until_it_can_and_stays_in_order() -> None:
    bench = Bench(poison("EURUSD1"))
    await bench.holding.run(events("EURUSD1", "EURUSD2"))
    await bench.pass_time(60)
    bench.full = True
    await bench.holding.run(events("EURUSD3", "USDJPY1"))
    await bench.holding.run(events("EURUSD4"))
    await bench.pass_time(10)
    assert bench.done == ["USDJPY1"]

    bench.full = False
    await bench.pass_time(2)
    assert bench.parked == ["EURUSD2", "EURUSD3", "EURUSD4"]


async def test_a_letter_that_cannot_be_stored_holds_its_key_and_is_stored_in_the_end() -> None:
    bench = Bench(poison("EURUSD1"))
    bench.full = True
    await bench.holding.run(events("EURUSD1", "EURUSD2"))
    await bench.pass_time(20)
    assert bench.buried == []

    bench.full = False
    await bench.pass_time(2)
    assert [each[0] for each in bench.buried] == ["EURUSD1"]
    assert bench.parked == ["EURUSD2"]


async def test_a_recovering_key_takes_what_is_new_after_what_was_parked() -> None:
    bench = Bench(poison("EURUSD1"))
    await bench.holding.run(events(*(f"EURUSD{number}" for number in range(1, 6))))
    await bench.pass_time(60)
    bench.fails = poison()
    bench.holding.recover(order_of(event("EURUSD1").subject), events("EURUSD1"))
    await bench.holding.run(events("EURUSD6", "USDJPY1"))
    await bench.pass_time(1)
    await bench.holding.run(events("EURUSD7"))

    assert bench.done == ["USDJPY1", *(f"EURUSD{number}" for number in range(1, 8))]
    assert bench.holding.figures.redriven == 5
    assert (bench.holding.figures.held_keys, bench.holding.figures.parked_keys) == (0, 0)


async def test_a_second_bad_event_behind_the_first_stops_a_recovery_there() -> None:
    bench = Bench(poison("EURUSD1", "EURUSD4"))
    await bench.holding.run(events(*(f"EURUSD{number}" for number in range(1, 6))))
    await bench.pass_time(60)
    bench.holding.recover(order_of(event("EURUSD1").subject), [])
    await bench.holding.run(events("EURUSD6"))
    await bench.pass_time(60)

    assert bench.done == ["EURUSD2", "EURUSD3"]
    assert [each[0] for each in bench.buried] == ["EURUSD1", "EURUSD4"]
    assert bench.parked == ["EURUSD5", "EURUSD6"]
    assert bench.holding.figures.parked_keys == 1


async def test_an_unfit_event_in_a_batch_is_buried_without_a_try_in_its_place() -> None:
    bench = Bench(poison())
    batch = events("EURUSD1", "USDJPY1", "EURUSD2", "EURUSD3", "USDJPY2")
    batch[2].event.ClearField("signal")
    await bench.holding.run(batch)
    await bench.pass_time(0)

    assert not any("EURUSD2" in each for each in bench.calls)
    assert bench.done == ["EURUSD1", "USDJPY1", "USDJPY2"]
    assert bench.buried == [("EURUSD2", "EVENT_UNFIT: signal: value is required", 1)]
    assert bench.parked == ["EURUSD3"]


async def test_an_unfit_event_whose_letter_cannot_be_stored_waits_and_is_not_tried() -> None:
    bench = Bench(poison())
    bench.full = True
    (bad,) = events("EURUSD1")
    bad.event.ClearField("signal")
    await bench.holding.run([bad])
    await bench.pass_time(30)
    assert bench.buried == []

    bench.full = False
    await bench.pass_time(1)
    assert [(name, attempts) for name, _, attempts in bench.buried] == [("EURUSD1", 1)]
    assert bench.calls == []


async def test_an_unfit_event_does_not_wait_for_what_holds_everybody() -> None:
    bench = Bench(poison("USDJPY1", failure=AWAY))
    await bench.holding.run(events("USDJPY1"))
    (bad,) = events("EURUSD1")
    bad.event.ClearField("signal")
    await bench.holding.run([bad])
    await bench.holding.step()

    assert bench.time == 0.0
    assert [name for name, _, _ in bench.buried] == ["EURUSD1"]
