"""What happens when a handler fails: the key of the bad event is held and later parked, other keys go on.

A batch that fails is tried in halves, so that one bad event in a thousand is alone after ten steps. Its key
is held then: the event is tried again with growing delays, and what follows of its key waits behind it. After
the last attempt the event becomes a dead letter and what waited is parked: stored behind the letter, in
order, as is everything of that key until somebody redrives or drops the letter. An event that breaks the
rules of its contract is given up at once.

A failure that waiting may cure says nothing about the event. It is taken for everybody's: all keys are held,
one after the other is tried now and then, and the first that is handled sets the others free. An attempt that
ends so counts against its event only if something else was handled since the attempt before.

Knows no transport: shared by the NATS bus and the memory bus.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.handling import Handling, RetryPolicy, UnfitError, may_pass, reason_of
from services.runtime.bus.held import Fate, Figures, Held
from services.runtime.bus.naming import order_of
from services.runtime.ports import Delivery

_NOT_STORED_RETRY_S = 1.0


@dataclass(slots=True)
class Holding:
    """Runs the batches of one worker: call `run` with what is new, and `step` whenever `due_s` has passed."""

    handling: Handling
    fate: Fate
    retry: RetryPolicy
    log: FilteringBoundLogger
    max_batch: int
    figures: Figures = field(default_factory=Figures)
    now: Callable[[], float] = time.monotonic
    _held: dict[str, Held] = field(default_factory=dict)
    _parked: set[str] = field(default_factory=set)
    _handled: int = 0
    _probes: int = 0
    """Attempts since everything is held; 0 while it is not."""
    _next_probe: float = 0.0

    def is_trying(self, key: str) -> bool:
        """True while the first event in hand of the key is being tried: nobody knows how that will end."""
        held = self._held.get(key)
        return held is not None and not (held.buried and not held.recovering)

    def parks(self, key: str) -> bool:
        """True while the key has a dead letter in front."""
        return key in self._parked

    def park(self, keys: Iterable[str]) -> None:
        """These keys are parked, as an earlier process or session has stored; others are not."""
        own = {key for key, held in self._held.items() if held.buried or held.recovering}
        for key in self._parked - own - set(keys):
            self._set_parked(key, parked=False)
        for key in keys:
            self._set_parked(key, parked=True)

    def recover(self, key: str, entries: Sequence[Delivery]) -> None:
        """Handle a dead letter, if one is given, and then what was parked behind it."""
        self._set_parked(key, parked=True)
        held = self._held.get(key) or self._hold(key, [])
        held.recover(entries, self.now())

    def due_s(self) -> float | None:
        """Seconds until `step` has something to do; None when nothing is held."""
        if not self._held:
            return None
        return max(0.0, min(self._due(held) for held in self._held.values()) - self.now())

    async def run(self, deliveries: Sequence[Delivery]) -> None:
        """Handle what is new, in order; when this returns, the rest is held or parked."""
        if self._held or self._parked:
            deliveries = await self._let_through(deliveries)
        if self._probes:
            self._hold_each(deliveries)
        elif deliveries:
            await self._try(deliveries)

    async def step(self) -> None:
        """One attempt for each held key whose time has come; for one at a time while everything is held."""
        for key in list(self._held):
            held = self._held.get(key)
            if held is not None and self._due(held) <= self.now():
                await self._again(key, held)

    def _due(self, held: Held) -> float:
        return self._next_probe if self._probes and not held.apart else held.due

    async def _let_through(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        free: list[Delivery] = []
        behind: list[Delivery] = []
        for delivery in deliveries:
            key = order_of(delivery.subject)
            if (held := self._held.get(key)) is not None:
                held.put(delivery)
            else:
                (behind if key in self._parked else free).append(delivery)
        if behind:
            await self._park(behind)
        return free

    async def _try(self, deliveries: Sequence[Delivery]) -> None:
        failure = await self.handling.attempt(deliveries)
        if failure is None:
            self._handled += 1
            await self.fate.settled(deliveries)
        elif may_pass(failure):
            self._hold_everything(deliveries, failure)
        elif len(deliveries) == 1:
            self._hold_bad(deliveries[0], failure)
        else:
            self.log.info("bus.batch_failed", events=len(deliveries), reason=reason_of(failure))
            middle = len(deliveries) // 2
            await self._try(deliveries[:middle])
            await self.run(deliveries[middle:])

    def _hold_everything(self, deliveries: Sequence[Delivery], failure: Exception) -> None:
        now = self.now()
        self._probes, self._next_probe = 1, now + self.retry.delay_s(1)
        self.log.warning("bus.everything_held", events=len(deliveries), reason=reason_of(failure))
        for held in self._hold_each(deliveries):
            held.failed(failure, 1, self._handled, now, self.retry)
            held.counted = 0

    def _hold_each(self, deliveries: Iterable[Delivery]) -> list[Held]:
        begun = []
        for delivery in deliveries:
            key = order_of(delivery.subject)
            held = self._held.get(key)
            if held is None:
                begun.append(self._hold(key, [delivery]))
            else:
                held.put(delivery)
        return begun

    def _hold_bad(self, delivery: Delivery, failure: Exception) -> None:
        key = order_of(delivery.subject)
        held = self._hold(key, [delivery])
        held.failed(failure, 1, self._handled, held.since, self.retry)
        unexpected = None if isinstance(failure, FxError | UnfitError) else failure
        reason = reason_of(failure)
        self.log.warning("bus.key_held", key=key, first=delivery.id, reason=reason, exc_info=unexpected)

    def _hold(self, key: str, entries: Iterable[Delivery]) -> Held:
        held = self._held[key] = Held(deque(entries), self.now(), self.now(), witness=self._handled)
        self.figures.held_keys += 1
        return held

    async def _again(self, key: str, held: Held) -> None:
        try:
            if held.buried:
                await self._park_rest(key, held)
            elif held.unfit is not None:
                await self._give_up(key, held, held.unfit)
            elif held.entries or await self._refill(key, held):
                await self._attempt(key, held)
        except FxError as failure:  # the bus is away, or has no room
            held.due = self.now() + _NOT_STORED_RETRY_S
            self._next_probe = max(self._next_probe, held.due)
            if held.trouble != (trouble := str(failure)):
                held.trouble = trouble
                self.log.warning("bus.not_settled", key=key, error=trouble)

    async def _refill(self, key: str, held: Held) -> bool:
        """Go on with what was parked, and in the end with what came meanwhile."""
        held.entries.extend(await self.fate.behind(key))
        if held.entries and len(held.waiting) > self.retry.held_events:
            with suppress(FxError):  # no room: it can stay in hand
                await self._park_all(held.waiting)
        if not held.entries:
            await self.fate.recovered(key, entirely=True)
            self._set_parked(key, parked=False)
            self.log.info("bus.key_recovered", key=key)
            held.recovering, held.entries, held.waiting = False, held.waiting, deque()
        if not held.entries:
            self._release(key)
        return bool(held.entries)

    async def _attempt(self, key: str, held: Held) -> None:
        head = held.head(self.max_batch)
        failure = await self.handling.attempt(head)
        now = self.now()
        if failure is not None:
            held.failed(failure, len(head), self._handled, now, self.retry)
            if self._probes and may_pass(failure):
                self._probes += 1
                self._next_probe = now + self.retry.delay_s(self._probes)
                self._held[key] = self._held.pop(key)  # the next probe is another key's
            if held.is_over(now, self.retry):
                await self._give_up(key, held, failure)
            return
        self._handled += 1
        await self.fate.settled(head)
        held.handled(len(head), now)
        self.figures.redriven += len(head) if held.recovering else 0
        self._set_free(now)
        if not held.entries and not held.recovering:
            self._release(key)

    def _set_free(self, now: float) -> None:
        if self._probes:
            self._probes = 0
            self.log.info("bus.everything_goes_on", keys=len(self._held))
            for held in self._held.values():
                held.due = min(held.due, now)

    async def _give_up(self, key: str, held: Held, failure: Exception) -> None:
        reason = reason_of(failure)
        await self.fate.bury(held.entries[0], reason, held.tries)
        held.entries.popleft()
        held.buried = True
        self._set_parked(key, parked=True)
        self.log.error("bus.key_parked", key=key, reason=reason, attempts=held.tries)
        await self._park_rest(key, held)

    async def _park_rest(self, key: str, held: Held) -> None:
        await self._park_all(held.entries)
        await self._park_all(held.waiting)
        if held.recovering:
            await self.fate.recovered(key, entirely=False)
        self._release(key)

    async def _park(self, deliveries: Sequence[Delivery]) -> None:
        """What cannot be stored now is kept here, in order, until it can."""
        rest = deque(deliveries)
        try:
            await self._park_all(rest)
        except FxError as failure:
            self.log.warning("bus.not_parked", events=len(rest), error=str(failure))
            for held in self._hold_each(rest):
                held.buried, held.due = True, self.now() + _NOT_STORED_RETRY_S

    async def _park_all(self, rest: deque[Delivery]) -> None:
        while rest:
            await self.fate.park(rest[0])
            rest.popleft()

    def _set_parked(self, key: str, *, parked: bool) -> None:
        before = len(self._parked)
        (self._parked.add if parked else self._parked.discard)(key)
        self.figures.parked_keys += len(self._parked) - before

    def _release(self, key: str) -> None:
        del self._held[key]
        self.figures.held_keys -= 1
        if not self._held:
            self._probes = 0
