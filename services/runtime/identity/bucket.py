"""The identity bucket in NATS: where keys and revocations are kept, and how a process follows them.

The bucket's last sequence tells whether anything has changed. It is asked for again and again, on whatever
session the link has, so that nothing depends on a message that was lost with a connection; a message about a
change only makes the next question come sooner. While NATS is away the last snapshot goes on to decide.

What is taken back leaves a mark in its place. So a refusal that is gone without one was lost, with the bucket
or out of it: whoever knew it goes on refusing, and says so. Keys that are lost grant nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from nats import errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.link import Link, Session, end
from services.runtime.identity.snapshot import Snapshot, of, snapshot
from services.runtime.ports import Clock

BUCKET = "fxmesh_identity"
STREAM = f"KV_{BUCKET}"
ASK_EVERY_S = 2.0
"""How old a snapshot gets while NATS answers: well below the 5 s within which a revocation must reach all."""
_ANSWERS_S = 1.5
"""A question that was lost with its connection must not keep the next one waiting."""
_SUBJECTS_TAKEN = 10065
"""The server's answer to who would make a bucket that somebody else is making at this moment."""
_MADE_S, _LOOK_EVERY_S = 5.0, 0.05
_AFTER_A_CHANGE_S = (0.05, 0.2, 0.5)
"""A change is heard of when it is sent; it is stored a moment later."""


def subject(name: str) -> str:
    """Where an entry of the bucket is written."""
    return f"$KV.{BUCKET}.{name}"


async def make_bucket(jetstream: JetStreamContext, replicas: int) -> None:
    """Make the bucket where there is none, or wait for whoever is making it. On disk: keys outlive every
    server that holds them. Raises TimeoutError.
    """
    try:
        await jetstream.create_key_value(
            api.KeyValueConfig(bucket=BUCKET, history=1, storage=api.StorageType.FILE, replicas=replicas)
        )
    except BadRequestError as refused:
        if refused.err_code != _SUBJECTS_TAKEN:
            raise
        async with asyncio.timeout(_MADE_S):
            while not await _is_there(jetstream):  # noqa: ASYNC110 another process has no event to wait for
                await asyncio.sleep(_LOOK_EVERY_S)


async def _is_there(jetstream: JetStreamContext) -> bool:
    try:
        await jetstream.stream_info(STREAM)
    except NotFoundError:
        return False
    return True


class IdentityFollower:
    """Hands every new snapshot to `take`. `loaded` is set with the first."""

    def __init__(
        self, link: Link, clock: Clock, take: Callable[[Snapshot], None], log: FilteringBoundLogger
    ) -> None:
        self._link = link
        self._clock = clock
        self._take = take
        self._log = log
        self._known = Snapshot()
        self._version: tuple[object, int, int] | None = None
        self._confirmed_at: float | None = None
        self._heard = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.loaded = asyncio.Event()

    def open(self) -> None:
        """Begin to follow. Does not wait."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(), name="identity-follow")]

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot was last known to be current; None before the first."""
        return None if self._confirmed_at is None else self._clock.monotonic() - self._confirmed_at

    async def close(self) -> None:
        """Stop following."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await end(task)

    async def _follow(self) -> None:
        number = 0
        while True:
            session = await self._link.session(after=number)
            number = session.number
            try:
                await session.client.subscribe(subject(">"), cb=self._on_change)
            except (errors.Error, FxError) as trouble:
                self._tell(trouble)
            while not session.lost.is_set():
                await self._look(session)
                await self._wait(session)

    async def _wait(self, session: Session) -> None:
        """Until it is time to ask again: soon after a change was heard of."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_EVERY_S):
                await self._heard.wait()
        if self._heard.is_set():
            self._heard.clear()
            for pause in _AFTER_A_CHANGE_S:
                await self._look(session)
                await self._clock.sleep(pause)

    async def _look(self, session: Session) -> None:
        try:
            await self._load(session)
        except (errors.Error, TimeoutError, FxError) as trouble:
            self._tell(trouble)

    async def _load(self, session: Session) -> None:
        jetstream = session.client.jetstream(timeout=_ANSWERS_S)
        asked_at = self._clock.monotonic()
        info = await self._find_or_make(session, jetstream)
        version = (info.created, info.state.last_seq, info.state.messages)
        if version != self._version:
            self._see(await entries(jetstream))
            self._version = version
        self._confirmed_at = asked_at
        self.loaded.set()

    async def _find_or_make(self, session: Session, jetstream: JetStreamContext) -> api.StreamInfo:
        known = self._link.known
        info = await known.find(jetstream, STREAM)  # waits where it has just been deleted
        if info is None:
            try:
                info = await jetstream.stream_info(STREAM)
            except NotFoundError:
                await make_bucket(jetstream, session.replicas)
                info = await jetstream.stream_info(STREAM)
        known.see(STREAM)
        return info

    def _see(self, stored: Mapping[str, bytes]) -> None:
        found, unreadable = snapshot(stored)
        for name in unreadable:
            self._log.warning("identity.unreadable_entry", entry=name)
        there = stored.keys() - set(unreadable)
        lost = [each for each in self._known.denials if each.entry not in there]
        if lost:
            self._log.error("identity.revocations_lost", entries=[each.entry for each in lost])
        self._known = of(found.keys, found.denials, lost)
        self._take(self._known)
        self._log.info("identity.snapshot", keys=len(found.keys), revocations=self._known.revocations)

    async def _on_change(self, _: Msg) -> None:
        self._heard.set()

    def _tell(self, trouble: BaseException) -> None:
        self._log.warning("identity.cannot_follow", error=str(trouble) or type(trouble).__name__)


async def entries(jetstream: JetStreamContext) -> dict[str, bytes]:
    """What the bucket holds, by name; without a value what was taken back."""
    state = (await jetstream.stream_info(STREAM, subjects_filter=subject(">"))).state
    found: dict[str, bytes] = {}
    for each in state.subjects or ():
        with suppress(NotFoundError):  # deleted meanwhile
            stored = await jetstream.get_last_msg(STREAM, each)
            deleted = stored.headers and stored.headers.get("KV-Operation") in ("DEL", "PURGE")
            found[each.removeprefix(subject(""))] = b"" if deleted else stored.data or b""
    return found
