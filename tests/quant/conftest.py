"""Real ticks and bars for the tests of `services/quant`, read once a run by a small reader of their own.

Not by `services/market/formats`: a test that reads a file twice with the same code proves less.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pytest

from services.quant.bars import Bar
from services.quant.timeframes import SECOND_NS, DayOrigin, Timeframe

DIGITS = 5


TickColumns = tuple[list[int], list[int], list[int]]
"""Times, bids, asks of a tick file, scaled by five digits."""


def _scaled(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(DIGITS, "0"))


@lru_cache
def _day_ns(text: str) -> int:
    return int(datetime.fromisoformat(text + "T00:00:00+00:00").timestamp()) * SECOND_NS


@lru_cache
def _ticks(path: Path) -> TickColumns:
    times: list[int] = []
    bids: list[int] = []
    asks: list[int] = []
    with gzip.open(path, "rt", encoding="ascii") as lines:
        for line in lines:
            _, stamp, bid, ask = line.rstrip("\n").split(",")
            seconds = int(stamp[9:11]) * 3600 + int(stamp[12:14]) * 60 + int(stamp[15:17])
            in_day_ns = (seconds * 1000 + int(stamp[18:21])) * 1_000_000
            times.append(_day_ns(stamp[:8]) + in_day_ns)
            bids.append(_scaled(bid))
            asks.append(_scaled(ask))
    return times, bids, asks


def _bar(timeframe: Timeframe, open_ns: int, prices: list[int], day_origin: DayOrigin) -> Bar:
    bid_open, bid_high, bid_low, bid_close, ask_open, ask_high, ask_low, ask_close = prices
    return Bar(
        "EURUSD", timeframe, open_ns, DIGITS,
        bid_open, bid_high, bid_low, bid_close, ask_open, ask_high, ask_low, ask_close,
        tick_count=0, day_origin=day_origin,
    )  # fmt: skip


@lru_cache
def _bars(path: Path, timeframe: Timeframe, day_origin: DayOrigin) -> tuple[Bar, ...]:
    bars = []
    with gzip.open(path, "rt", encoding="ascii", newline="") as lines:
        for row in csv.DictReader(lines):
            open_ns = int(datetime.fromisoformat(row.pop("timestamp")).timestamp()) * SECOND_NS
            prices = [_scaled(text) for text in row.values()]
            bars.append(_bar(timeframe, open_ns, prices, day_origin))
    return tuple(bars)


@pytest.fixture(scope="session")
def ticks_of(shared_data: Path) -> Callable[[str], TickColumns]:
    """Times, bids and asks of a file of shared/data/ticks by its beginning ("oanda", "fxcm")."""
    return lambda start: _ticks(next((shared_data / "ticks").glob(f"{start}_*.csv.gz")))


@pytest.fixture(scope="session")
def bars_of(shared_data: Path) -> Callable[..., list[Bar]]:
    """EURUSD bars of a published file by its broker and timeframe; their tick counts are unknown, hence 0."""

    def read(broker: str, timeframe: Timeframe, day_origin: DayOrigin = DayOrigin.NEW_YORK) -> list[Bar]:
        folder = shared_data / f"bars_{timeframe.name.lower()}"
        return list(_bars(next(folder.glob(f"{broker}_eurusd_*.csv.gz")), timeframe, day_origin))

    return read
