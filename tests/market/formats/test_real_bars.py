"""The real bar files, whole; the file in the wrong zone and the one with the wrong label found out."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.errors import FxError
from services.market.formats import BarRow, FileSummary, Reject, read_bar_blocks, read_bars, sniff

OANDA_H1 = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
OANDA_M1 = "bars_m1/oanda_eurusd_m1_bidask_20140501-09.csv.gz"
SHIFTED = "bad_input/fxcm_eurusd_h1_2007-200909_tz_shifted.csv.gz"
MISLABELLED = "bad_input/mislabelled_symbol_h1_2019.csv.gz"
GBPUSD_ASK = "bars_m1/fxcm_gbpusd_m1_ask_2012-02.csv.gz"


def read_whole(path: Path, symbol: str | None) -> tuple[list[BarRow], FileSummary, int]:
    with read_bar_blocks(path, symbol=symbol) as reading:
        blocks = list(reading)
        return [bar for block in blocks for bar in block.bars], reading.summary, blocks[0].seconds


@pytest.mark.parametrize(
    ("name", "symbol", "seconds", "bars", "outside"),
    [
        (OANDA_M1, "EURUSD", 60, 9_552, 0),
        ("bars_m1/fxcm_eurusd_m1_bidask_20140501-09.csv.gz", "EURUSD", 60, 9_590, 102),
        (GBPUSD_ASK, "GBPUSD", 60, 30_117, 0),
        ("bars_m1/fxcm_gbpusd_m1_bid_2012-02.csv.gz", "GBPUSD", 60, 30_117, 0),
        (OANDA_H1, "EURUSD", 3600, 49_806, 0),
        ("bars_h1/fxcm_eurusd_h1_bidask_200910-2014.csv.gz", "EURUSD", 3600, 32_676, 251),
        ("bars_d1/oanda_eurusd_d1_bidask_2007-2014.csv.gz", "EURUSD", 86_400, 2_502, 0),
        ("bars_d1/oanda_gbpusd_d1_bidask_2007-2018.csv.gz", "GBPUSD", 86_400, 3_738, 0),
    ],
)
def test_every_line_of_the_real_files_is_a_bar(
    shared_data: Path, name: str, symbol: str, seconds: int, bars: int, outside: int
) -> None:
    read, summary, length = read_whole(shared_data / name, symbol)

    assert (len(read), summary.accepted, summary.rejected, summary.skipped) == (bars, bars, 0, 1)
    assert (length, summary.outside_hours, summary.whole) == (seconds, outside, True)
    assert sum(bar.outside_hours for bar in read) == outside


@pytest.mark.parametrize("name", [OANDA_M1, OANDA_H1])
def test_bars_equal_a_reading_with_datetime_and_decimal(shared_data: Path, name: str) -> None:
    read, _, _ = read_whole(shared_data / name, "EURUSD")

    with gzip.open(shared_data / name, "rt") as lines:
        next(lines)
        for bar, line in zip(read, lines, strict=True):
            stamp, *prices = line.rstrip("\n").split(",")
            raws = tuple(int(Decimal(price) * 100_000) for price in prices)
            assert bar.bid is not None and bar.ask is not None
            assert (*bar.bid, *bar.ask) == raws
            assert bar.open_ns == int(datetime.fromisoformat(stamp).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(("side", "has_bid"), [("bid", True), ("ask", False)])
def test_a_one_sided_file_fills_the_side_it_is_said_to_hold(
    shared_data: Path, side: str, has_bid: bool
) -> None:
    bars = read_bars(shared_data / GBPUSD_ASK, symbol="GBPUSD", side="bid" if side == "bid" else "ask")
    first = next(bars)
    bars.close()

    assert isinstance(first, BarRow)
    expected = (157608, 157610, 157585, 157585)
    assert (first.bid, first.ask) == ((expected, None) if has_bid else (None, expected))


def test_a_file_of_another_symbol_is_refused_bar_by_bar(shared_data: Path) -> None:
    path = shared_data / MISLABELLED

    rows = list(read_bars(path))

    assert sniff(path).name == "csv-bars-one-side"
    assert len(rows) == 6_216
    first = rows[0]
    assert isinstance(first, Reject)
    assert (first.line, first.reason) == (2, "PRICE_IMPLAUSIBLE")
    assert "open is '139.709', expected 0.68 to 1.95 for EURUSD" in first.detail
    assert first.text == "EUR/USD.SIM,2019-01-01T23:00:00Z,139.709,139.905,139.681,139.883,0"
    assert Counter(row.reason for row in rows if isinstance(row, Reject)) == {"PRICE_IMPLAUSIBLE": 6_216}


def test_the_same_file_under_the_symbol_it_really_is_has_the_wrong_label(shared_data: Path) -> None:
    rows = list(read_bars(shared_data / MISLABELLED, symbol="GBPJPY"))

    assert {row.reason for row in rows if isinstance(row, Reject)} == {"WRONG_SYMBOL"}
    assert len(rows) == 6_216


def test_a_file_in_the_wrong_zone_shows_in_bars_outside_market_hours(shared_data: Path) -> None:
    """Its times are New York wall-clock times labelled UTC: read as such, each agrees with OANDA's bar."""
    shifted, summary, _ = read_whole(shared_data / SHIFTED, "EURUSD")
    sound, _, _ = read_whole(shared_data / OANDA_H1, "EURUSD")
    closes = {bar.open_ns: bar.bid[3] for bar in sound if bar.bid}

    assert (summary.accepted, summary.rejected, summary.outside_hours) == (15_471, 0, 635)
    flagged = [bar for bar in shifted if bar.outside_hours]
    assert {datetime.fromtimestamp(bar.open_ns // 10**9, UTC).weekday() for bar in flagged} == {6}
    assert not sum(bar.outside_hours for bar in sound)

    assert close_to(closes, shifted, as_labelled) < 0.2
    assert close_to(closes, shifted, as_new_york) > 0.9


def as_labelled(open_ns: int) -> int:
    return open_ns


def as_new_york(open_ns: int) -> int:
    wall = datetime.fromtimestamp(open_ns // 10**9, UTC).replace(tzinfo=ZoneInfo("America/New_York"))
    return int(wall.timestamp()) * 10**9


def close_to(closes: dict[int, int], bars: list[BarRow], zone: Callable[[int], int]) -> float:
    """Share of the bars whose close is within two pips of the sound close at the hour `zone` makes."""
    pairs = [
        (bar.bid[3], closes[zone(bar.open_ns)]) for bar in bars if bar.bid and zone(bar.open_ns) in closes
    ]
    assert len(pairs) > 10_000
    return sum(abs(a - b) <= 20 for a, b in pairs) / len(pairs)


def test_a_strict_reading_stops_at_the_first_bar_outside_market_hours(shared_data: Path) -> None:
    with (
        pytest.raises(FxError) as raised,
        read_bar_blocks(shared_data / SHIFTED, symbol="EURUSD", strict=True) as reading,
    ):
        list(reading)

    assert raised.value.reason == "OUTSIDE_MARKET_HOURS"
    # The first Sunday of the file: FXCM's early quotes from 16:00 New York on, written as UTC.
    assert "line 13: the bar of 2007-04-01T16:00:00Z" in raised.value.detail
