"""Which instance of a service does what only one may do: a lease in a NATS KV bucket, one key a service.

The leader renews its lease every second. The others look at the key four times a second and count, on their
own monotonic clock, how long they have seen it unchanged; after 3 s one of them takes the lease by writing on
the revision it has seen, which succeeds for one alone. Wall clocks and expiry of keys play no part. A leader
that could not renew for 2.5 s holds nothing any more and must not act, half a second before anyone else may.
When it reaches NATS again and its own revision is still the last one, nobody led in between: it goes on.

Looked at instead of watched: followers of a subject also hear writes that NATS refuses, such as the beats of
a leader that was replaced.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass

from nats import errors
from nats.js import api
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.link import Link, Session, end
from services.runtime.held_lease import HeldLease
from services.runtime.leadership_metrics import LeadershipMetrics
from services.runtime.ports import Candidate, Clock

BUCKET = "fxmesh_leadership"
BEAT_S = 1.0
HOLD_S = 2.5
"""How long after its last renewal a leader may act."""
LEASE_S = 3.0
"""A leader not seen to renew for so long is replaced."""
LOOK_S = 0.25

_ANSWER_S = 1.0
"""NATS answers sooner, or the attempt counts as failed."""


@dataclass(frozen=True, slots=True)
class _Lease:
    """The key as it was read. `instance` empty: given back."""

    revision: int
    holder: str
    instance: str
    address: str


class NatsLeadership(HeldLease):
    """The Leadership of one process, on the bus's link."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        log: FilteringBoundLogger,
        candidate: Candidate,
        metrics: CollectorRegistry,
    ) -> None:
        super().__init__(clock)
        self._link = link
        self._log = log
        self._me = candidate
        self._metrics = metrics
        self._value = _encoded(candidate.holder, candidate.instance, candidate.address)
        self._bucket: tuple[int, KeyValue] | None = None
        self._task: asyncio.Task[None] | None = None
        self._terms = 0
        self._revision = 0
        """Of the last write that is known: our own while leading, the leader's while following."""
        self._silence_s = 0.0
        self._looked: float | None = None

    async def campaign(self) -> None:
        """Lead from now on whenever nobody else does. Returns after the first attempt."""
        if self._task is None:
            LeadershipMetrics(self._metrics, self._me.role, self)
            await self._attempt()
            self._task = asyncio.create_task(self._run(), name="leadership")

    async def close(self) -> None:
        """Give the lease back, so that another instance leads within a moment."""
        if self._task is None:
            return
        await end(self._task)
        session = self._link.current
        if self._term and session is not None:
            with suppress(errors.Error, TimeoutError, FxError):
                bucket = await self._open(session)
                await bucket.update(self._me.role, _encoded(self._me.holder, "", ""), last=self._revision)
        self._set(term=0, leader="")

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S if self.held and self._renewed else LOOK_S)
            await self._attempt()

    @property
    def _renewed(self) -> bool:
        """The last renewal went well: the next one is due a beat later, else at once."""
        return self._until - HOLD_S + BEAT_S > self._clock.monotonic()

    async def _attempt(self) -> None:
        session = self._link.current
        try:
            if session is None:
                self._looked = None
                return
            bucket = await self._open(session)
            await (self._renew(bucket) if self._term else self._look(bucket))
        except (errors.Error, TimeoutError, OSError, FxError) as failure:
            # What could not be asked is no silence of the leader's. The bucket may have gone: made anew.
            self._looked, self._silence_s, self._bucket = None, 0.0, None
            self._log.debug("leadership.not_asked", error=str(failure) or type(failure).__name__)

    async def _open(self, session: Session) -> KeyValue:
        """The bucket on this session. On disk: a lease must survive a restart of NATS, or two would lead."""
        if self._bucket is None or self._bucket[0] != session.number:
            jetstream = session.client.jetstream(timeout=_ANSWER_S)
            config = api.KeyValueConfig(
                bucket=BUCKET, history=1, storage=api.StorageType.FILE, replicas=session.replicas
            )
            await self._link.known.find(jetstream, f"KV_{BUCKET}")  # not made again while it is being deleted
            self._bucket = session.number, await jetstream.create_key_value(config)
            self._link.known.see(f"KV_{BUCKET}")
        return self._bucket[1]

    async def _renew(self, bucket: KeyValue) -> None:
        sent = self._clock.monotonic()
        try:
            self._revision = await bucket.update(self._me.role, self._value, last=self._revision)
            self._until = sent + HOLD_S
        except KeyWrongLastSequenceError:
            lease = await self._read(bucket)
            if lease is not None and lease.instance == self._me.instance:
                self._revision = lease.revision  # our own, whose acknowledgement was lost
            elif lease is None:
                self._revision = 0  # the bucket was lost with NATS's store: ours to write again
            else:
                self._log.warning("leadership.lost", role=self._me.role, to=lease.address)
                self._heard(lease)

    async def _look(self, bucket: KeyValue) -> None:
        lease = await self._read(bucket)
        if lease is None or not lease.instance or lease.holder == self._me.holder:
            await self._take(bucket, lease)
        elif lease.revision != self._revision:
            self._heard(lease)
        elif self._silent_for() > LEASE_S:
            self._log.warning("leadership.lease_expired", role=self._me.role, of=lease.address)
            await self._take(bucket, lease)

    def _silent_for(self) -> float:
        """Seconds in which the leader was seen not to renew. Counted in steps of our own running time: a
        process that was frozen must not take that for the silence of the other.
        """
        now = self._clock.monotonic()
        if self._looked is not None:
            self._silence_s += min(now - self._looked, 2 * LOOK_S)
        self._looked = now
        return self._silence_s

    def _heard(self, lease: _Lease) -> None:
        self._revision, self._silence_s, self._looked = lease.revision, 0.0, self._clock.monotonic()
        self._set(term=0, leader=lease.address)

    async def _take(self, bucket: KeyValue, lease: _Lease | None) -> None:
        sent = self._clock.monotonic()
        try:
            last = 0 if lease is None else lease.revision
            revision = await bucket.update(self._me.role, self._value, last=last)
        except KeyWrongLastSequenceError:
            return  # another one was quicker: seen at the next look
        self._revision, self._until = revision, sent + HOLD_S
        self._terms += 1
        self._log.info("leadership.taken", role=self._me.role, term=self._terms)
        self._set(term=self._terms, leader="")

    async def _read(self, bucket: KeyValue) -> _Lease | None:
        try:
            entry = await bucket.get(self._me.role)
        except KeyNotFoundError:
            return None
        return _decoded(entry.value or b"", entry.revision or 0)


def _decoded(value: bytes, revision: int) -> _Lease:
    try:
        said = json.loads(value)
        return _Lease(revision, str(said["holder"]), str(said["instance"]), str(said["address"]))
    except (ValueError, TypeError, KeyError):
        # Of a version that says it otherwise: a leader all the same, to be replaced only when it is silent.
        return _Lease(revision, "unknown", "unknown", "")


def _encoded(holder: str, instance: str, address: str) -> bytes:
    return json.dumps({"holder": holder, "instance": instance, "address": address}).encode()
