"""Compiles, once per method, the order of things that happen to a call of it.

A concern looks at a method's policy and gives a `Hook`, or None when it has nothing to do there. The plan is
the hooks' functions laid out flat, in the order explained in `interceptors/__init__.py`. On the client a
call may take several attempts: what is at the places of `PER_ATTEMPT` is a stage of its own, passed by each
of them, and what wraps lies in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from services.runtime.policy import MethodPolicy

CallT = TypeVar("CallT")


class Place(Enum):
    """A position in the order."""

    CORRELATION = "correlation"
    TRACING = "tracing"
    METRICS = "metrics"
    DEADLINE = "deadline"
    DRAIN = "drain"
    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    ADMISSION = "admission"
    RATE_LIMIT = "rate_limit"
    FAULTS = "faults"
    CACHE = "cache"
    RETRY = "retry"
    BREAKER = "breaker"
    BULKHEAD = "bulkhead"
    VALIDATION = "validation"


SERVER_ORDER = (
    Place.CORRELATION,
    Place.TRACING,
    Place.METRICS,
    Place.DEADLINE,
    Place.DRAIN,
    Place.ADMISSION,
    Place.AUTHENTICATION,
    Place.AUTHORIZATION,
    Place.RATE_LIMIT,
    Place.FAULTS,
    Place.BULKHEAD,
    Place.VALIDATION,
)
CLIENT_ORDER = (
    Place.CORRELATION,
    Place.TRACING,
    Place.METRICS,
    Place.DEADLINE,
    Place.AUTHENTICATION,
    Place.CACHE,
    Place.RETRY,
    Place.BREAKER,
    Place.BULKHEAD,
)


PER_ATTEMPT = (Place.BREAKER, Place.BULKHEAD)
"""Places of the client's order that every attempt passes, and not the call once."""

Proceed: TypeAlias = Callable[[CallT, Any], Awaitable[Any]]
"""Goes on with a call and its encoded request (or requests); gives the encoded answer, or the stream of
them.
"""
Wrap: TypeAlias = Callable[[Proceed[CallT]], Proceed[CallT]]


@dataclass(frozen=True, slots=True)
class Hook(Generic[CallT]):
    """What one concern does to calls of one method.

    `enter` runs before the handler (server) or before sending (client) and refuses by raising `FxError`;
    `admit` is the same for a concern that may have to wait: it gives back what to await then, and None where
    it need not. `check` sees each request message a server receives. `leave` runs at the end, in the opposite
    order, for every hook that was entered; it must not raise. `begun` runs when the first of several answers
    has arrived, per attempt. `wrap` surrounds what comes after it on the client: it may answer without going
    on, or go on several times.
    """

    enter: Callable[[CallT], None] | None = None
    admit: Callable[[CallT], Awaitable[None] | None] | None = None
    check: Callable[[Message], None] | None = None
    leave: Callable[[CallT], None] | None = None
    begun: Callable[[CallT], None] | None = None
    wrap: Wrap[CallT] | None = None

    def __post_init__(self) -> None:
        if self.enter is not None and self.admit is not None:
            raise ValueError("a hook enters or admits, not both")
        if self.leave is not None and self.enter is None and self.admit is None:
            raise ValueError("a hook that leaves must enter: its end depends on its beginning")
        if self.wrap is not None and (self.enter or self.admit):
            raise ValueError("a hook that wraps is at the beginning and the end already")


Concern: TypeAlias = Callable[[MethodPolicy], Hook[CallT] | None]
Concerns: TypeAlias = Mapping[Place, Concern[CallT]]


Steps: TypeAlias = tuple[Callable[[CallT], Awaitable[None] | None], ...]
"""In order; what one gives back is to be awaited before the next."""
Leaves: TypeAlias = tuple[tuple[Callable[[CallT], None], ...], ...]
"""At `n`, what to run at the end when `n` steps were taken."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[CallT]):
    """What every attempt passes."""

    steps: Steps[CallT]
    leaves: Leaves[CallT]
    begun: tuple[Callable[[CallT], None], ...]


@dataclass(frozen=True, slots=True)
class Plan(Generic[CallT]):
    """The compiled order for one method. The server has no attempts: everything is in `steps` there."""

    method: MethodPolicy
    steps: Steps[CallT]
    checks: tuple[Callable[[Message], None], ...]
    leaves: Leaves[CallT]
    wraps: tuple[Wrap[CallT], ...]
    """Outermost first."""
    attempt: Stage[CallT]


def compile_plan(
    order: tuple[Place, ...],
    concerns: Concerns[CallT],
    method: MethodPolicy,
    per_attempt: tuple[Place, ...] = (),
) -> Plan[CallT]:
    """Lay out the hooks of `concerns` for `method`. Raises ValueError for a concern that has no place in
    `order`.
    """
    if strangers := set(concerns) - set(order):
        raise ValueError(f"no place in this order for {sorted(place.value for place in strangers)}")
    made = {place: hook for place in order if place in concerns and (hook := concerns[place](method))}
    once = [hook for place, hook in made.items() if place not in per_attempt]
    again = [hook for place, hook in made.items() if place in per_attempt]
    wraps = tuple(hook.wrap for hook in once if hook.wrap is not None)
    if any(hook.wrap for hook in again) or (wraps and not per_attempt):
        raise ValueError("only a concern of calls that have attempts can wrap, and not an attempt itself")
    steps, leaves = _laid_out(once)
    begun = tuple(hook.begun for hook in again if hook.begun is not None)
    checks = tuple(hook.check for hook in once if hook.check is not None)
    return Plan(method, steps, checks, leaves, wraps, Stage(*_laid_out(again), begun))


def _laid_out(hooks: list[Hook[CallT]]) -> tuple[Steps[CallT], Leaves[CallT]]:
    steps: list[Callable[[CallT], Awaitable[None] | None]] = []
    leaves: list[tuple[Callable[[CallT], None], ...]] = [()]
    for hook in hooks:
        step = hook.enter or hook.admit
        if step is not None:
            steps.append(step)
            leaves.append((hook.leave, *leaves[-1]) if hook.leave is not None else leaves[-1])
    return tuple(steps), tuple(leaves)
