"""Market data's handlers on a recording publisher, real files and the wall clock."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.market.clock import MarketClock
from services.market_data.adapters.files import FolderFiles
from services.market_data.adapters.sessions import FolderSessions
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook, Quote
from services.market_data.handlers import Feed, Prices, Replays, Uploads, recover
from services.market_data.handlers.replays import ReplayLimits
from services.runtime.clock import WallClock
from services.runtime.memory_leadership import SoleLeadership
from services.uploads import Announced
from tests.kit.events import quiet_log


@dataclass
class RecordingPublisher:
    """Keeps what was published. `failures`: so many calls raise first; `lags`: the backlogs it reports."""

    messages: list[TickMessage] = field(default_factory=list)
    quotes: list[tuple[int, Quote, MarketClock]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    lags: dict[str, int] = field(default_factory=dict)

    async def ticks(self, messages: Sequence[TickMessage]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.messages.extend(messages)

    async def updates(self, updates: Iterable[tuple[int, Quote, MarketClock]]) -> None:
        self.quotes.extend(updates)

    async def books(self, books: Iterable[tuple[int, OrderBook]]) -> None:
        del books

    async def backlog(self, symbol: str) -> Mapping[str, int]:
        del symbol
        return dict(self.lags)


@dataclass
class Desk:
    """Everything composed."""

    publisher: RecordingPublisher
    feed: Feed
    prices: Prices
    replays: Replays
    uploads: Uploads
    records: FolderSessions
    folder: Path

    async def recover(self) -> None:
        """As at the start of the process."""
        await recover(self.records, self.feed, self.replays, WallClock())

    async def keep(self, content: bytes) -> str:
        """Upload a file; its id."""

        async def parts() -> AsyncIterator[Announced | bytes]:
            yield Announced(len(content), hashlib.sha256(content).hexdigest())
            for start in range(0, len(content), 100_000):
                yield content[start : start + 100_000]

        return (await self.uploads.upload(parts())).file_id


def composed(folder: Path) -> Desk:
    """A process on a folder, before it recovers; another on the same one comes after a crash."""
    publisher, clock = RecordingPublisher(), WallClock()
    feed = Feed(publisher, clock, 5_000, SoleLeadership())
    files, records = FolderFiles(folder), FolderSessions(folder, quiet_log())
    limits = ReplayLimits(backlog=64, patience_s=2.0)
    replays = Replays(feed, files, records, clock, limits)
    return Desk(publisher, feed, Prices(feed, clock), replays, Uploads(files), records, folder)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return composed(tmp_path)
