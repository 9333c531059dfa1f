"""What a replay brought about in the other services: rows stored, signals, fills, profit.

They finish after the last tick has left market data, and each may be down: what it would have said is then
missing, and said to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fxmesh.analysis.v1 import service_pb2 as analysis
from fxmesh.marketdata.v1 import market_pb2 as market
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.trading.v1 import service_pb2 as trading

from services.cli.link import Link
from services.cli.output import CliError
from services.cli.progress import Bar
from services.cli.render import Table, count, pairs
from services.errors import FxError

SETTLE_S = 30.0
"""How long the others may get nothing done short of the end before the summary says who is not done.
Trading alone gives analysis 20 s for its first tick.
"""
_POLL_S = 0.2

T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """Counts are None where the service that has them did not answer."""

    stored: int | None = None
    signals: int | None = None
    fills: int | None = None
    ahead: int = 0
    """Ticks that trading read before analysis was done with them."""
    unfinished: list[str] = field(default_factory=list)
    """Who is not done, and with what; nobody: all is settled."""
    figures: tuple[int, ...] = ()
    """Whatever grows while somebody gets something done."""
    account: Any = None
    reconciliation: Any = None
    missing: list[str] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """All are done, and said so."""
        return not (self.unfinished or self.missing)

    @property
    def document(self) -> dict[str, Any]:
        found = {
            "ticksStored": self.stored,
            "signals": self.signals,
            "fills": self.fills,
            "ticksAheadOfAnalysis": self.ahead,
            "settled": self.settled,
            "unfinished": self.unfinished,
            "account": self.account,
            "reconciliation": self.reconciliation,
            "missing": self.missing,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def shown(self) -> list[Table | str]:
        rows = [
            ("ticks stored", _text(self.stored)),
            ("signals", _text(self.signals)),
            ("fills", _text(self.fills)),
        ]
        if self.account is not None:
            account = self.account
            rows += [
                ("account", account.account_id),
                ("realised", f"{account.realised_profit} {account.currency}"),
                ("unrealised", account.unrealised_profit),
                ("balance", account.balance),
                ("equity", account.equity),
            ]
        if self.reconciliation is not None:
            rows.append(
                ("books", "equal the fills" if self.reconciliation.reconciled else "DIFFER from the fills")
            )
        tables: list[Table | str] = [pairs(rows)]
        if self.ahead:
            tables.append(
                f"Trading read {count(self.ahead)} ticks ahead of analysis, which did not answer or stood"
                " still: signals on them may have come too late to be traded."
            )
        if self.missing:
            tables.append(f"No answer from {', '.join(self.missing)}: see `fxmesh status`.")
        elif self.unfinished:
            tables.append(f"Not done, and for {SETTLE_S:g} s no further: {', '.join(self.unfinished)}.")
            tables.append("See `fxmesh status` and `fxmesh logs`.")
        return tables


async def of(link: Link, replay: market.Replay, bar: Bar) -> Outcome:
    """Wait until storage, analysis and trading say that they are done, then take stock."""
    clock = asyncio.get_running_loop().time
    moved_at, last = clock(), Outcome()
    while True:
        seen = await _progress(link, replay)
        bar.at(min(seen.stored or 0, replay.ticks_published), replay.ticks_published)
        moved_at = clock() if seen.figures != last.figures else moved_at
        last = seen
        if seen.settled or clock() - moved_at > SETTLE_S:
            await _take_stock(link, replay.replay_id, seen)
            return seen
        await asyncio.sleep(_POLL_S)


async def _progress(link: Link, replay: market.Replay) -> Outcome:
    """How far each of them is; all are asked again until they are done or stand still."""
    found, session_id = Outcome(), replay.replay_id
    report = await _ask(
        found,
        "data_pipeline",
        link.pipeline.GetStorageReport(pipeline.GetStorageReportRequest(source_id=session_id)),
    )
    analysed = await _ask(
        found,
        "analysis_engine",
        link.analysis.GetSessionProgress(analysis.GetSessionProgressRequest(session_id=session_id)),
        analysis.GetSessionProgressResponse(),
    )
    traded = await _ask(
        found,
        "trading_gateway",
        link.trading.GetSessionProgress(trading.GetSessionProgressRequest(session_id=session_id)),
        trading.GetSessionProgressResponse(),
    )
    if report is not None:
        found.stored = sum(each.count for each in report.counts if each.name == "ticks")
        if found.stored < replay.ticks_published:
            found.unfinished.append(f"data_pipeline stored {found.stored:,} ticks")
    for service, answer in (("analysis_engine", analysed), ("trading_gateway", traded)):
        if answer is not None and not _over(answer.feeds):
            at = max((each.sequence for each in answer.feeds), default=0)
            found.unfinished.append(f"{service} is at tick {at:,}")
    if analysed is not None:
        found.signals = analysed.signal_count
    if traded is not None:
        found.ahead = traded.ticks_ahead_of_analysis
    if analysed is not None and traded is not None:
        decided = traded.signal_count - traded.undecided_signal_count
        if decided < analysed.signal_count:
            found.unfinished.append(
                f"trading_gateway decided about {decided:,} of {analysed.signal_count:,} signals"
            )
    found.figures = _figures(found, analysed, traded)
    return found


def _over(feeds: Iterable[Any]) -> bool:
    ended = [each.session_ended for each in feeds]
    return bool(ended) and all(ended)


def _figures(found: Outcome, *answers: Any) -> tuple[int, ...]:
    figures = [found.stored or 0]
    for answer in answers:
        if answer is not None:
            figures += [each.sequence + each.session_ended for each in answer.feeds]
            figures += [answer.signal_count, getattr(answer, "undecided_signal_count", 0)]
    return tuple(figures)


async def _take_stock(link: Link, session_id: str, found: Outcome) -> None:
    """Account and proof of its books; a replay without a tick has none."""
    account_id = f"replay-{session_id}"
    account = await _ask(
        found,
        "trading_gateway",
        link.trading.GetAccount(trading.GetAccountRequest(account_id=account_id)),
    )
    if account is None:
        return
    found.account = account.account
    books = await _ask(
        found,
        "trading_gateway",
        link.trading.ReconcileAccount(trading.ReconcileAccountRequest(account_id=account_id)),
    )
    if books is not None:
        found.fills, found.reconciliation = books.fills, books


async def _ask(found: Outcome, service: str, call: Awaitable[T], unknown: T | None = None) -> T | None:
    """The answer; `unknown` where the service has not heard of what is asked for (yet)."""
    try:
        return await call
    except (FxError, CliError) as failure:
        if getattr(failure, "reason", "") in ("UNKNOWN_SESSION", "UNKNOWN_ACCOUNT"):
            return unknown
        if service not in found.missing:
            found.missing.append(service)
        return None


def _text(number: int | None) -> str:
    return "unknown" if number is None else count(number)
