"""Replays of uploaded tick files: started, watched and steered here; `replay_run` does the reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.errors import FxError, Kind, invalid_field
from services.market_data.domain.replays import Pace, Replay
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.handlers.feed import Feed
from services.market_data.handlers.replay_run import ReplayRun
from services.market_data.ports import Clock, Reading, SessionRecord, SessionRecords, TickFiles
from services.requests import derived_id, reused

DEFAULT_BATCH = 100
PROGRESS_S = 0.25
KEPT_SESSIONS = 4
"""Ended replays whose ticks stream readers may still resume from."""


@dataclass(frozen=True, slots=True)
class StartReplay:
    """What to replay and how. Empty texts and zeros: the default."""

    request_id: str
    file_id: str
    symbol: str
    format: str
    pace: Pace
    speed: float
    strict: bool
    batch_size: int
    session_id: str
    file_name: str


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """`backlog`: tick batches a required consumer may lag behind an unpaced replay; `patience_s`: how long
    any replay waits for a consumer that gets nothing done.
    """

    backlog: int
    patience_s: float


class Replays:
    """All replays since the service started, and the last ones before."""

    def __init__(
        self,
        feed: Feed,
        files: TickFiles,
        records: SessionRecords,
        clock: Clock,
        limits: ReplayLimits,
    ) -> None:
        self._feed = feed
        self._files = files
        self._records = records
        self._clock = clock
        self._limits = limits
        self._runs: dict[str, ReplayRun] = {}
        self._past: dict[str, Replay] = {}
        self._requests: dict[str, tuple[StartReplay, str]] = {}
        self._controls: dict[str, tuple[object, ...]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, request: StartReplay) -> Replay:
        """Begin. FxError INVALID_ARGUMENT with the file's fault; FAILED_PRECONDITION `REPLAY_ACTIVE`."""
        known = self._requests.get(request.request_id)
        if known is not None:
            if known[0] != request:
                raise reused(request.request_id)
            return self._known(known[1])
        if request.speed and request.pace is not Pace.PACED:
            raise invalid_field("VALIDATION_FAILED", "speed", "goes with pace PACED only")
        batch_size = request.batch_size or DEFAULT_BATCH
        reading = self._files.open(
            request.file_id,
            request.format,
            request.symbol,
            strict=request.strict,
            block=max(20 * batch_size, 500),
        )
        try:
            replay = self._replay(request, reading, batch_size)
            # Of a process before this one, or of the instance that led before: not played again.
            before = None if request.session_id else self._past.get(replay.replay_id)
            if before is None:
                self._begin_session(replay)
        except BaseException:
            reading.close()
            raise
        if before is not None:
            reading.close()
            if not before.asked_alike(replay):
                raise reused(request.request_id)
            return before
        run = ReplayRun(
            replay,
            reading,
            self._feed,
            self._records,
            self._clock,
            self._limits.backlog,
            self._limits.patience_s,
        )
        self._runs[replay.replay_id] = run
        self._requests[request.request_id] = (request, replay.replay_id)
        task = asyncio.create_task(run.run(), name=f"replay {replay.replay_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return replay

    def _replay(self, request: StartReplay, reading: Reading, batch_size: int) -> Replay:
        return Replay(
            replay_id=request.session_id or f"{reading.symbol.lower()}-{derived_id(request.request_id)}",
            file_id=request.file_id,
            file_name=request.file_name or request.file_id[:12],
            format=reading.format,
            symbol=reading.symbol,
            pace=request.pace,
            speed=request.speed or 1.0,
            batch_size=batch_size,
            strict=request.strict,
            started_ns=self._clock.now_ns(),
            bytes_total=reading.bytes_total,
        )

    def _begin_session(self, replay: Replay) -> None:
        session_id, symbol = replay.replay_id, replay.symbol
        active = self._feed.sessions.feeding(symbol)
        speed = replay.speed if replay.pace is Pace.PACED else 0.0
        session = FeedSession(
            session_id,
            FeedKind.REPLAY,
            (symbol,),
            replay.started_ns,
            speed,
            always_open=False,
            replay=replay,
        )
        if active is not None and active.kind is FeedKind.REPLAY:
            self._feed.sessions.begin(session)  # raises REPLAY_ACTIVE before the id is spent
        if not self._records.claim(SessionRecord(session, replay)):
            raise FxError(
                Kind.ALREADY_EXISTS,
                "REQUEST_ID_REUSED",
                f"session {session_id} was used before; choose another id",
            )
        ended = [
            each for each in self._feed.sessions.all() if each.kind is FeedKind.REPLAY and not each.active
        ]
        for old in ended[KEPT_SESSIONS:]:
            self._feed.history.forget(old.session_id)
        self._feed.begin(session)

    async def get(self, replay_id: str) -> Replay:
        """FxError NOT_FOUND `UNKNOWN_REPLAY`."""
        return self._known(replay_id)

    def _known(self, replay_id: str) -> Replay:
        run = self._runs.get(replay_id)
        replay = self._past.get(replay_id) if run is None else run.replay
        if replay is None:
            raise FxError(
                Kind.NOT_FOUND, "UNKNOWN_REPLAY", f"no replay {replay_id} since this service started"
            )
        return replay

    def remember(self, replay: Replay) -> None:
        """One of a former process or of the instance that leads, unless more is known of it already."""
        self._past.setdefault(replay.replay_id, replay)

    def mirror(self, replays: Sequence[Replay]) -> None:
        """What the leader lists, newest first, over what was known of it."""
        listed = {each.replay_id: each for each in reversed(replays)}
        self._past = {key: each for key, each in self._past.items() if key not in listed} | listed

    def reserve(self, sessions: Sequence[FeedSession]) -> None:
        """Ids that the leader has used are used here too."""
        for each in sessions:
            self._records.reserve(each.session_id)

    def take_over(self) -> None:
        """Those that a leader which is gone was playing are over."""
        for replay in self._past.values():
            if not replay.ended:
                replay.interrupted(self._clock.now_ns())

    async def let_go(self) -> None:
        """Another instance leads, and has ended what runs here."""
        cut = [run for run in self._runs.values() if not run.replay.ended]
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        for run in cut:
            run.interrupted()
        self._past |= {key: run.replay for key, run in self._runs.items()}
        self._runs.clear()

    async def list(self) -> list[Replay]:
        """Newest first."""
        return [*(run.replay for run in reversed(self._runs.values())), *reversed(self._past.values())]

    async def stream(self, replay_id: str) -> AsyncIterator[Replay]:
        """Progress until the end, the end included."""
        replay = self._known(replay_id)
        while not replay.ended:
            yield replay
            await self._runs[replay_id].ended_within(PROGRESS_S)
        yield replay

    async def pause(self, request_id: str, replay_id: str) -> Replay:
        """Hold the next batch back."""
        return self._control(request_id, replay_id, "pause", None)

    async def resume(self, request_id: str, replay_id: str) -> Replay:
        """Go on."""
        return self._control(request_id, replay_id, "resume", None)

    async def stop(self, request_id: str, replay_id: str) -> Replay:
        """End it after the batch in hand."""
        return self._control(request_id, replay_id, "stop", None)

    async def set_speed(self, request_id: str, replay_id: str, speed: float) -> Replay:
        """Market seconds per wall second of a paced replay."""
        if speed <= 0:
            raise invalid_field("VALIDATION_FAILED", "speed", "must be above zero")
        return self._control(request_id, replay_id, "speed", speed)

    def _control(self, request_id: str, replay_id: str, action: str, speed: float | None) -> Replay:
        replay = self._known(replay_id)
        content = (replay_id, action, speed)
        known = self._controls.setdefault(request_id, content)
        if known is not content:
            if known != content:
                raise reused(request_id)
            return replay
        try:
            replay.require_running()
            self._runs[replay_id].control(action, speed)
        except FxError:
            del self._controls[request_id]
            raise
        return replay

    async def acknowledge(
        self, session_id: str, symbol: str, consumer: str, sequence: int, signals: int, *, ended: bool
    ) -> None:
        """A consumer of a lockstep replay is done up to `sequence`. FxError `REPLAY_NOT_LOCKSTEP`."""
        step = self._feed.lockstep.get((session_id, symbol))
        if step is not None:
            step.acknowledge(consumer, sequence, signals, ended=ended)
            return
        run = self._runs.get(session_id)
        if run is None or run.replay.pace is not Pace.LOCKSTEP:
            raise FxError(
                Kind.FAILED_PRECONDITION, "REPLAY_NOT_LOCKSTEP", f"session {session_id} is no lockstep replay"
            )

    async def close(self) -> None:
        """End what runs, so that consumers see the end of each session."""
        for run in self._runs.values():
            if not run.replay.ended:
                run.control("stop", None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        for task in list(self._tasks):
            task.cancel()
