"""Dead letters and parked events as messages: stored whole, with enough to hand them to their consumer again.

A dead letter is an event that a consumer could not handle; a parked one waits behind the dead letter of its
key. Both keep payload and headers to the byte, so that a redrive is what the first delivery was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nats.js import api

from services.runtime.bus.envelope import CE_ID, MESSAGE_ID, Envelope
from services.runtime.bus.naming import (
    dead_letter_id,
    dead_letter_subject,
    order_of,
    parked_subject,
    parse_subject,
)

ORIGINAL_PREFIX = "x-original-"
CONSUMER = "x-consumer"
ORIGINAL_SUBJECT = "x-original-subject"
STREAM = "x-original-stream"
SEQUENCE = "x-original-stream-sequence"
REASON = "x-reason"
ATTEMPTS = "x-attempts"
PARKS = "x-parks-key"
REDRIVES = "x-redrives"

_OWN = frozenset({ORIGINAL_SUBJECT, STREAM, SEQUENCE})


@dataclass(frozen=True, slots=True)
class Original:
    """An event as a consumer got it."""

    stream: str
    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @property
    def id(self) -> str:
        """The event's own id; by place for a message that came without."""
        return self.headers.get(CE_ID) or self.headers.get(MESSAGE_ID) or f"{self.stream}/{self.sequence}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of the streams DLQ or PARKED. `number` is its sequence there; a parked one has no reason."""

    stream: str
    number: int
    consumer: str
    original: Original
    stored: datetime | None
    reason: str = ""
    attempts: int = 0
    redrives: int = 0
    parks_key: bool = False
    """Later events of the key are parked until this letter is gone."""

    @property
    def order(self) -> str:
        """Stream and key whose events stay in order."""
        return order_of(self.original.subject)


def dead_letter(
    consumer: str, original: Original, reason: str, attempts: int, *, parks_key: bool, redrives: int = 0
) -> Envelope:
    """The letter for one event. Stored once however often the same consumer gives the same event up; a
    redrive that fails makes another.
    """
    again = f"#{redrives}" if redrives else ""
    told = {
        # A header is one line of text; reasons quote what came from outside.
        REASON: reason.encode("ascii", "backslashreplace").decode(),
        ATTEMPTS: str(attempts),
        PARKS: "yes" if parks_key else "no",
        REDRIVES: str(redrives),
    }
    return _kept(dead_letter_subject(consumer, original.subject), consumer, original, told, again)


def parked_event(consumer: str, original: Original) -> Envelope:
    """The same for an event that waits behind a letter."""
    return _kept(parked_subject(consumer, original.subject), consumer, original, {}, "")


def read(stream: str, message: api.RawStreamMsg) -> Kept:
    """What was stored in that stream. Raises KeyError or ValueError for a message of another make."""
    headers: Mapping[str, str] = message.headers or {}
    return Kept(
        stream=stream,
        number=int(message.seq or 0),
        consumer=headers[CONSUMER],
        original=Original(
            headers[STREAM],
            int(headers[SEQUENCE]),
            headers[ORIGINAL_SUBJECT],
            {
                name.removeprefix(ORIGINAL_PREFIX): value
                for name, value in headers.items()
                if name.startswith(ORIGINAL_PREFIX) and name not in _OWN
            },
            message.data or b"",
        ),
        stored=message.time,
        reason=headers.get(REASON, ""),
        attempts=int(headers.get(ATTEMPTS, "0")),
        redrives=int(headers.get(REDRIVES, "0")),
        parks_key=headers.get(PARKS) == "yes",
    )


def _kept(subject: str, consumer: str, original: Original, told: Mapping[str, str], again: str) -> Envelope:
    headers = {f"{ORIGINAL_PREFIX}{name}": value for name, value in original.headers.items()}
    headers |= {
        MESSAGE_ID: dead_letter_id(consumer, original.id) + again,
        CONSUMER: consumer,
        ORIGINAL_SUBJECT: original.subject,
        STREAM: original.stream,
        SEQUENCE: str(original.sequence),
        **told,
    }
    key = parse_subject(original.subject).key
    return Envelope(subject, headers, original.payload, headers[MESSAGE_ID], key, stream=None)
