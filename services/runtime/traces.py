"""The Tracer of a process (`services/tracing.py`): steps on the context variables that calls and events set.

Without spans nothing is recorded and nothing of OpenTelemetry imported; the ids of a story are kept all the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from services.errors import FxError
from services.runtime import context
from services.tracing import Fact, Step, Story

if TYPE_CHECKING:
    from services.runtime.spans import Spans

_VARIABLES: tuple[ContextVar[str | None], ...] = (
    context.traceparent,
    context.correlation_id,
    context.causation_id,
)


def current() -> Story:
    """Of the work in hand."""
    return Story(*(each.get() or "" for each in _VARIABLES))


@contextmanager
def within(story: Story) -> Iterator[None]:
    """Make a story the work in hand."""
    tokens = _enter(story)
    try:
        yield
    finally:
        _leave(tokens)


class ContextTracer:
    """Begins steps; records those that are sampled."""

    def __init__(self, spans: Spans | None = None) -> None:
        self._spans = spans

    def current(self) -> Story:
        """Of the work in hand."""
        return current()

    def start(self, name: str, story: Story | None = None, **facts: Fact) -> Step:
        """A step of a story, or of the work in hand. Recorded where that is."""
        of = current() if story is None else story
        if self._spans is None or not of.traceparent or not context.sampled(of.traceparent):
            return _Step(of)
        return self._record(self._spans, name, of, of.traceparent, (), facts)

    def begin(self, name: str, after: Story | None = None, **facts: Fact) -> Step:
        """The first step of a trace of its own, always sampled and linked to a story or the work in hand."""
        of = current() if after is None else after
        if self._spans is None:
            return _Step(of)
        return self._record(self._spans, name, of, None, (of.traceparent,) if of.traceparent else (), facts)

    def _record(
        self,
        spans: Spans,
        name: str,
        of: Story,
        parent: str | None,
        links: tuple[str, ...],
        facts: dict[str, Fact],
    ) -> Step:
        from opentelemetry.trace import SpanKind

        ids: dict[str, Fact] = {"correlation_id": of.correlation_id, "causation_id": of.causation_id}
        known = _named({name: text for name, text in ids.items() if text} | facts)
        span = spans.start(SpanKind.INTERNAL, name, parent, known, links)
        return _Step(replace(of, traceparent=spans.traceparent(span)), spans, span)


class _Step:
    """`span` is None where nothing is recorded."""

    __slots__ = ("_ended", "_span", "_spans", "_tokens", "story")

    def __init__(self, story: Story, spans: Spans | None = None, span: Any = None) -> None:
        self.story = story
        self._spans = spans
        self._span = span
        self._ended = False
        self._tokens: list[Token[str | None]] = []

    def note(self, **facts: Fact) -> None:
        if self._span is not None:
            self._span.set_attributes(_named(facts))

    def end(self, failure: str = "") -> None:
        if self._spans is not None and not self._ended:
            self._ended = True
            self._spans.end(self._span, failure)

    def __enter__(self) -> Self:
        self._tokens = _enter(self.story)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _leave(self._tokens)
        self.end(
            "" if error is None else error.reason if isinstance(error, FxError) else type(error).__name__
        )


def _named(facts: dict[str, Fact]) -> dict[str, Fact]:
    return {f"fxmesh.{name}": fact for name, fact in facts.items()}


def _enter(story: Story) -> list[Token[str | None]]:
    values = (story.traceparent, story.correlation_id, story.causation_id)
    return [variable.set(value or None) for variable, value in zip(_VARIABLES, values, strict=True)]


def _leave(tokens: list[Token[str | None]]) -> None:
    for variable, token in zip(_VARIABLES, tokens, strict=True):
        variable.reset(token)
