"""Circuit breakers, client side: one a target. A target that fails is left alone for a while.

Opens when half of at least 20 attempts of the last ten seconds failed; on a quiet edge, with fewer, at five
failures in a row; and on a busy one at five in a row that lasted a second, because ten good seconds would
else hide a total failure for ten more. Open for 5 s, then three probes: all answered, it closes; one failed,
it opens again. A stream counts when it begins, or fails to, and not for how long it lives. What counts as a
failure is said in `outcomes.py`.

While it is open, calls fail at once with UNAVAILABLE `CIRCUIT_OPEN`. The built-in services (health,
reflection) have no breaker: they are how one finds out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from enum import Enum

import grpc
import structlog

from interceptors.calls import ClientCall
from interceptors.outcomes import Outcome, outcome
from interceptors.plan import Hook
from interceptors.window import SECONDS, Window
from services.errors import FxError, Kind
from services.runtime.policy import BUILT_IN, MethodPolicy

OPEN_S = 5.0
PROBES = 3
_BUSY = 20
_SHARE = 0.5
_IN_A_ROW = 5
_TOTAL_S = 1.0

_log = structlog.get_logger("fxmesh.mesh")


def in_words() -> str:
    """The rule, for whoever asks what applies."""
    return (
        f"one a target: opens when {_SHARE:.0%} of at least {_BUSY} attempts of {SECONDS} s failed, "
        f"or {_IN_A_ROW} in a row (of more attempts: for {_TOTAL_S:g} s); "
        f"open {OPEN_S:g} s, then {PROBES} probes"
    )


class State(Enum):
    """As the gauge shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


_OK, _CLOSED = grpc.StatusCode.OK, State.CLOSED
"""Looked up once: Python 3.11 takes longer to find a member of an enumeration than to count an attempt."""


class Breakers:
    """The breakers of one process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.by_target: dict[str, Breaker] = {}

    def hook(self, method: MethodPolicy) -> Hook[ClientCall] | None:
        """Sends the attempts of `method` through the breaker of its service, or of its service's cancels."""
        if method.path in BUILT_IN:
            return None
        target = method.target
        breaker = self.by_target.get(target)
        if breaker is None:
            breaker = self.by_target[target] = Breaker(target, self._now)
        return Hook(enter=breaker.enter, begun=breaker.begun, leave=breaker.leave)


class Breaker:
    """The breaker of one target."""

    def __init__(self, target: str, now: Callable[[], float]) -> None:
        self.state = State.CLOSED
        self.transitions: Counter[State] = Counter()
        """By the state that was changed to."""
        self._target = target
        self._now = now
        self._window = Window()
        """Attempts that count, and the failed ones among them."""
        self._in_a_row = 0
        self._failing_since = 0.0
        self._until = 0.0
        """Open: when the probes begin. Half open: when probes that are still out are given up for others."""
        self._period = 0
        """Number of the present half-open period; a probe carries it."""
        self._out = 0
        self._answered = 0

    def enter(self, call: ClientCall) -> None:
        """Let the attempt through, or raise FxError UNAVAILABLE `CIRCUIT_OPEN`."""
        if self.state is not _CLOSED:
            self._probe(call)

    def begun(self, call: ClientCall) -> None:
        """The first answer of a stream: it counts now, and its end only if that is a failure."""
        self._answer(call)

    def leave(self, call: ClientCall) -> None:
        """Count the attempt."""
        if call.code is _OK and self.state is _CLOSED and not call.begun:
            self._window.add(self._now())  # nearly every call: no detour
            self._in_a_row = 0
            return
        found = outcome(call)
        if found is Outcome.ANSWERED:
            if not call.begun:
                self._answer(call)
        elif found is not Outcome.NOTHING:
            self._failure(call)
        elif call.probe == self._period and not call.begun and self.state is State.HALF_OPEN:
            self._out -= 1  # it says nothing: another may go in its place

    def _answer(self, call: ClientCall) -> None:
        self._window.add(self._now())
        self._in_a_row = 0
        if self.state is State.HALF_OPEN and call.probe == self._period:
            self._answered += 1
            if self._answered == PROBES:
                self._window.clear(self._now())
                self._change(State.CLOSED)

    def _failure(self, call: ClientCall) -> None:
        now = self._now()
        self._window.add(now)
        self._window.add_second(now)
        if not self._in_a_row:
            self._failing_since = now
        self._in_a_row += 1
        probing = self.state is State.HALF_OPEN and call.probe == self._period
        if probing or (self.state is State.CLOSED and self._too_many(now)):
            self._until = now + OPEN_S
            self._change(State.OPEN)

    def _too_many(self, now: float) -> bool:
        attempts, failures = self._window.first, self._window.second
        if attempts >= _BUSY and failures >= attempts * _SHARE:
            return True
        total = attempts < _BUSY or now - self._failing_since >= _TOTAL_S
        return total and self._in_a_row >= _IN_A_ROW

    def _probe(self, call: ClientCall) -> None:
        now = self._now()
        if now >= self._until:
            # The period is over, or its probes hang: they have had their time, others may try.
            self._period += 1
            self._out = self._answered = 0
            self._until = now + OPEN_S
            if self.state is State.OPEN:
                self._change(State.HALF_OPEN)
        if self.state is State.OPEN or self._out >= PROBES:
            detail = f"{self._target} failed too often lately: nothing is sent to it for some seconds"
            raise FxError(Kind.UNAVAILABLE, "CIRCUIT_OPEN", detail, retry_after_s=max(0.0, self._until - now))
        self._out += 1
        call.probe = self._period

    def _change(self, state: State) -> None:
        was, self.state = self.state, state
        self.transitions[state] += 1
        self._in_a_row = 0
        write = _log.info if state is State.CLOSED else _log.warning
        write(
            f"breaker.{state.name.lower()}",
            grpc_service=self._target,
            was=was.name.lower(),
            attempts=self._window.first,
            failures=self._window.second,
        )
