"""Who serves what and where: a NATS KV bucket with one key an instance, which every process follows.

An instance writes its key every second. Followers hear each write as it happens (a KV write is a message on
`$KV.<bucket>.<key>`) and judge by the beats they heard on their own clock; the bucket's TTL only collects
garbage, because 2.9 tells nobody of an expired key. Plain subscriptions, set up anew for each session of the
link, instead of a KV watch: that one dies silently when the server restarts.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

from nats import errors
from nats.aio.msg import Msg
from nats.js import api
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.link import Link, Session, end
from services.runtime.ports import Clock, Instance
from services.runtime.registry_metrics import RegistryMetrics

BUCKET = "fxmesh_registry"
BEAT_S = 1.0
LEASE_S = 3.0
"""An instance not heard of for this long is gone."""

STEP_S = 0.5
"""Silence is counted in such steps, the one in which the last beat came included."""

_TTL_S = 60.0
_KNOWN = frozenset(each.name for each in fields(Instance))
_DELETED = ("DEL", "PURGE")


@dataclass(slots=True)
class _Heard:
    instance: Instance
    silence_s: float


class NatsRegistry:
    """The Registry of one process, on the bus's link. Works from what it last heard while NATS is away."""

    def __init__(
        self, link: Link, clock: Clock, log: FilteringBoundLogger, metrics: CollectorRegistry | None = None
    ) -> None:
        self.leases_expired = 0
        if metrics is not None:
            metrics.register(RegistryMetrics(self))
        self._link = link
        self._clock = clock
        self._log = log
        self._own: dict[str, bytes] = {}
        self._heard: dict[str, _Heard] = {}
        self._endpoints: dict[str, tuple[str, ...]] = {}
        self._change: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to follow. Does not wait: instances appear as they are heard."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follow(), name="registry-follow"),
                asyncio.create_task(self._beat(), name="registry-beat"),
                asyncio.create_task(self._expire(), name="registry-expire"),
            ]

    def endpoints(self, service: str) -> tuple[str, ...]:
        """The gRPC addresses of the live instances of a service by full gRPC name, oldest instance first."""
        found = self._endpoints.get(service)  # asked for every call, changed once in a while
        if found is None:
            living = (each.grpc_address for each in self.instances() if each.service == service)
            found = self._endpoints[service] = tuple(living)
        return found

    def priority_endpoints(self, service: str) -> tuple[str, ...]:
        """Priority addresses of those of them that have one, in the same order."""
        found = (each.priority_address for each in self.instances() if each.service == service)
        return tuple(filter(None, found))

    def instances(self) -> tuple[Instance, ...]:
        """All live instances, by name, the oldest of each first."""
        living = [heard.instance for heard in self._heard.copy().values()]
        return tuple(sorted(living, key=lambda each: (each.name, each.started_ns, each.id)))

    async def changed(self) -> None:
        """Return when the set of live instances next changes."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._change)

    async def register(self, instance: Instance) -> None:
        """Announce an instance and keep beating for it; the first beat goes out now, or as soon as NATS is
        there.
        """
        self._own[f"{instance.name}.{instance.id}"] = json.dumps(asdict(instance)).encode()
        if (session := self._link.current) is not None:
            await self._write(session)

    async def deregister(self) -> None:
        """Withdraw what was announced: followers drop it at once, or after the lease while NATS is away."""
        own, self._own = tuple(self._own), {}
        session = self._link.current
        if session is not None:
            with suppress(errors.Error, TimeoutError):
                for key in own:
                    await session.client.publish(_subject(key), headers={"KV-Operation": "DEL"})
                await session.client.flush(timeout=2)

    async def close(self) -> None:
        """Stop beating and following."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await end(task)

    async def _beat(self) -> None:
        while True:
            await self._write(await self._link.session())
            await self._clock.sleep(BEAT_S)

    async def _write(self, session: Session) -> None:
        # Not acknowledged: the next beat is a second away, and followers hear it whether it is stored or not.
        with suppress(errors.Error):
            for key, value in self._own.items():
                await session.client.publish(_subject(key), value)

    async def _follow(self) -> None:
        number = 0
        while True:
            session = await self._link.session(after=number)
            try:
                await session.client.subscribe(_subject(">"), cb=self._on_beat)
                await self._load(session)
                await self._write(session)  # a beat from before there was a bucket was heard, but not kept
            except (errors.Error, TimeoutError, FxError) as trouble:
                self._log.warning("registry.cannot_follow", error=str(trouble) or type(trouble).__name__)
                await self._clock.sleep(BEAT_S)
            number = session.number

    async def _load(self, session: Session) -> None:
        """Take in what the bucket holds, so that peers are known before their next beat.

        A key outlives its process by the TTL, so only what was written within a beat and a half of the newest
        counts.
        """
        jetstream = session.jetstream
        await jetstream.create_key_value(
            api.KeyValueConfig(
                bucket=BUCKET,
                history=1,
                ttl=_TTL_S,
                storage=api.StorageType.MEMORY,
                replicas=session.replicas,
            )
        )
        state = (await jetstream.stream_info(f"KV_{BUCKET}", subjects_filter=_subject(">"))).state
        found: list[tuple[float, str, bytes]] = []
        for subject in state.subjects or ():
            with suppress(errors.Error):
                stored = await jetstream.get_last_msg(f"KV_{BUCKET}", subject)
                if stored.data and stored.time is not None:
                    found.append((stored.time.timestamp(), subject, stored.data))
        newest = max((time for time, _, _ in found), default=0.0)
        for time, subject, value in found:
            if time > newest - 1.5 * BEAT_S:
                self._take(subject, value)

    async def _on_beat(self, message: Msg) -> None:
        if message.headers and message.headers.get("KV-Operation") in _DELETED:
            if self._heard.pop(message.subject, None) is not None:
                self._notify()
        else:
            self._take(message.subject, message.data)

    def _take(self, subject: str, value: bytes) -> None:
        try:
            said = json.loads(value)
            instance = Instance(**{name: said[name] for name in said.keys() & _KNOWN})
        except (ValueError, TypeError, AttributeError):
            # A newer version may say more of itself than we know, or less than it takes to call it.
            self._log.warning("registry.unreadable", subject=subject)
            return
        known = self._heard.get(subject)
        self._heard[subject] = _Heard(instance, 0.0)
        if known is None or known.instance != instance:
            self._notify()

    async def _expire(self) -> None:
        """Count silence in steps of our own running time: a process that was frozen, or cut off from NATS,
        must not take that for the silence of all others.
        """
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(STEP_S)
            if self._link.current is None:
                continue
            step_s = min(self._clock.monotonic() - before, 2 * STEP_S)
            for heard in self._heard.values():
                heard.silence_s += step_s
            gone = [subject for subject, heard in self._heard.items() if heard.silence_s > LEASE_S]
            self.leases_expired += len(gone)
            for subject in gone:
                self._log.info("registry.lease_expired", instance=self._heard.pop(subject).instance.name)
            if gone:
                self._notify()

    def _notify(self) -> None:
        self._endpoints.clear()
        if self._change is not None and not self._change.done():
            self._change.set_result(None)


def _subject(key: str) -> str:
    return f"$KV.{BUCKET}.{key}"
