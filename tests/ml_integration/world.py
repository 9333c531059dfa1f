"""Inference composed on real LightGBM, features and files; around it a workbench and a pipeline in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from services.errors import FxError, Kind
from services.market.formats import Reject, read_bars
from services.ml_integration.adapters.loader import LightGbmLoader, LightGbmModel
from services.ml_integration.adapters.store import FolderStore
from services.ml_integration.config import Settings
from services.ml_integration.domain.drift import DriftRules
from services.ml_integration.domain.models import Endpoint, ModelVersion
from services.ml_integration.domain.performance import Close
from services.ml_integration.handlers import (
    Models,
    News,
    Outcomes,
    Outgoing,
    Predictions,
    Question,
    Reports,
    SentFeatures,
)
from services.ml_integration.ports import Event, FeatureVector
from services.quant.bars import Bar
from services.quant.features import FEATURE_NAMES, FEATURE_SET_VERSION, feature_matrix, feature_row
from services.quant.labels import label_bars
from services.quant.timeframes import Timeframe
from services.runtime.clock import WallClock

Floats = npt.NDArray[np.float64]

H1 = Timeframe.H1
HORIZON = 4
BARS = 4000
FILE = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
AWAY = FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "nobody is there")


class Market:
    """The first bars of a real H1 file, their features and labels. `rows[i]` belongs to `bars[first + i]`."""

    def __init__(self, shared_data: Path) -> None:
        found = islice(read_bars(shared_data / FILE, symbol="EURUSD"), BARS)
        self.bars: list[Bar] = []
        for row in found:
            assert not isinstance(row, Reject)
            assert row.bid is not None
            assert row.ask is not None
            self.bars.append(Bar("EURUSD", H1, row.open_ns, 5, *row.bid, *row.ask, 0))
        _, values, valid = feature_matrix(self.bars)
        self.rows = values[valid]
        self.first = int(np.argmax(valid))
        labels = label_bars(self.bars, HORIZON)
        self.labels = labels.values[valid].astype(float)
        self.known = labels.known[valid]

    def opened(self, i: int) -> int:
        """Opening time of the bar that row `i` belongs to."""
        return self.bars[self.first + i].open_ns

    def train(self, seed: int, rounds: int = 12) -> bytes:
        """A small model on the first half of the rows."""
        import lightgbm

        half = len(self.rows) // 2
        booster = lightgbm.train(
            {"objective": "binary", "num_leaves": 7, "seed": seed, "bagging_fraction": 0.5, "bagging_freq": 1,
             "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1},
            lightgbm.Dataset(self.rows[:half], self.labels[:half], feature_name=list(FEATURE_NAMES)),
            rounds,
        )  # fmt: skip
        text: str = booster.model_to_string()
        return text.encode()

    @cached_property
    def artifacts(self) -> list[bytes]:
        """Three models."""
        return [self.train(seed) for seed in (1, 2, 3)]

    @cached_property
    def deciles(self) -> tuple[tuple[float, ...], ...]:
        """Of the rows the models were trained on."""
        half = self.rows[: len(self.rows) // 2]
        points = np.quantile(half, np.linspace(0.1, 0.9, 9), axis=0)
        return tuple(tuple(float(value) for value in column) for column in points.T)

    def version(self, number: int, artifact: bytes) -> ModelVersion:
        """What the workbench would say of an artifact."""
        return ModelVersion(
            "eurusd-1h", number, "EURUSD", H1, HORIZON, FEATURE_NAMES, FEATURE_SET_VERSION,
            hashlib.sha256(artifact).hexdigest(), self.deciles, 0.69, 0.52,
        )  # fmt: skip


@dataclass
class Bureau:
    """A workbench. `failure` is raised by everything while set; `downloads` counts."""

    market: Market
    table: dict[str, Endpoint] = field(default_factory=dict)
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    artifacts: dict[int, bytes] = field(default_factory=dict)
    failure: FxError | None = None
    downloads: int = 0

    def deploy(self, number: int, artifact: bytes | None = None, name: str = "eurusd-1h") -> Endpoint:
        """Register an artifact as a version, unless there is one, and make an endpoint serve it."""
        content = self.market.artifacts[number - 1] if artifact is None else artifact
        self.artifacts.setdefault(number, content)
        self.versions.setdefault(number, self.market.version(number, content))
        before = self.table.get(name)
        revision = before.revision + 1 if before else 1
        self.table[name] = Endpoint(name, "EURUSD", H1, "eurusd-1h", number, revision, revision)
        return self.table[name]

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def endpoints(self) -> list[Endpoint]:
        self._answer()
        return [self.table[name] for name in sorted(self.table)]

    async def endpoint(self, name: str) -> Endpoint:
        self._answer()
        return self.table[name]

    async def version(self, name: str, version: int) -> ModelVersion:
        self._answer()
        return self.versions[version]

    async def download(self, name: str, version: int) -> bytes:
        self._answer()
        self.downloads += 1
        return self.artifacts[version]


@dataclass
class Stored:
    """A pipeline that has stored the market's bars up to `until` (an index, exclusive)."""

    market: Market
    until: int = BARS
    failure: FxError | None = None
    skew: float = 0.0
    asked: int = 0

    def _bars(self) -> list[Bar]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.market.bars[: self.until]

    async def features(self, symbol: str, timeframe: Timeframe, time_ns: int | None) -> FeatureVector:
        bars = [bar for bar in self._bars() if time_ns is None or bar.open_ns <= time_ns - timeframe.ns]
        if not bars:
            raise FxError(Kind.FAILED_PRECONDITION, "NO_DATA", "no bars")
        row = feature_row(bars)
        row[0] += self.skew
        return FeatureVector(bars[-1].open_ns, FEATURE_NAMES, row, FEATURE_SET_VERSION)

    async def closes(self, symbol: str, timeframe: Timeframe, from_ns: int) -> list[Close]:
        bars = [bar for bar in self._bars() if bar.open_ns >= from_ns]
        return [Close(bar.open_ns, bar.bid_close + bar.ask_close) for bar in bars[:5000]]


