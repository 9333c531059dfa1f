"""What `fxmesh replay` waits for after the last tick, and what it says when somebody does not get there."""

from types import SimpleNamespace
from typing import Any

import pytest
from fxmesh.analysis.v1 import service_pb2 as analysis
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.cli.progress import Bar
from services.cli.requests import outcome
from services.errors import FxError, Kind

REPLAY = market_pb2.Replay(replay_id="r1", ticks_published=100)


class Services:
    """Storage, analysis and trading that get one step further each time they are asked."""

    def __init__(
        self,
        *,
        stored: int = 100,
        analysed: int = 100,
        decided: int = 2,
        ends: bool = True,
        ahead: int = 0,
    ) -> None:
        self.asked = 0
        self._ahead = ahead
        self._stored, self._analysed, self._decided, self._ends = stored, analysed, decided, ends

    async def GetStorageReport(self, request: Any) -> Any:  # noqa: N802
        self.asked += 1
        ticks = pipeline_pb2.StoredCount(name="ticks", count=self._at(self._stored))
        return pipeline.GetStorageReportResponse(counts=[ticks])

    async def GetAccount(self, request: Any) -> Any:  # noqa: N802
        return trading.GetAccountResponse(account=trading_pb2.Account(account_id=request.account_id))

    async def ReconcileAccount(self, request: Any) -> Any:  # noqa: N802
        return trading.ReconcileAccountResponse(reconciled=True, fills=4)

    def analysis(self) -> Any:
        async def asked(request: Any) -> Any:
            feeds = [self._feed(self._at(self._analysed))]
            return analysis.GetSessionProgressResponse(feeds=feeds, signal_count=2)

        return SimpleNamespace(GetSessionProgress=asked)

    def trading(self) -> Any:
        async def asked(request: Any) -> Any:
            feeds = [self._feed(self._at(100))]
            return trading.GetSessionProgressResponse(
                feeds=feeds,
                signal_count=2,
                undecided_signal_count=2 - self._decided,
                ticks_ahead_of_analysis=self._ahead,
            )

        return SimpleNamespace(
            GetSessionProgress=asked, GetAccount=self.GetAccount, ReconcileAccount=self.ReconcileAccount
        )

    def link(self) -> Any:
        return SimpleNamespace(pipeline=self, analysis=self.analysis(), trading=self.trading())

    def _at(self, limit: int) -> int:
        return min(self.asked * 10, limit)

    def _feed(self, sequence: int) -> types_pb2.FeedProgress:
        over = sequence == 100 and self._ends
        return types_pb2.FeedProgress(symbol="EURUSD", sequence=sequence, session_ended=over)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "_POLL_S", 0.01)
    monkeypatch.setattr(outcome, "SETTLE_S", 0.15)


@pytest.mark.parametrize(
    ("services", "said"),
    [
        (Services(stored=30), "data_pipeline stored 30 ticks"),
        (Services(analysed=40), "analysis_engine is at tick 40"),
        (Services(ends=False), "trading_gateway is at tick 100"),
        (Services(decided=1), "trading_gateway decided about 1 of 2 signals"),
    ],
)
async def test_whoever_stands_still_is_named(services: Services, said: str) -> None:
    came = await outcome.of(services.link(), REPLAY, Bar(True))
    assert said in came.unfinished
    assert not came.document["settled"]
    assert any(isinstance(each, str) and said in each for each in came.shown)


async def test_it_is_settled_as_soon_as_all_say_so_however_long_that_takes() -> None:
    services = Services()
    came = await outcome.of(services.link(), REPLAY, Bar(True))
    assert (came.document["settled"], came.unfinished, services.asked) == (True, [], 10)
    assert (came.stored, came.signals, came.fills) == (100, 2, 4)


async def test_what_trading_read_without_analysis_is_said() -> None:
    came = await outcome.of(Services(ahead=60).link(), REPLAY, Bar(True))
    assert (came.document["settled"], came.document["ticksAheadOfAnalysis"]) == (True, 60)
    assert any(isinstance(each, str) and "60 ticks ahead of analysis" in each for each in came.shown)


async def test_who_does_not_answer_is_missing_and_who_knows_nothing_yet_is_waited_for() -> None:
    services = Services()
    link = services.link()

    async def away(request: Any) -> Any:
        raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "away")

    link.analysis.GetSessionProgress = away
    assert (await outcome.of(link, REPLAY, Bar(True))).missing == ["analysis_engine"]

    async def unknown(request: Any) -> Any:
        raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", "never announced")

    link.analysis.GetSessionProgress = unknown
    assert (await outcome.of(link, REPLAY, Bar(True))).unfinished == ["analysis_engine is at tick 0"]
