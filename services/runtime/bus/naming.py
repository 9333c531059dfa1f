"""Names on the bus: partitions, subjects, streams and durables. Pure, and the same for ever once events are
stored.

Subject: `<event full name>.<class>.<partition>.<key>`, e.g. `fxmesh.trading.v1.OrderPlaced.money.02.demo`.
The class token is there because nats-server 2.9 accepts a consumer's filter only inside one subject of the
stream, and the streams of an area must not overlap: without it "partition 02 of all money events of trading"
cannot be said, neither as a stream's subject nor as a filter. With it a new event, or a v2 package, changes
no stream and no durable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from zlib import crc32

PARTITIONS = 16
"""Fixed for ever: another number would send the keys of stored events to other consumers."""
ALL_PARTITIONS = tuple(f"{number:02d}" for number in range(PARTITIONS))

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch


class Retention(Enum):
    """Retention classes of fxmesh.policy.v1 by their subject token."""

    MARKET = "market"
    DECISION = "decision"
    MONEY = "money"
    OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream of one area and retention class."""

    area: str
    retention: Retention

    @property
    def name(self) -> str:
        """`TRADING_MONEY`."""
        return f"{self.area}_{self.retention.value}".upper()

    @property
    def subjects(self) -> str:
        """What the stream stores: every event of its class in every version of the area's package."""
        return f"fxmesh.{self.area}.*.*.{self.retention.value}.>"

    def filter(self, partition: str) -> str:
        """The subjects of one partition, as a consumer asks for them."""
        return f"fxmesh.{self.area}.*.*.{self.retention.value}.{partition}.>"


@dataclass(frozen=True, slots=True)
class Subject:
    """The parts of a subject. `event` is the full message name."""

    event: str
    retention: str
    partition: str
    key: str

    @property
    def stream(self) -> Stream:
        """The stream that holds it. Raises ValueError for what is no event of the platform."""
        package = self.event.split(".")
        if len(package) != 4 or package[0] != "fxmesh":
            raise ValueError(f"{self.event!r} is no event of the platform")
        return Stream(package[1], Retention(self.retention))

    @property
    def of_key(self) -> str:
        """Every event of the same stream and key."""
        return f"fxmesh.{self.stream.area}.*.*.{self.retention}.{self.partition}.{self.key}"


def is_key(text: str) -> bool:
    """True when `text` may be the key of an event: `[A-Za-z0-9_-]{1,64}`, so it is one subject token."""
    return _KEY(text) is not None


@lru_cache(maxsize=65_536)
def partition(key: str) -> str:
    """CRC-32 of the UTF-8 key modulo 16, two digits. Raises ValueError for what is no key."""
    if not is_key(key):
        raise ValueError(f"not a key ([A-Za-z0-9_-], 1 to 64 of them): {key!r}")
    return ALL_PARTITIONS[crc32(key.encode()) % PARTITIONS]


def subject(event: str, retention: Retention, key: str) -> str:
    """The subject of an event by full message name. Raises ValueError for what is no key."""
    return f"{event}.{retention.value}.{partition(key)}.{key}"


def subjects_of(event: str) -> str:
    """Every subject of an event by full message name, whatever its key."""
    return f"{event}.>"


@lru_cache(maxsize=65_536)
def parse_subject(text: str) -> Subject:
    """The inverse of `subject`. Raises ValueError for a subject with fewer parts."""
    parts = text.rsplit(".", 3)
    if len(parts) != 4:
        raise ValueError(f"not the subject of an event: {text!r}")
    return Subject(*parts)


def durable(consumer: str, partition: str) -> str:
    """The durable of one consumer service and partition; unique within a stream."""
    return f"{consumer}_{partition}"


@lru_cache(maxsize=65_536)
def order_of(text: str) -> str:
    """What events of this subject are in order with: the stream and key, `TRADING_MONEY/demo`."""
    parsed = parse_subject(text)
    return f"{parsed.stream.name}/{parsed.key}"


def dead_letter_subject(consumer: str, original: str) -> str:
    """Where a dead letter goes: by the consumer that could not handle it, then as it was."""
    return f"dlq.{consumer}.{original}"


def dead_letter_id(consumer: str, event_id: str) -> str:
    """Dedupe id of a dead letter. With the bare event id a second consumer's letter would count as a
    duplicate.
    """
    return f"{consumer}/{event_id}"


def parked_subject(consumer: str, original: str) -> str:
    """Where an event waits behind a dead letter of its key."""
    return f"parked.{consumer}.{original}"


def order_subject(consumer: str, original: str) -> str:
    """Where people tell a consumer what to do about the dead letter of a key."""
    return f"redrive.{consumer}.{original}"
