"""A replay of a tick file: its state, its counters, and when a paced one lets the next batch go."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.errors import FxError, Kind
from services.market.formats.tallies import RejectTally


class Pace(Enum):
    """How a replay sets its pace."""

    PACED = "paced"
    UNPACED = "unpaced"
    LOCKSTEP = "lockstep"


class ReplayState(Enum):
    """Where a replay is."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class Replay:
    """A replay and how far it is. `bytes_*` count the file as it lies on disk; `*_ns` with `market` are
    market time.
    """

    replay_id: str
    file_id: str
    file_name: str
    format: str
    symbol: str
    pace: Pace
    speed: float
    batch_size: int
    strict: bool
    started_ns: int
    state: ReplayState = ReplayState.RUNNING
    ticks: int = 0
    lines: int = 0
    bytes_read: int = 0
    bytes_total: int = 0
    crossed: int = 0
    market_ns: int = 0
    ended_ns: int | None = None
    waiting_for: str = ""
    damage: str = ""
    failure: str = ""
    failure_reason: str = ""
    rejects: dict[str, RejectTally] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Over, one way or another."""
        return self.state in (ReplayState.COMPLETED, ReplayState.STOPPED, ReplayState.FAILED)

    def asked_alike(self, other: Replay) -> bool:
        """True when both play the same in the same way; the speed may have been changed since."""
        return (self.file_id, self.format, self.symbol, self.pace, self.batch_size, self.strict) == (
            other.file_id,
            other.format,
            other.symbol,
            other.pace,
            other.batch_size,
            other.strict,
        )

    def interrupted(self, now_ns: int) -> None:
        """The process that played it died. How far it came is known up to its last note."""
        self.state, self.ended_ns, self.waiting_for = ReplayState.FAILED, now_ns, ""
        self.failure_reason = "INTERRUPTED"
        self.failure = f"market_data restarted while it played: at least {self.ticks:,} ticks were played"

    def require_running(self) -> None:
        """FxError FAILED_PRECONDITION `REPLAY_ENDED` once it is over."""
        if self.ended:
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "REPLAY_ENDED",
                f"replay {self.replay_id} is over: {self.state.value}",
            )


class Pacer:
    """Maps market time to monotonic time for a paced replay; a change of speed or a pause starts a new
    leg.
    """

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._origin: tuple[float, int] | None = None

    def due_s(self, market_ns: int, now_s: float) -> float:
        """Seconds from `now_s` until ticks of `market_ns` are due; 0 when they are already."""
        if self._origin is None:
            self._origin = (now_s, market_ns)
        start_s, start_ns = self._origin
        return max(0.0, start_s + (market_ns - start_ns) / 1e9 / self.speed - now_s)

    def restart(self, speed: float | None = None) -> None:
        """The next tick is due at once, and the pace counts from there."""
        self.speed = self.speed if speed is None else speed
        self._origin = None
