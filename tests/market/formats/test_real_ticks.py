"""The real tick files, whole: every line accounted for, against a reading of its own that shares no code."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from services.market.formats import FileSummary, TickBlock, fingerprint, read_tick_blocks, sniff

OANDA = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
FXCM = "ticks/fxcm_eurusd_ticks_20140501-09_truefx.csv.gz"
AUDUSD = "ticks/audusd_ticks_20200130-31_truefx.csv.gz"
HISTDATA = "ticks/histdata_ascii_eurusd_ticks_20200101.csv"
USDJPY = "ticks/truefx_usdjpy_ticks_20130101.csv"
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def read_whole(
    path: Path, symbol: str | None = None, block: int = 1000
) -> tuple[list[TickBlock], FileSummary]:
    with read_tick_blocks(path, symbol=symbol, block=block) as reading:
        return list(reading), reading.summary


def rows_of(blocks: list[TickBlock]) -> Iterator[tuple[int, int, int]]:
    for block in blocks:
        yield from zip(block.times_ns, block.bids, block.asks, strict=True)


def nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("name", "symbol", "ticks", "crossed", "format_name"),
    [
        (OANDA, None, 321_559, 0, "truefx"),
        (FXCM, None, 675_401, 69_354, "truefx"),
        (AUDUSD, None, 100_000, 0, "truefx"),
        (HISTDATA, "EURUSD", 9_500, 0, "histdata"),
        (USDJPY, "USDJPY", 1_000, 0, "csv-ticks"),
    ],
)
def test_every_line_of_the_real_files_is_a_tick(
    shared_data: Path, name: str, symbol: str | None, ticks: int, crossed: int, format_name: str
) -> None:
    path = shared_data / name

    blocks, summary = read_whole(path, symbol)

    assert sniff(path).name == summary.format == format_name
    assert (summary.accepted, summary.rejected, summary.crossed) == (ticks, 0, crossed)
    assert summary.skipped == (format_name == "csv-ticks")  # its header
    assert summary.whole
    assert summary.first_ns == blocks[0].times_ns[0] and summary.last_ns == blocks[-1].times_ns[-1]
    assert [block.first_sequence for block in blocks[1:]] == [
        block.last_sequence + 1 for block in blocks[:-1]
    ]
    assert blocks[0].first_sequence == 1 and blocks[-1].last_sequence == ticks


def test_oanda_equals_a_reading_with_datetime_and_decimal(shared_data: Path) -> None:
    blocks, _ = read_whole(shared_data / OANDA)
    read = rows_of(blocks)

    with gzip.open(shared_data / OANDA, "rt") as lines:
        for line in lines:
            _, stamp, bid, ask = line.rstrip("\n").split(",")
            moment = datetime.fromisoformat(f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:]}+00:00")
            expected = nanoseconds(moment), int(Decimal(bid) * 100_000), int(Decimal(ask) * 100_000)
            assert next(read) == expected
    assert next(read, None) is None


def test_histdata_is_est_without_daylight_saving_and_loses_its_sixth_decimal(shared_data: Path) -> None:
    blocks, summary = read_whole(shared_data / HISTDATA, "EURUSD")

    # Line 1: 20200101 170000065,1.121200,1.121720,0
    first = nanoseconds(datetime.fromisoformat("2020-01-01T22:00:00.065+00:00"))
    assert next(rows_of(blocks)) == (first, 112120, 112172)
    assert summary.last_ns == nanoseconds(datetime.fromisoformat("2020-01-02T04:00:52.125+00:00"))


def test_iso_times_with_and_without_microseconds(shared_data: Path) -> None:
    path = shared_data / USDJPY
    blocks, _ = read_whole(path, "USDJPY", block=100)

    rows = (line.split(",") for line in path.read_text().splitlines()[1:])
    expected = [
        (nanoseconds(datetime.fromisoformat(stamp)), int(Decimal(bid) * 1000), int(Decimal(ask) * 1000))
        for stamp, bid, ask in rows
    ]
    assert list(rows_of(blocks)) == expected
    assert blocks[0].lines[0] == 2


@pytest.mark.parametrize("block", [1, 7, 100, 1000, 1_000_000])
def test_the_size_of_blocks_changes_no_tick(shared_data: Path, block: int) -> None:
    whole, summary = read_whole(shared_data / HISTDATA, "EURUSD")
    cut, cut_summary = read_whole(shared_data / HISTDATA, "EURUSD", block)

    assert list(rows_of(cut)) == list(rows_of(whole))
    assert cut_summary == summary
    assert [line for each in cut for line in each.lines] == list(range(1, 9_501))
    assert max(len(each) for each in cut) == min(block, 9_500)


def test_duplicates_in_the_file_are_data(shared_data: Path) -> None:
    blocks, _ = read_whole(shared_data / OANDA)
    rows = list(rows_of(blocks))

    equal_times = sum(a[0] == b[0] for a, b in pairwise(rows))
    assert equal_times == 2_848
    assert len(rows) - len(set(rows)) == 6


def test_a_block_is_a_batch_of_a_session(shared_data: Path) -> None:
    blocks, _ = read_whole(shared_data / AUDUSD)

    batch = blocks[2].batch("replay-1")

    assert batch.batch_id == "replay-1/AUDUSD/2001-3000"
    assert (batch.digits, batch.bids[0], batch.bid_sizes) == (5, blocks[2].bids[0], [])


def test_the_fingerprint_is_of_the_content_not_of_its_packing(shared_data: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked.csv"
    unpacked.write_bytes(gzip.decompress((shared_data / AUDUSD).read_bytes()))

    assert fingerprint(unpacked) == fingerprint(shared_data / AUDUSD)
    # The file in SOURCES.md, whose first 12 digits stand there.
    assert fingerprint(shared_data / HISTDATA).startswith("ec9fa077d91a")
