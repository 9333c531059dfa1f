"""Streams and durables on the server: made from the policies, read back, and compared.

nats-server 2.9 ignores fields it does not know, silently, so only fields that 2.9 and 2.12 share are used and
what the server says it has made is compared with what was asked for. Publishers and consumers alike make the
streams they need, so services may start in any order; one that was deleted they make again, but not at once
(`known.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from services.runtime.bus.known import KnownStreams
from services.runtime.bus.naming import Retention, Stream, durable
from services.runtime.fatal import FatalError

MIB = 1024 * 1024
DAY_S = 86_400.0

ACK_WAIT_S = 30.0
MAX_ACK_PENDING = 1000

DEAD_LETTERS = "DLQ"
PARKED = "PARKED"
ADVISORIES = "ADVISORY"

_NAME_IN_USE = 10058
_NO_CLUSTER = 10074  # a lone server is asked for replicas
_NO_ROOM = (10023, 10028, 10047)  # insufficient resources, memory and storage


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a stream keeps. `duplicate_window_s` is how long a repeated event is recognised by its id."""

    max_bytes: int
    max_age_s: float
    discard: api.DiscardPolicy
    duplicate_window_s: float


BOUNDS: Mapping[Retention, Bounds] = {
    # Some 60 million ticks; a file can be replayed again.
    Retention.MARKET: Bounds(1024 * MIB, DAY_S, api.DiscardPolicy.OLD, 120),
    Retention.DECISION: Bounds(256 * MIB, 7 * DAY_S, api.DiscardPolicy.OLD, 600),
    # Full means refuse: an order nobody hears of is worse than one that cannot be placed. The window covers
    # an outbox that could not see its acknowledgements for an hour.
    Retention.MONEY: Bounds(512 * MIB, 30 * DAY_S, api.DiscardPolicy.NEW, 3600),
    Retention.OPERATIONS: Bounds(128 * MIB, 7 * DAY_S, api.DiscardPolicy.OLD, 600),
}
_DEAD_LETTER_BOUNDS = Bounds(256 * MIB, 30 * DAY_S, api.DiscardPolicy.NEW, 3600)
# Kept until somebody redrives or drops the letter they wait behind.
_PARKED_BOUNDS = Bounds(512 * MIB, 0.0, api.DiscardPolicy.NEW, 3600)
_ADVISORY_BOUNDS = Bounds(16 * MIB, 7 * DAY_S, api.DiscardPolicy.OLD, 120)


async def ensure_stream(
    jetstream: JetStreamContext, stream: Stream, replicas: int = 1, known: KnownStreams | None = None
) -> api.StreamInfo:
    """Make the stream of an area and class unless it is there, kept by `replicas` servers. `known`: those
    that the process has seen before; one of them that is missing is waited for. Raises FatalError when it is
    there but different.
    """
    return await _ensure(jetstream, stream.name, [stream.subjects], BOUNDS[stream.retention], replicas, known)


async def ensure_dead_letters(
    jetstream: JetStreamContext, replicas: int = 1, known: KnownStreams | None = None
) -> None:
    """Make the streams of dead letters, of what waits behind them, and of the server's word on terminated
    messages, in the same way. Raises FatalError.
    """
    advisory = "$JS.EVENT.ADVISORY.CONSUMER"
    advisories = [f"{advisory}.MAX_DELIVERIES.>", f"{advisory}.MSG_TERMINATED.>"]
    for name, subjects, bounds in (
        (DEAD_LETTERS, ["dlq.>"], _DEAD_LETTER_BOUNDS),
        (PARKED, ["parked.>", "redrive.>"], _PARKED_BOUNDS),
        (ADVISORIES, advisories, _ADVISORY_BOUNDS),
    ):
        await _ensure(jetstream, name, subjects, bounds, replicas, known)


async def _ensure(
    jetstream: JetStreamContext,
    name: str,
    subjects: list[str],
    bounds: Bounds,
    replicas: int,
    known: KnownStreams | None,
) -> api.StreamInfo:
    wanted = api.StreamConfig(
        name=name,
        subjects=subjects,
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        max_bytes=bounds.max_bytes,
        max_age=bounds.max_age_s,
        max_msgs=-1,
        discard=bounds.discard,
        duplicate_window=bounds.duplicate_window_s,
        num_replicas=replicas,
    )
    info = None if known is None else await known.find(jetstream, name)
    if info is None:
        info = await _add(jetstream, wanted, bounds)
    if known is not None:
        known.see(name)
    _compare(f"stream {name}", _stream_facts(wanted), _stream_facts(info.config))
    if (info.config.num_replicas or 1) < replicas:  # more is the operator's choice
        _compare(f"stream {name}", {"num_replicas": replicas}, {"num_replicas": info.config.num_replicas})
    return info


async def _add(jetstream: JetStreamContext, wanted: api.StreamConfig, bounds: Bounds) -> api.StreamInfo:
    name = str(wanted.name)
    try:
        return await jetstream.add_stream(wanted)
    except APIError as refused:
        if refused.err_code in _NO_ROOM:
            raise FatalError(
                f"NATS has no room for stream {name} of {bounds.max_bytes // MIB} MiB "
                f"({refused.description}): give its JetStream store more space"
            ) from refused
        if refused.err_code == _NO_CLUSTER:
            raise FatalError(
                f"NATS is one server and cannot keep stream {name} on {wanted.num_replicas} "
                f"({refused.description}): set FXMESH_STREAM_REPLICAS to 1 or give it a cluster"
            ) from refused
        if refused.err_code != _NAME_IN_USE:
            raise
        # Somebody made it with other settings. Settings not compared (placement) are the operator's.
        return await jetstream.stream_info(name)


