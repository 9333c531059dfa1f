"""Timestamps of messages ↔ nanoseconds since 1970 UTC."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_SECOND_NS = 1_000_000_000
_EARLIEST_S, _LATEST_S = -2_208_988_800, 7_258_118_400
"""1900 and 2200: nanoseconds of any time between them, a timeframe more or less, fit the 64 bits of a column.
"""


def flaw(value: Timestamp) -> str | None:
    """What keeps a caller's time from being one that services take, in words; None for a good one."""
    if not 0 <= value.nanos < _SECOND_NS:
        return "must be a time: nanos from 0 to 999999999"
    if not _EARLIEST_S <= value.seconds < _LATEST_S:
        return "must be a time from 1900 to 2199"
    return None


def moment(time_ns: int) -> Timestamp:
    """Any time, 1970 included."""
    return Timestamp(seconds=time_ns // _SECOND_NS, nanos=time_ns % _SECOND_NS)


def timestamp(time_ns: int | None) -> Timestamp | None:
    """None and 0, which say "not yet", stay absent."""
    return moment(time_ns) if time_ns else None


def nanoseconds(value: Timestamp) -> int:
    """The inverse; 0 for an absent one. Unlike `ToNanoseconds` it never raises for what a caller sent."""
    return value.seconds * _SECOND_NS + value.nanos


def time_ns(message: Message, field: str) -> int | None:
    """A timestamp field, None when absent."""
    return nanoseconds(getattr(message, field)) if message.HasField(field) else None
