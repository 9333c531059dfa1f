"""For any ticks: what is written is read, in every format; the fast path never differs from the strict one.

A failing run prints the smallest example and the blob that replays it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.market.formats import Reject, Tick, read_tick_blocks, read_ticks
from services.market.formats.columns import Columns, header_columns
from services.market.formats.fast_ticks import FastTicks
from services.market.formats.prices import Prices
from services.market.formats.source import LineBlock
from services.market.formats.stamps import HISTDATA, ISO, TRUEFX, Stamps
from services.market.formats.tick_lines import TickLines
from services.market.instruments import instrument
from services.money.decimals import format_decimal

EURUSD, USDJPY = instrument("EURUSD"), instrument("USDJPY")
START = datetime(2014, 5, 1, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
THIRTY_YEARS_MS = 30 * 365 * 86_400_000


class Quote(NamedTuple):
    """A tick to write: milliseconds since 1970 UTC, raw prices, whole sizes."""

    time_ms: int
    bid: int
    ask: int
    bid_size: int
    ask_size: int

    @property
    def moment(self) -> datetime:
        return START + timedelta(milliseconds=self.time_ms - START_MS)


def quotes(low: int, high: int) -> st.SearchStrategy[list[Quote]]:
    times, prices = st.integers(START_MS, START_MS + THIRTY_YEARS_MS), st.integers(low, high)
    sizes = st.integers(0, 10**15 - 1)
    return st.lists(st.builds(Quote, times, prices, prices, sizes, sizes), min_size=1, max_size=40).map(
        sorted
    )


def truefx_line(quote: Quote, digits: int, symbol: str = "EUR/USD") -> str:
    stamp = f"{quote.moment:%Y%m%d %H:%M:%S}.{quote.time_ms % 1000:03d}"
    return f"{symbol},{stamp},{format_decimal(quote.bid, digits)},{format_decimal(quote.ask, digits)}"


def histdata_line(quote: Quote, digits: int) -> str:
    local = quote.moment - timedelta(hours=5)
    stamp = f"{local:%Y%m%d %H%M%S}{quote.time_ms % 1000:03d}"
    return (
        f"{stamp},{format_decimal(quote.bid * 10, digits + 1)},{format_decimal(quote.ask * 10, digits + 1)},0"
    )


def csv_line(quote: Quote, digits: int) -> str:
    prices = f"{format_decimal(quote.bid, digits)},{format_decimal(quote.ask, digits)}"
    return f"{quote.moment.isoformat(' ')},{prices},{quote.bid_size},{quote.ask_size}"


CSV_HEADER = "timestamp,bid,ask,bid_size,ask_size"


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats") / "ticks.csv"


def expected(ticks: list[Quote], first_line: int) -> list[Tick | Reject]:
    return [
        Tick(first_line + index, index + 1, each.time_ms * 1_000_000, each.bid, each.ask)
        for index, each in enumerate(ticks)
    ]


@given(ticks=quotes(EURUSD.price_low, EURUSD.price_high))
@settings(print_blob=True)
def test_truefx_round_trip(path: Path, ticks: list[Quote]) -> None:
    written(path, [truefx_line(each, 5) for each in ticks])

    assert list(read_ticks(path)) == expected(ticks, 1)


@given(ticks=quotes(USDJPY.price_low, USDJPY.price_high))
@settings(print_blob=True)
def test_truefx_round_trip_with_prices_of_two_and_three_whole_digits(path: Path, ticks: list[Quote]) -> None:
    written(path, [truefx_line(each, 3, "USD/JPY") for each in ticks])

    assert list(read_ticks(path)) == expected(ticks, 1)


@given(ticks=quotes(EURUSD.price_low, EURUSD.price_high))
@settings(print_blob=True)
def test_histdata_round_trip(path: Path, ticks: list[Quote]) -> None:
    written(path, [histdata_line(each, 5) for each in ticks])

    assert list(read_ticks(path, symbol="EURUSD")) == expected(ticks, 1)


@given(ticks=quotes(EURUSD.price_low, EURUSD.price_high), block=st.integers(1, 50))
@settings(print_blob=True)
def test_csv_round_trip_with_sizes_in_blocks(path: Path, ticks: list[Quote], block: int) -> None:
    written(path, [CSV_HEADER, *(csv_line(each, 5) for each in ticks)])

    with read_tick_blocks(path, symbol="EURUSD", block=block) as reading:
        read = [tick for each in reading for tick in each.ticks()]

    assert [(tick.time_ns, tick.bid, tick.ask, tick.bid_size, tick.ask_size) for tick in read] == [
        (each.time_ms * 1_000_000, *each[1:]) for each in ticks
    ]
    assert [tick.sequence for tick in read] == [tick.line - 1 for tick in read]


def noted_line(quote: Quote, digits: int) -> str:
    return f"{csv_line(quote, digits)},12.5-a note: b"


def csv_columns(header: str) -> Columns:
    columns = header_columns(header, Stamps(ISO, "2014-05-01T00:00:00Z"))
    assert columns is not None
    return columns


TRUEFX_COLUMNS = Columns({"symbol": 0, "timestamp": 1, "bid": 2, "ask": 3}, 4, Stamps(TRUEFX, "a time"))
HISTDATA_COLUMNS = Columns(
    {"timestamp": 0, "bid": 1, "ask": 2, "volume": 3}, 4, Stamps(HISTDATA, "a time", 18_000)
)
LAYOUTS = {
    "truefx": (TRUEFX_COLUMNS, truefx_line),
    "histdata": (HISTDATA_COLUMNS, histdata_line),
    "csv": (csv_columns(CSV_HEADER), csv_line),
    "csv with a column of no known name": (csv_columns(f"{CSV_HEADER},note"), noted_line),
}
# What is likely to be taken for something else: digits of other scripts, signs, separators, white space.
BYTES = st.sampled_from(
    [bytes([each]) for each in b"0123456789.,:-+/ _eZT\t\r\x00\xff"] + ["٣".encode(), b""]
)


@st.composite
def damaged_lines(draw: st.DrawFn, name: str) -> list[bytes]:
    """Lines of ticks close together, with up to three bytes of them changed, added or taken away."""
    _, line_of = LAYOUTS[name]
    steps = draw(st.lists(st.integers(0, 30_000), min_size=1, max_size=8))
    times = [START_MS + sum(steps[: index + 1]) for index in range(len(steps))]
    lines = [line_of(Quote(time, 138676 + time % 7, 138686, 1_000_000, 500), 5).encode() for time in times]
    for _ in range(draw(st.integers(0, 3))):
        which = draw(st.integers(0, len(lines) - 1))
        at = draw(st.integers(0, len(lines[which])))
        lines[which] = lines[which][:at] + draw(BYTES) + lines[which][at + draw(st.integers(0, 2)) :]
    return lines


@pytest.mark.parametrize("name", LAYOUTS)
@given(data=st.data())
@settings(print_blob=True, max_examples=200, deadline=None)
def test_the_fast_path_never_differs_from_the_strict_one(name: str, data: st.DataObject) -> None:
    columns, _ = LAYOUTS[name]
    lines = data.draw(damaged_lines(name))

    together = TickLines(columns, EURUSD).read(LineBlock(1, lines))
    strict = TickLines(columns, EURUSD)
    # A blank line sends its block to the strict path.
    alone = [strict.read(LineBlock(number, [line, b""])) for number, line in enumerate(lines, 1)]

    assert together.ticks() == [tick for each in alone for tick in each.ticks()]
    assert list(together.rejects) == [reject for each in alone for reject in each.rejects]


@pytest.mark.parametrize("name", LAYOUTS)
def test_plain_lines_take_the_fast_path(name: str) -> None:
    columns, line_of = LAYOUTS[name]
    lines = [line_of(Quote(START_MS + 1 + step, 138676, 138686, 10, 20), 5).encode() for step in range(5)]

    assert FastTicks(columns, Prices(EURUSD)).read(lines, 0) is not None


def test_the_day_on_which_a_block_crosses_midnight_and_a_year_is_exact() -> None:
    columns, _ = LAYOUTS["truefx"]
    last = datetime(2015, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    time_ms = int(last.timestamp()) * 1000 + 999
    lines = [truefx_line(Quote(time_ms + step, 138676, 138686, 0, 0), 5).encode() for step in range(3)]

    block = TickLines(columns, EURUSD).read(LineBlock(1, lines))

    assert block.times_ns == [(time_ms + step) * 1_000_000 for step in range(3)]