def durable_config(stream: Stream, consumer: str, partition: str, ack_wait_s: float) -> api.ConsumerConfig:
    """How a consumer service reads one partition of a stream: everything from the beginning, acknowledged
    singly.
    """
    name = durable(consumer, partition)
    return api.ConsumerConfig(
        name=name,  # so that the request's subject names durable and filter, which a user's permissions need
        durable_name=name,
        filter_subject=stream.filter(partition),
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ack_wait_s,
        max_ack_pending=MAX_ACK_PENDING,
        max_deliver=-1,  # the consumer itself gives up, with a dead letter; the server would only go silent
    )


async def ensure_durable(
    jetstream: JetStreamContext, stream: Stream, consumer: str, partition: str, ack_wait_s: float = ACK_WAIT_S
) -> api.ConsumerInfo:
    """Make or find the durable of a consumer and partition. Raises FatalError when it is different."""
    wanted = durable_config(stream, consumer, partition, ack_wait_s)
    what = f"consumer {wanted.durable_name} of stream {stream.name}"
    info: api.ConsumerInfo
    try:
        info = await jetstream.consumer_info(stream.name, durable(consumer, partition))
    except NotFoundError:
        info = await jetstream.add_consumer(stream.name, wanted)
    # Compared before anything is sent: the server would change a filter without a word, and skip what it left
    # out.
    _compare(what, _durable_facts(wanted), _durable_facts(info.config))
    if info.config.ack_wait != ack_wait_s:
        # Left over by a process that died inside redeliver_now, or asked for by it.
        await jetstream.add_consumer(stream.name, wanted)
        # Asked again: the answer to an update may be what the server found when it started.
        info = await jetstream.consumer_info(stream.name, durable(consumer, partition))
        _compare(what, {"ack_wait": ack_wait_s}, {"ack_wait": info.config.ack_wait})
    return info


async def redeliver_now(
    jetstream: JetStreamContext, stream: Stream, consumer: str, partition: str, pause_s: float
) -> None:
    """Make the server deliver what an earlier process left unacknowledged first, in order, at the next
    request.

    It would come after `ack_wait` only, behind later events of the same keys. Shortening `ack_wait` makes the
    server look at once (100 ms later in 2.9 and 2.12: `pause_s` must be longer), and what it then finds
    overdue goes ahead of everything new.
    """
    try:
        await ensure_durable(jetstream, stream, consumer, partition, ack_wait_s=0.001)
        await asyncio.sleep(pause_s)
    finally:
        await ensure_durable(jetstream, stream, consumer, partition)


async def replace_if_ahead(
    jetstream: JetStreamContext, stream: Stream, consumer: str, partition: str, info: api.ConsumerInfo
) -> api.ConsumerInfo | None:
    """Start a durable anew that says it has seen more than the stream holds; None when it is sound.

    That is what a crashed machine can leave behind, 2.9 never syncing per message: such a durable would skip
    new events. All that the stream holds is delivered again, which effects bound to ids survive.
    """
    reached = max(each.stream_seq for each in (info.ack_floor, info.delivered) if each is not None)
    if reached <= (await jetstream.stream_info(stream.name)).state.last_seq:
        return None
    await jetstream.delete_consumer(stream.name, info.name)
    return await ensure_durable(jetstream, stream, consumer, partition)


async def backlog(jetstream: JetStreamContext, stream: Stream, consumer: str, partition: str) -> int | None:
    """Events of one partition that a consumer has not acknowledged; None where it has no durable yet."""
    try:
        info = await jetstream.consumer_info(stream.name, durable(consumer, partition))
    except NotFoundError:
        return None
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


def _stream_facts(config: api.StreamConfig) -> dict[str, object]:
    return {
        "subjects": sorted(config.subjects or ()),
        "retention": _text(config.retention),
        "storage": _text(config.storage),
        "max_bytes": config.max_bytes,
        "max_age": config.max_age,
        "max_msgs": config.max_msgs,
        "max_msgs_per_subject": config.max_msgs_per_subject,
        "discard": _text(config.discard),
        "duplicate_window": config.duplicate_window,
        "no_ack": bool(config.no_ack),
        "sealed": bool(config.sealed),
    }


def _durable_facts(config: api.ConsumerConfig) -> dict[str, object]:
    return {
        "filter_subject": config.filter_subject,
        "filter_subjects": config.filter_subjects,
        "deliver_subject": config.deliver_subject,
        "deliver_policy": _text(config.deliver_policy),
        "ack_policy": _text(config.ack_policy),
        "max_ack_pending": config.max_ack_pending,
        "max_deliver": config.max_deliver,
    }


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _compare(what: str, wanted: Mapping[str, object], found: Mapping[str, object]) -> None:
    differences = [
        f"{name} is {found[name]!r}, not {value!r}" for name, value in wanted.items() if found[name] != value
    ]
    if differences:
        raise FatalError(
            f"NATS has {what} configured otherwise than this version of fxmesh needs: "
            f"{'; '.join(differences)}. Change it on the server, or delete it there if it is not needed"
        )
