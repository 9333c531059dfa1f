"""Traces as handlers see them: steps of the work in hand, and stories that are taken up again later.

A port, so that domain and handlers know nothing of OpenTelemetry. `services/runtime/traces.py` is what every
process runs with: where nothing is recorded a step costs a few assignments, and stories still carry their
ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

Fact: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Story:
    """What a piece of work belongs to; to be kept with what it leads to. Empty text where there is none."""

    traceparent: str = ""
    """W3C trace context."""
    correlation_id: str = ""
    """Of the outside request or event that it serves."""
    causation_id: str = ""
    """Of the event that it follows from."""


NO_STORY = Story()


class Step(Protocol):
    """A span that has begun, if anybody records it.

    As a context manager it is the work in hand inside, and ends with it.
    """

    @property
    def story(self) -> Story:
        """To go on from this step."""

    def note(self, **facts: Fact) -> None:
        """Facts known only now."""

    def end(self, failure: str = "") -> None:
        """It is over. `failure`: a code for what went wrong."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Begins steps. `name` says what is done and is one of few; what it is done to goes into `facts`."""

    def current(self) -> Story:
        """Of the work in hand."""

    def start(self, name: str, story: Story | None = None, **facts: Fact) -> Step:
        """A step of a story, or of the work in hand. Recorded where that is."""

    def begin(self, name: str, after: Story | None = None, **facts: Fact) -> Step:
        """The first step of a trace of its own, always sampled and linked to what it follows from: a story,
        or the work in hand.
        """
