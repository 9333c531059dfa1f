"""A dead letter as plain data: what it is, why, and its payload decoded as far as this version knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.runtime.bus.dead_letters import Kept
from services.runtime.bus.events import message_class
from services.runtime.bus.naming import parse_subject
from services.runtime.fatal import FatalError


def plain_letter(letter: Kept) -> dict[str, Any]:
    """Everything but headers and payload."""
    of = parse_subject(letter.original.subject)
    return {
        "id": letter.number,
        "consumer": letter.consumer,
        "event": of.event,
        "key": of.key,
        "eventId": letter.original.id,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "parksKey": letter.parks_key,
        "stored": letter.stored.isoformat() if letter.stored else "",
        "subject": letter.original.subject,
        "stream": letter.original.stream,
        "streamSequence": letter.original.sequence,
    }


def content(letter: Kept) -> tuple[dict[str, Any] | None, list[dict[str, str]], str]:
    """The payload as protobuf JSON, the fields in it that are not known, and why it cannot be read."""
    event = parse_subject(letter.original.subject).event
    try:
        message = message_class(event).FromString(letter.original.payload)
    except (DecodeError, FatalError):
        size = len(letter.original.payload)
        return None, [], f"Its {size} bytes are no {event}: {letter.original.payload[:64].hex(' ')}"
    return MessageToDict(message), list(_unknown(message, "")), ""


def _unknown(message: Message, path: str) -> Iterator[dict[str, str]]:
    fields = UnknownFieldSet(message)
    for field in (fields[place] for place in range(len(fields))):
        shown = field.data.hex(" ") if isinstance(field.data, bytes) else str(field.data)
        yield {"path": f"{path}{field.field_number}", "bytes": shown[:200]}
    for known, value in message.ListFields():
        if known.message_type is None or known.message_type.GetOptions().map_entry:
            continue
        parts = value if known.is_repeated else [value]
        for place, part in enumerate(parts):
            index = f"[{place}]" if known.is_repeated else ""
            yield from _unknown(part, f"{path}{known.name}{index}.")
