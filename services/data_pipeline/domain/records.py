"""What arrives to be stored, and what a file turns into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.market.ticks import TickBatch
from services.quant.bars import Bar


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as it came: identity, envelope and the bytes of its message. `source_id` is its feed
    session.
    """

    event_id: str
    type: str
    key: str
    source_id: str
    published_ns: int
    correlation_id: str
    causation_id: str
    payload: bytes
    bar: Bar | None = None
    """The bar a BarClosed carries: also stored as a row of its own."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Everything of one commit, in order of arrival: ticks have an identity of their own, events an id."""

    batches: Sequence[TickBatch]
    events: Sequence[EventRecord]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a commit added: rows that were not there before, and the bars among them."""

    ticks: int
    events: int
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Span:
    """Opening times: start <= t < end, nanoseconds; None is unbounded."""

    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StoredCount:
    """How many of a kind."""

    name: str
    count: int
