"""What market data needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.market.clock import MarketClock
from services.market.formats import TickBlock
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook, Quote
from services.market_data.domain.replays import Replay
from services.market_data.domain.sessions import FeedSession


class Publisher(Protocol):
    """Events out. Returns once they are stored; FxError UNAVAILABLE when they may not be."""

    async def ticks(self, messages: Sequence[TickMessage]) -> None:
        """Tick batches, in order."""

    async def updates(self, updates: Iterable[tuple[int, Quote, MarketClock]]) -> None:
        """Conflated quotes with their revisions and clocks."""

    async def books(self, books: Iterable[tuple[int, OrderBook]]) -> None:
        """Order books with their revisions."""

    async def backlog(self, symbol: str) -> Mapping[str, int]:
        """Tick batches that each required consumer has still to handle before it comes to new ones; all that
        are kept, for one that was never there. FxError UNAVAILABLE.
        """


@dataclass(frozen=True, slots=True)
class TickFile:
    """An uploaded file. `file_id` is the SHA-256 of its bytes as sent; `symbol` empty when no line names
    one.
    """

    file_id: str
    bytes: int
    format: str
    symbol: str


class Upload(Protocol):
    """A file on its way in; `size` and `sha256` are of what came so far."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""

    def write(self, content: bytes) -> None:
        """Append. FxError RESOURCE_EXHAUSTED `DISK_FULL`."""

    def finish(self) -> TickFile:
        """Keep it under the hash of its content. FxError INVALID_ARGUMENT when it is no tick file."""

    def abandon(self) -> None:
        """Forget it; after `finish` nothing."""


class Reading(Protocol):
    """A tick file being read."""

    @property
    def format(self) -> str:
        """Name of the format."""

    @property
    def symbol(self) -> str:
        """The symbol its ticks belong to."""

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the disk so far."""

    @property
    def bytes_total(self) -> int:
        """Bytes of the file."""

    @property
    def damage(self) -> str:
        """After the last block of a file that could not be read to its end: reason, what and where."""

    @property
    def refused(self) -> tuple[int, str, str] | None:
        """Line, reason and detail of the bad line that a strict reading stopped at."""

    def blocks(self) -> Iterator[TickBlock]:
        """Ticks and rejects in file order."""

    def close(self) -> None:
        """Release the file."""


class TickFiles(Protocol):
    """Uploaded files, by the hash of their content."""

    def begin(self) -> Upload:
        """Take a new file."""

    def open(self, file_id: str, format_name: str, symbol: str, *, strict: bool, block: int) -> Reading:
        """Read an uploaded file. FxError NOT_FOUND `FILE_NOT_FOUND`; INVALID_ARGUMENT with the file's
        fault.
        """


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it outlives the process, with what is played in it; the synthetic feed plays nothing."""

    session: FeedSession
    replay: Replay | None = None


class SessionRecords(Protocol):
    """What is known of feed sessions after a restart, and the ids ever used."""

    def claim(self, record: SessionRecord) -> bool:
        """Take its id for ever; False when it was used before. FxError RESOURCE_EXHAUSTED `DISK_FULL`."""

    def reserve(self, session_id: str) -> None:
        """Take an id that another instance has used, for ever. On a full disk it is not taken."""

    def keep(self, record: SessionRecord) -> None:
        """Note how far it is. On a full disk what was noted before stands."""

    def all(self) -> list[SessionRecord]:
        """In the order in which they started, but for those forgotten."""

    def forget(self, session_id: str) -> None:
        """Know no more than that the id was used."""


class Leadership(Protocol):
    """Which instance runs the feeds. The others follow it."""

    @property
    def held(self) -> bool:
        """True while this process may publish. It lapses while NATS is away, and comes back when nobody else
        has taken it.
        """

    @property
    def term(self) -> int:
        """Above zero while this process leads; another number each time that it begins to."""

    @property
    def leader(self) -> str:
        """Address of the other instance that leads; empty: none is known."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, judged now and after each change."""

    async def campaign(self) -> None:
        """Lead whenever nobody else does. Returns after the first attempt."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the leader knows at one moment. Sessions in the order in which they started, clocks of those that
    run.
    """

    sessions: Sequence[FeedSession]
    clocks: Sequence[MarketClock]
    quotes: Sequence[Quote]


class Leader(Protocol):
    """The instance that leads, as one that follows asks it. FxError UNAVAILABLE when it does not answer."""

    async def picture(self) -> Picture:
        """Sessions, clocks and quotes."""

    async def sessions(self) -> list[FeedSession]:
        """All since it started, in that order."""

    async def replays(self) -> list[Replay]:
        """All that it lists, newest first."""

    def ticks(self) -> AsyncIterator[TickMessage | FeedSession | None]:
        """Sessions that run, then every tick and every new session; None at least once a second."""

    def books(self) -> AsyncIterator[OrderBook]:
        """The last order books, then each change."""


class Clock(Protocol):
    """Wall and monotonic time, handed in by the runtime."""

    def now_ns(self) -> int:
        """Wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
