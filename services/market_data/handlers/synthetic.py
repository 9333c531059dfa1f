"""Runs the synthetic feed on the wall clock as one session of all its symbols."""

from __future__ import annotations

from services.market.clock import MarketClock
from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.domain.synthetic import SyntheticFeed, SyntheticTick
from services.market_data.handlers.feed import Feed
from services.market_data.ports import Clock, SessionRecord, SessionRecords

LONGEST_STEP_S = 1.0
"""After a stall (a suspended machine) the feed goes on from now instead of making up hours of prices."""


async def run_synthetic(
    feed: Feed,
    records: SessionRecords,
    clock: Clock,
    session_id: str,
    symbols: tuple[str, ...],
    seed: int,
    rate: float,
    flush_s: float,
) -> None:
    """Loop: step the feed every `flush_s` seconds and ingest what it quotes. Symbols being replayed rest."""
    source = SyntheticFeed(seed, [instrument(symbol) for symbol in symbols], rate)
    session = feed.begin(
        FeedSession(session_id, FeedKind.SYNTHETIC, symbols, clock.now_ns(), speed=1.0, always_open=True)
    )
    record = SessionRecord(session)
    records.keep(record)
    sequences = dict.fromkeys(symbols, 0)
    last_ns = clock.now_ns()
    while True:
        await clock.sleep(flush_s)
        now_ns = clock.now_ns()
        elapsed_s = min((now_ns - last_ns) / 1e9, LONGEST_STEP_S)
        start_ns, last_ns = max(last_ns, now_ns - int(LONGEST_STEP_S * 1e9)), max(now_ns, last_ns)
        if elapsed_s <= 0:
            continue
        resting = frozenset(symbol for symbol in symbols if feed.sessions.feeding(symbol) is not session)
        by_symbol: dict[str, list[SyntheticTick]] = {}
        for tick in source.step(start_ns, elapsed_s, resting):
            by_symbol.setdefault(tick.symbol, []).append(tick)
        messages, books = [], []
        for symbol, ticks in by_symbol.items():
            message = _message(session_id, symbol, sequences[symbol] + 1, ticks)
            sequences[symbol] = message.batch.last_sequence
            messages.append(message)
            last = ticks[-1]
            books.append(OrderBook(session_id, symbol, sequences[symbol], last.time_ns, last.bids, last.asks))
        if messages:
            await feed.ingest(messages, books)
            records.keep(record)


def _message(session_id: str, symbol: str, first_sequence: int, ticks: list[SyntheticTick]) -> TickMessage:
    batch = TickBatch(
        session_id,
        symbol,
        first_sequence,
        instrument(symbol).digits,
        [tick.time_ns for tick in ticks],
        [tick.bid for tick in ticks],
        [tick.ask for tick in ticks],
        [tick.bids[0][1] for tick in ticks],
        [tick.asks[0][1] for tick in ticks],
    )
    return TickMessage(batch, MarketClock(session_id, ticks[-1].time_ns, 1.0, batch.last_sequence))