@dataclass
class Press:
    """Keeps what is published. While `closed`, nothing can be."""

    events: list[Event] = field(default_factory=list)
    closed: bool = False

    async def publish(self, event: Event) -> None:
        await asyncio.sleep(0)
        if self.closed:
            raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "no bus")
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]


class Tally:
    """Counts rows answered."""

    def __init__(self) -> None:
        self.rows = 0

    def answered(self, endpoint: str, seconds: float, rows: int) -> None:
        assert seconds >= 0
        self.rows += rows


class HeldLoader(LightGbmLoader):
    """Loads as soon as it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.held = asyncio.Event()

    async def load(self, artifact: bytes, version: ModelVersion) -> LightGbmModel:
        self.held.set()
        await self.let.wait()
        return await super().load(artifact, version)


class QuickClock(WallClock):
    """Wall time on which nobody sleeps long; `asked` are the lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(min(seconds, 0.001))


class World:
    """Inference on the above, as compose builds it. `restart` builds it anew on the same folder."""

    def __init__(self, market: Market, folder: Path, settings: Settings) -> None:
        self.market, self.folder, self.settings = market, folder, settings
        self.bureau, self.stored, self.press, self.tally = Bureau(market), Stored(market), Press(), Tally()
        self.restart()

    def restart(self) -> None:
        self.clock = clock = QuickClock()
        settings, log = self.settings, structlog.get_logger()
        self.store = FolderStore(self.folder, log)
        rules = DriftRules(settings.drift_window, settings.drift_minimum, settings.drift_threshold)
        self.loader = HeldLoader()
        self.models = Models(self.bureau, self.loader, self.store, rules, clock, log)
        self.outgoing = Outgoing(self.press, clock, log, settings.publish_room)
        self.reports = Reports(self.models, "instance-1")
        self.predictions = Predictions(
            self.models,
            self.stored,
            self.reports,
            self.outgoing,
            clock,
            self.tally,
            settings.kept_predictions,
        )
        self.outcomes = Outcomes(
            self.models, self.stored, self.reports, self.outgoing, clock, log, settings.outcomes_per_report
        )
        self.news = News(self.models, log)

    def question(self, i: int, **changes: Any) -> Question:
        """Row `i` with its bar."""
        sent = SentFeatures(self.market.rows[i], FEATURE_SET_VERSION)
        fields: dict[str, Any] = {"symbol": "EURUSD", "features": sent, "open_ns": self.market.opened(i)}
        return Question(**{**fields, **changes})

    async def serve(self, number: int, artifact: bytes | None = None) -> None:
        """Deploy and load a model."""
        self.bureau.deploy(number, artifact)
        await self.models.deployed("eurusd-1h")

    async def flushed(self) -> list[Event]:
        """Everything published, after what waits was."""
        await self.outgoing.flush()
        return self.press.events

    def direct(self, artifact: bytes, rows: Floats) -> Floats:
        """What LightGBM itself answers."""
        import lightgbm

        return np.asarray(lightgbm.Booster(model_str=artifact.decode()).predict(rows))


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what it looks at has no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Background loops for the length of a block; one that failed fails the block."""
    tasks = [asyncio.ensure_future(each) for each in loops]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
