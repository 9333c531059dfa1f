"""What each process may do on NATS, worked out of the service options: one user a service, and no list kept
by hand.

A user may publish its own events, speak of the streams it fills or reads and of its own durables there, beat
for itself in the registry, and hear its own inbox. All else is refused by the server, whatever a process has
come to run. Names are those of naming.py and streams.py. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.runtime.bus.credentials import inbox_prefix
from services.runtime.bus.events import event_type_named
from services.runtime.bus.looking import look_of
from services.runtime.bus.naming import (
    ALL_PARTITIONS,
    Stream,
    dead_letter_subject,
    durable,
    order_subject,
    parked_subject,
    subjects_of,
)
from services.runtime.bus.streams import ADVISORIES, DEAD_LETTERS, PARKED
from services.runtime.identity.bucket import BUCKET as IDENTITY_BUCKET
from services.runtime.leadership import BUCKET as LEADERSHIP_BUCKET
from services.runtime.policy import ServicePolicy, cache_events
from services.runtime.registry import BUCKET as REGISTRY_BUCKET

OPERATOR = "operator"
"""The `fxmesh` command, and tools of whoever runs the platform."""
EDGE = "edge_gate"

_API = "$JS.API"
_SERVER_WORDS = "$JS.EVENT.ADVISORY.>"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects one user may publish to and subscribe to; there is nothing else it may do."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def users(services: Iterable[ServicePolicy]) -> Mapping[str, Permissions]:
    """Everybody who connects, by user name: services by their folder's, the edge's gate, the operator."""
    return {
        **{each.name: of_service(each) for each in services},
        EDGE: of_edge(),
        OPERATOR: of_operator(),
    }


def of_service(service: ServicePolicy) -> Permissions:
    """What follows from the option of one service. Raises FatalError for an event without a contract."""
    published = tuple(event_type_named(name) for name in service.publishes)
    fills = _streams(service.publishes)
    reads = _streams(service.consumes)
    alone = bool(service.single_because)
    publish: list[str | tuple[str, ...]] = [
        *(f"{event.name}.{event.stream.retention.value}.*.*" for event in published),
        *(dead_letter_subject(service.name, stream.subjects) for stream in reads),
        *(parked_subject(service.name, stream.subjects) for stream in reads),
        *(_letters(service.name) if reads else ()),
        f"$KV.{REGISTRY_BUCKET}.{service.name}.>",
        *(() if alone else (f"$KV.{LEADERSHIP_BUCKET}.{service.name}", *_bucket(LEADERSHIP_BUCKET))),
        *(_stream(stream.name) for stream in dict.fromkeys((*fills, *reads))),
        *map(_stream, (DEAD_LETTERS, PARKED, ADVISORIES)),
        *map(_bucket, (REGISTRY_BUCKET, IDENTITY_BUCKET)),
        *(_backlogs(stream) for stream in fills),
        *(_durable(stream, service.name, each) for stream in reads for each in ALL_PARTITIONS),
    ]
    subscribe = [
        f"{inbox_prefix(service.name)}.>",
        *(f"$KV.{bucket}.>" for bucket in (REGISTRY_BUCKET, IDENTITY_BUCKET)),
        *map(subjects_of, cache_events(service)),
        *((order_subject(service.name, ">"),) if reads else ()),
        *((_SERVER_WORDS,) if service.scrapes else ()),
    ]
    return Permissions(_flat(publish), tuple(subscribe))


def of_edge() -> Permissions:
    """The gate asks who callers are, and nothing else."""
    return Permissions(_bucket(IDENTITY_BUCKET), (f"{inbox_prefix(EDGE)}.>", f"$KV.{IDENTITY_BUCKET}.>"))


def of_operator() -> Permissions:
    """All of JetStream's management, keys and dead letters; to read whatever is there. No event is published
    by hand: one that goes again does so through the letters.
    """
    return Permissions(
        (f"{_API}.>", "$JS.ACK.>", "$JS.FC.>", f"$KV.{IDENTITY_BUCKET}.>", "dlq.>", "redrive.>"),
        (f"{inbox_prefix(OPERATOR)}.>", "fxmesh.>", "dlq.>", "parked.>", "$KV.>", _SERVER_WORDS),
    )


def _streams(events: Iterable[str]) -> tuple[Stream, ...]:
    return tuple(dict.fromkeys(event_type_named(name).stream for name in events))


def _stream(name: str) -> tuple[str, ...]:
    """Whoever needs a stream makes it, and asks how it is. Nobody changes or deletes one."""
    return (f"{_API}.STREAM.CREATE.{name}", f"{_API}.STREAM.INFO.{name}")


def _bucket(name: str) -> tuple[str, ...]:
    """To find a bucket or make it, and to read it whole."""
    stream = f"KV_{name}"
    return (
        *_stream(stream),
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
    )


def _letters(consumer: str) -> tuple[str, ...]:
    """A consumer looks at its dead letters, what waits behind them and orders about them, and removes what is
    settled.

    These two streams belong to all consumers. It is sent what is its own (`looking.py`); what it removes it
    names by a number, and the server does not look whose that is.
    """
    found: list[str] = []
    for stream, subjects in (
        (DEAD_LETTERS, (dead_letter_subject,)),
        (PARKED, (parked_subject, order_subject)),
    ):
        where = f"{stream}.{look_of(consumer)}"
        found += (f"{_API}.CONSUMER.CREATE.{where}.{subject(consumer, '>')}" for subject in subjects)
        found += (f"{_API}.CONSUMER.{verb}.{where}" for verb in ("MSG.NEXT", "DELETE"))
        found.append(f"{_API}.STREAM.MSG.DELETE.{stream}")
    return tuple(found)


def _backlogs(stream: Stream) -> tuple[str, ...]:
    """A publisher may ask how far those who read it are."""
    return (f"{_API}.CONSUMER.INFO.{stream.name}.*",)


def _durable(stream: Stream, consumer: str, partition: str) -> tuple[str, ...]:
    """All that concerns one durable of one's own.

    Creation is by the subject that names the filter too, which the server compares with the request: so no
    durable reads more than its partition.
    """
    where = f"{stream.name}.{durable(consumer, partition)}"
    return (
        f"{_API}.CONSUMER.CREATE.{where}.{stream.filter(partition)}",
        *(f"{_API}.CONSUMER.{verb}.{where}" for verb in ("INFO", "MSG.NEXT", "DELETE")),
        f"$JS.ACK.{where}.>",
        f"$JS.ACK.*.*.{where}.>",  # with domain and account in front, as servers from 2.12 on may have it
    )


def _flat(subjects: Iterable[str | tuple[str, ...]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for each in subjects:
        found.update(dict.fromkeys((each,) if isinstance(each, str) else each))
    return tuple(found)
