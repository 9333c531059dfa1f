"""Bars, indicators, patterns and signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fxmesh.analysis.v1 import analysis_pb2 as analysis
from fxmesh.analysis.v1 import service_pb2 as pb
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.types.v1 import market_pb2 as types

from services.cli import inputs
from services.cli.link import Link
from services.cli.render import Table, clock, count, pairs, word

_PRICES = ("BID O", "BID H", "BID L", "BID C", "ASK O", "ASK H", "ASK L", "ASK C")
BAR_COLUMNS = ("OPEN TIME (UTC)", *_PRICES, "TICKS", "")


@dataclass(frozen=True, slots=True)
class Span:
    """Of stored bars; empty texts are open ends, an empty source is any."""

    start: str = ""
    end: str = ""
    source: str = ""


async def bars(link: Link, symbol: str, timeframe: str, limit: int, session: str, closed: bool) -> None:
    """The latest bars that analysis holds, the open one last unless `closed`."""
    request = pb.ListBarsRequest(
        symbol=inputs.symbol(symbol),
        timeframe=inputs.timeframe(timeframe),
        limit=limit,
        include_open=not closed,
        session_id=session,
    )
    answer = await link.analysis.ListBars(request)
    link.out.answer(answer, _bar_table(answer.bars))


async def stored_bars(link: Link, symbol: str, timeframe: str, limit: int, span: Span) -> None:
    """Bars of the store: the first of the span when it has a start, else the last."""
    request = pipeline.ListBarsRequest(
        symbol=inputs.symbol(symbol),
        timeframe=inputs.timeframe(timeframe),
        start=inputs.time(span.start) if span.start else None,
        end=inputs.time(span.end) if span.end else None,
        source_id=span.source,
        page_size=limit,
        latest=not span.start,
    )
    answer = await link.pipeline.ListBars(request)
    link.out.answer(answer, _bar_table(answer.bars))
    if answer.next_page_token and span.start:
        link.out.note(f"there are more: begin --from after the last one, or raise -n (now {limit})")


async def watch_bars(link: Link, symbols: Sequence[str], timeframe: str) -> None:
    request = pb.StreamBarsRequest(symbol=inputs.symbols(symbols), timeframe=[inputs.timeframe(timeframe)])
    async for answer in link.follow(lambda: link.analysis.StreamBars(request)):
        if answer.HasField("bar"):
            bar = answer.bar
            words = (bar.symbol, word(bar, "timeframe"), *_bar_row(bar))
            link.out.item(bar, "  ".join(words).rstrip())


def _bar_table(bars: Sequence[types.Bar]) -> Table:
    rows = [_bar_row(each) for each in bars]
    return Table(BAR_COLUMNS, rows, right=(*_PRICES, "TICKS"), empty="No bars yet.")


def _bar_row(bar: types.Bar) -> tuple[str, ...]:
    return (
        clock(bar.open_time),
        bar.bid_open,
        bar.bid_high,
        bar.bid_low,
        bar.bid_close,
        bar.ask_open,
        bar.ask_high,
        bar.ask_low,
        bar.ask_close,
        str(bar.tick_count or ""),
        "partial" if bar.partial else "",
    )


async def indicators(link: Link, symbol: str, timeframe: str, wanted: Sequence[str], limit: int) -> None:
    request = pb.ListIndicatorsRequest(
        symbol=inputs.symbol(symbol),
        timeframe=inputs.timeframe(timeframe),
        indicator=wanted,
        limit=limit,
    )
    answer = await link.analysis.ListIndicators(request)
    rows = [
        (clock(snapshot.bar_open_time), each.indicator, name, f"{each.values[name]:.6g}")
        for snapshot in answer.snapshots
        for each in snapshot.indicators
        for name in sorted(each.values)
    ]
    headers = ("BAR (UTC)", "INDICATOR", "OUTPUT", "VALUE")
    link.out.answer(answer, Table(headers, rows, right=("VALUE",), empty="No indicators yet."))


async def indicator_definitions(link: Link) -> None:
    answer = await link.analysis.ListIndicatorDefinitions(pb.ListIndicatorDefinitionsRequest())
    rows = [(each.default_form, " ".join(each.outputs), each.description) for each in answer.definitions]
    link.out.answer(answer, Table(("INDICATOR", "OUTPUTS", "WHAT IT IS"), rows))


async def signals(
    link: Link, symbols: Sequence[str], timeframe: str, strategy: str, session: str, limit: int
) -> None:
    request = pb.ListSignalsRequest(
        symbol=inputs.symbols(symbols),
        timeframe=[inputs.timeframe(timeframe)] if timeframe else [],
        strategy=strategy,
        session_id=session,
        limit=limit,
    )
    answer = await link.analysis.ListSignals(request)
    rows = [_signal_row(each) for each in answer.signals]
    headers = ("TIME (UTC)", "SYMBOL", "TF", "SIDE", "STRATEGY", "STRENGTH", "PROBABILITY", "REASON")
    link.out.answer(answer, Table(headers, rows, right=("STRENGTH",), empty="No signals yet."))


async def watch_signals(link: Link, symbols: Sequence[str], timeframe: str, strategy: str) -> None:
    request = pb.StreamSignalsRequest(symbol=inputs.symbols(symbols))
    only = inputs.timeframe(timeframe) if timeframe else 0
    async for answer in link.follow(lambda: link.analysis.StreamSignals(request)):
        signal = answer.signal
        if not answer.HasField("signal") or (only and signal.timeframe != only):
            continue
        if strategy in ("", signal.strategy):
            link.out.item(signal, "  ".join(_signal_row(signal)))


async def signal(link: Link, signal_id: str) -> None:
    """One signal with the data it rests on."""
    answer = await link.analysis.GetSignal(pb.GetSignalRequest(signal_id=signal_id))
    found = answer.signal
    about = pairs(
        [
            ("signal", found.signal_id),
            ("call", f"{word(found, 'side')} {found.symbol} {word(found, 'timeframe')}, {found.strategy}"),
            ("strength", f"{found.strength:.3f}"),
            ("reason", found.reason),
            ("time", clock(found.time)),
            ("quote", f"{found.bid} / {found.ask}, tick {count(found.tick_sequence)}"),
            ("probability", _probability(found)),
            ("model", f"{found.prediction.model_name} {found.prediction.model_version or ''}".strip()),
        ]
    )
    evidence = Table(("EVIDENCE", "VALUE"), [(each.name, f"{each.value:.6g}") for each in found.evidence])
    link.out.answer(answer, about, evidence, contributions(found.prediction.contributions))


def contributions(found: Sequence[types.Contribution]) -> Table:
    """What moved a probability, strongest first."""
    rows = [(each.feature, f"{each.value:.6g}", f"{each.contribution:+.4f}") for each in found]
    headers = ("FEATURE", "VALUE", "CONTRIBUTION")
    return Table(headers, rows, right=headers[1:], empty="No contributions.")


def _signal_row(signal: analysis.Signal) -> tuple[str, ...]:
    return (
        clock(signal.time),
        signal.symbol,
        word(signal, "timeframe"),
        word(signal, "side"),
        signal.strategy,
        f"{signal.strength:.2f}",
        _probability(signal),
        signal.reason,
    )


def _probability(signal: analysis.Signal) -> str:
    """That the price goes the signal's way, or why nobody said."""
    prediction = signal.prediction
    if prediction.status == analysis.PREDICTION_STATUS_PREDICTED:
        return f"{prediction.probability:.3f}"
    return word(prediction, "status")
