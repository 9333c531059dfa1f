"""An event as it travels: subject, CloudEvents headers in binary mode, payload; and back into a delivery.

Shared by the NATS bus and the memory bus, so that a service sees the same ids and headers on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from google.protobuf.message import DecodeError, Message

from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.bus.events import event_type
from services.runtime.bus.headers import Headers, mark_of
from services.runtime.bus.naming import Retention, Stream, parse_subject
from services.runtime.policy import ServicePolicy
from services.runtime.ports import Clock, Delivery
from services.tracing import Story

MESSAGE_ID = "Nats-Msg-Id"
UNREADABLE = "EVENT_UNREADABLE"
"""Reason of the dead letter of a payload that is no message of its type."""
CE_ID = "ce-id"
CE_TYPE = "ce-type"
CORRELATION = "correlation-id"
CAUSATION = "causation-id"
TRACEPARENT = context.TRACEPARENT_KEY


class UndecodableError(Exception):
    """The payload is not a message of its type, and never will be."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event ready to be stored. `stream` is None for dead letters, which have a stream of their own."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes
    id: str
    key: str
    stream: Stream | None


class Envelopes:
    """Makes the envelopes of one service, which may publish only what its contract lists."""

    def __init__(self, service: ServicePolicy, clock: Clock) -> None:
        self._service = service.name
        self._publishes = frozenset(service.publishes)
        self._clock = clock

    def wrap(self, event: Message, causation_id: str | None = None) -> Envelope:
        """The envelope of an event, with the correlation, trace and cause of the work in hand.

        Raises FxError INVALID_ARGUMENT for an event without identity, PERMISSION_DENIED for one that the
        service's contract does not list under `publishes`, FatalError for a message that is no event.
        """
        kind = event_type(event.DESCRIPTOR)
        if kind.name not in self._publishes:
            raise FxError(
                Kind.PERMISSION_DENIED,
                "PERMISSION_DENIED",
                f"{self._service} does not list {kind.name} under publishes in its contract",
            )
        address = kind.address(event)
        headers = {
            MESSAGE_ID: address.id,
            "ce-specversion": "1.0",
            CE_ID: address.id,
            CE_TYPE: kind.name,
            "ce-source": f"/fxmesh/{self._service}",
            "ce-time": _rfc3339(self._clock.now_ns()),
            "ce-subject": address.key,
            "ce-datacontenttype": "application/protobuf",
            # What nothing led to is the beginning of a story of its own, named after itself.
            CORRELATION: context.correlation_id.get() or address.id[:128],
        }
        cause = causation_id or context.causation_id.get()
        if cause:
            headers[CAUSATION] = cause
        trace = context.traceparent.get()
        if trace:
            bulk = kind.stream.retention is Retention.MARKET
            headers[TRACEPARENT] = context.unsampled(trace) if bulk else trace
        # Deterministic: two replays of the same input are the same to the byte.
        payload = event.SerializeToString(deterministic=True)
        return Envelope(address.subject, headers, payload, address.id, address.key, kind.stream)


def unwrap(
    event_class: type[Message],
    subject: str,
    headers: Mapping[str, str],
    payload: bytes,
    stream_sequence: int,
    *,
    redelivered: bool,
) -> Delivery:
    """The delivery of a stored envelope. Raises UndecodableError."""
    try:
        event = event_class.FromString(payload)
    except DecodeError as broken:
        name = event_class.DESCRIPTOR.full_name
        raise UndecodableError(f"{UNREADABLE}: {len(payload)} bytes are no {name}") from broken
    return Delivery(
        event=event,
        id=_id(headers) or f"{subject}/{stream_sequence}",
        subject=subject,
        key=parse_subject(subject).key,
        stream_sequence=stream_sequence,
        redelivered=redelivered,
        headers=headers,
    )


def enter(deliveries: Sequence[Delivery]) -> None:
    """Make these deliveries the work in hand of this task: what it calls, publishes and logs says so.

    A batch may have several causes, and be of several stories; then none is named here, and a handler that
    knows better says so itself.
    """
    first = deliveries[0].headers
    correlation = look(first, CORRELATION)
    of_one = all(look(each.headers, CORRELATION) == correlation for each in deliveries[1:])
    context.deadline.set(None)
    context.correlation_id.set(correlation if of_one else None)
    context.traceparent.set(look(first, TRACEPARENT))
    context.causation_id.set(deliveries[0].id if len(deliveries) == 1 else None)


def story_of(delivery: Delivery) -> Story:
    """What follows from this one delivery of a batch goes on in this story."""
    headers = delivery.headers
    return Story(headers.get(TRACEPARENT, ""), headers.get(CORRELATION, ""), delivery.id)


_CE_ID_MARK = mark_of(CE_ID)
_MARKS = {name: mark_of(name) for name in (CE_ID, MESSAGE_ID, CORRELATION, TRACEPARENT)}


def _id(headers: Mapping[str, str]) -> str | None:
    if type(headers) is Headers and (found := headers.find(_CE_ID_MARK)):
        return found
    return headers.get(CE_ID) or headers.get(MESSAGE_ID)


def look(headers: Mapping[str, str], name: str) -> str | None:
    """One header, without taking the others apart where they come from the wire."""
    return headers.find(_MARKS[name]) if type(headers) is Headers else headers.get(name)


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
