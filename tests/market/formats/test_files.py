"""Whole files that cannot be read, or only in part: one clear sentence each."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.options import FORMAT_NAMES
from services.errors import FxError, Kind
from services.market.formats import (
    FORMATS,
    Reject,
    Tick,
    fingerprint,
    read_bar_blocks,
    read_tick_blocks,
    read_ticks,
    sniff,
)
from tests.market.formats.conftest import MakeFile

OANDA = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
GOOD = "EUR/USD,20140501 00:00:00.292,1.38676,1.38686"
LATER = "EUR/USD,20140501 00:00:01.000,1.38677,1.38687"


@contextmanager
def refused(kind: Kind, reason: str, detail: str) -> Iterator[None]:
    with pytest.raises(FxError) as raised:
        yield
    assert (raised.value.kind, raised.value.reason) == (kind, reason)
    assert detail in raised.value.detail
    assert os.sep not in raised.value.detail.split(" begins ")[0].split(" is not ")[0]


def test_a_missing_file(tmp_path: Path) -> None:
    with refused(Kind.NOT_FOUND, "FILE_NOT_FOUND", "there is no file nothing.csv"):
        read_tick_blocks(tmp_path / "nothing.csv")


def test_a_path_through_a_file(data_file: MakeFile) -> None:
    with refused(Kind.NOT_FOUND, "FILE_NOT_FOUND", "there is no file more.csv"):
        sniff(data_file(GOOD) / "more.csv")


def test_a_path_that_no_system_takes(tmp_path: Path) -> None:
    with refused(Kind.NOT_FOUND, "FILE_NOT_FOUND", r"there is no file a\x00b"):
        sniff(tmp_path / "a\0b")
    with refused(Kind.INVALID_ARGUMENT, "FILE_UNREADABLE", "File name too long"):
        sniff(tmp_path / ("n" * 300))


def test_a_folder(tmp_path: Path) -> None:
    with refused(Kind.INVALID_ARGUMENT, "FILE_UNREADABLE", "is a folder, not a file"):
        fingerprint(tmp_path)


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with refused(Kind.INVALID_ARGUMENT, "FILE_UNREADABLE", "pipe is a device or pipe, not a file"):
        sniff(tmp_path / "pipe")


def test_a_file_without_permission(data_file: MakeFile) -> None:
    path = data_file(GOOD)
    path.chmod(0)
    with (
        as_ordinary_user(),
        refused(Kind.INVALID_ARGUMENT, "FILE_UNREADABLE", "no permission to read ticks.csv"),
    ):
        sniff(path)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read anything, so a test run by root steps down for a moment."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "EMPTY_FILE", "ticks.csv holds nothing"),
        (b"\n\r\n  \n", "EMPTY_FILE", "only blank lines"),
        (
            b"hello world\n",
            "UNKNOWN_FORMAT",
            "is in no known format (truefx, histdata, bi5, oanda-json, csv-ticks, csv-bars, ",
        ),
        (b"a;b;c\n1;2;3\n", "UNKNOWN_FORMAT", "csv-bars-one-side): it begins with a;b;c"),
        (b"timestamp,price\n", "UNKNOWN_FORMAT", "begins with timestamp,price"),
        (b"timestamp,bid,bid,ask\n", "UNKNOWN_FORMAT", "begins with timestamp,bid,bid,ask"),
        (b"PK\x03\x04rest", "FILE_UNREADABLE", "a damaged or cut zip archive"),
        (b"PAR1\x15\x04", "NOT_TEXT", "a Parquet file"),
        (b"\x00\x01\x02\x03", "NOT_TEXT", "is binary, not text"),
        (GOOD.encode("utf-16"), "BAD_ENCODING", "is UTF-16 text: save it as UTF-8"),
        (b"\x1f\x8b", "TRUNCATED", "the gzip stream ends early"),
        (b"\x1f\x8bnot gzip at all", "FILE_UNREADABLE", "the gzip data is damaged"),
    ],
)
def test_content_that_is_no_data_file(data_file: MakeFile, content: bytes, reason: str, detail: str) -> None:
    with refused(Kind.INVALID_ARGUMENT, reason, detail):
        sniff(data_file(content))


@pytest.mark.parametrize("header", ["timestamp,bid,ask", "timestamp,bid,ask\n\n"])
def test_a_header_without_rows(data_file: MakeFile, header: str) -> None:
    with refused(Kind.INVALID_ARGUMENT, "EMPTY_FILE", "ticks.csv: it has no rows"):
        list(read_ticks(data_file(header), symbol="EURUSD"))


def test_an_empty_gzip(data_file: MakeFile) -> None:
    with refused(Kind.INVALID_ARGUMENT, "EMPTY_FILE", "holds nothing"):
        sniff(data_file(b"", packed=True))


@pytest.mark.parametrize(
    "name", ["depth/btcusdt-depth-snap.csv", "depth/ib_eurusd_top_of_book_20220221.jsonl", "SOURCES.md"]
)
def test_other_files_are_no_known_format(shared_data: Path, name: str) -> None:
    with refused(Kind.INVALID_ARGUMENT, "UNKNOWN_FORMAT", "is in no known format"):
        sniff(shared_data / name)


def test_bars_are_not_replayed_and_ticks_are_not_bars(shared_data: Path, data_file: MakeFile) -> None:
    with refused(Kind.INVALID_ARGUMENT, "UNKNOWN_FORMAT", "holds bars, not ticks (format csv-bars)"):
        read_tick_blocks(shared_data / "bars_d1/oanda_eurusd_d1_bidask_2007-2014.csv.gz")
    with refused(Kind.INVALID_ARGUMENT, "UNKNOWN_FORMAT", "holds ticks, not bars (format truefx)"):
        read_bar_blocks(data_file(GOOD))


def test_a_format_by_name(data_file: MakeFile) -> None:
    path = data_file(f"{GOOD}\n")

    assert len(list(read_ticks(path, "truefx"))) == 1
    with refused(
        Kind.INVALID_ARGUMENT, "UNKNOWN_FORMAT", "ticks.csv is not histdata: it begins with EUR/USD,"
    ):
        read_tick_blocks(path, "histdata")
    with refused(
        Kind.INVALID_ARGUMENT, "UNKNOWN_FORMAT", "no format is called 'parquet'; known are truefx, "
    ):
        read_tick_blocks(path, "parquet")


def test_every_format_is_described() -> None:
    assert ", ".join(FORMATS) == FORMAT_NAMES  # what the help texts say
    page = (Path(__file__).parents[3] / "docs/files.md").read_text()
    assert re.findall(r"^\| `([a-z][a-z0-9-]+)` \|", page, re.MULTILINE) == list(FORMATS)
    assert all(each.name == name and each.description and each.example for name, each in FORMATS.items())


def test_a_symbol_is_needed_where_the_file_has_none(shared_data: Path, data_file: MakeFile) -> None:
    with refused(Kind.INVALID_ARGUMENT, "SYMBOL_REQUIRED", "its symbol; is it EURUSD, after its name?"):
        read_tick_blocks(shared_data / "ticks/histdata_ascii_eurusd_ticks_20200101.csv")
    with refused(Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL", "no instrument 'XXXYYY'"):
        read_tick_blocks(data_file(GOOD), symbol="XXXYYY")
    with refused(Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL", "no instrument 'ABCDEF'"):
        read_tick_blocks(data_file(GOOD.replace("EUR/USD", "ABC/DEF")))


def test_one_bar_shows_no_length(data_file: MakeFile) -> None:
    path = data_file("timestamp,open,high,low,close\n2014-05-05T00:00:00Z,1.3,1.3,1.3,1.3\n")

    with refused(Kind.INVALID_ARGUMENT, "TIMEFRAME_REQUIRED", "too few bars to tell their length"):
        read_bar_blocks(path, symbol="EURUSD")


def test_the_commonest_symbol_names_the_file(data_file: MakeFile) -> None:
    path = data_file(f"{GOOD.replace('EUR', 'GBP')}\n{GOOD}\n{LATER}\n")

    rows = list(read_ticks(path))

    assert [type(row) for row in rows] == [Reject, Tick, Tick]


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9999])
def test_a_gzip_that_ends_early_gives_its_lines_and_says_where(
    shared_data: Path, tmp_path: Path, kept: float
) -> None:
    whole = (shared_data / OANDA).read_bytes()
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: int(len(whole) * kept)])

    with read_tick_blocks(path) as reading:
        blocks = list(reading)

    summary = reading.summary
    reject = blocks[-1].rejects[-1]
    assert (reject.reason, reject.line) == ("TRUNCATED", summary.lines)
    assert reject.detail == f"the gzip stream ends early, in line {summary.lines}"
    assert summary.accepted == summary.lines - 1 > 80_000
    assert (summary.rejected, summary.whole) == (1, False)
    with gzip.open(shared_data / OANDA, "rt") as lines:
        texts = [line.rstrip("\n") for line, _ in zip(lines, range(summary.lines), strict=False)]
    assert texts[-1].startswith(reject.text) and texts[-1] != reject.text
    assert blocks[-1].bids[-1] == int(texts[-2].split(",")[2].replace(".", ""))


def test_a_damaged_gzip_gives_its_lines_and_says_where(shared_data: Path, tmp_path: Path) -> None:
    damaged = bytearray((shared_data / OANDA).read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 64] = bytes(64)
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(damaged)

    with read_tick_blocks(path) as reading:
        rejects = [reject for block in reading for reject in block.rejects]

    assert rejects[-1].reason == "FILE_UNREADABLE"
    assert rejects[-1].detail.startswith("the gzip data is damaged, in line ")
    assert not reading.summary.whole
    with pytest.raises(FxError, match="damaged"), read_tick_blocks(path, strict=True) as reading:
        list(reading)


@pytest.mark.parametrize(("month", "utc"), [("01", 1_577_916_000), ("07", 1_593_640_800)])
def test_histdata_is_five_hours_behind_utc_in_summer_too(data_file: MakeFile, month: str, utc: int) -> None:
    """17:00 on the first of January and July 2020; New York's own clock is four hours behind in July."""
    (tick,) = list(read_ticks(data_file(f"2020{month}01 170000000,1.1212,1.1213,0\n"), symbol="EURUSD"))

    assert isinstance(tick, Tick) and tick.time_ns == utc * 10**9


def test_a_gzip_of_two_members_is_one_file(data_file: MakeFile) -> None:
    path = data_file(gzip.compress(f"{GOOD}\n".encode()) + gzip.compress(f"{LATER}\n".encode()))

    assert len(list(read_ticks(path))) == 2


@pytest.mark.parametrize(
    ("end", "ticks", "reason", "detail"),
    [
        (LATER, 2, None, ""),
        (LATER[:-1], 1, "TRUNCATED", "its last price has 4 decimals, others 5"),
        (LATER[:-6], 1, "TRUNCATED", "its last price has 0 decimals, others 5"),
        (LATER[:-8], 1, "TRUNCATED", "has 3 fields, expected 4"),
        (LATER[:20], 1, "TRUNCATED", "has 2 fields, expected 4"),
        (LATER[:2], 1, "TRUNCATED", "has 1 fields, expected 4"),
    ],
)
def test_a_last_line_without_newline_counts_only_if_it_seems_whole(
    data_file: MakeFile, end: str, ticks: int, reason: str | None, detail: str
) -> None:
    path = data_file(f"{GOOD}\n{end}")

    with read_tick_blocks(path) as reading:
        (block,) = list(reading)

    assert len(block) == ticks
    assert [reject.reason for reject in block.rejects] == ([reason] if reason else [])
    assert all(detail in reject.detail for reject in block.rejects)
    assert reading.summary.lines == 2


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_windows_line_ends_and_a_byte_order_mark(data_file: MakeFile, size: int) -> None:
    path = data_file(b"\xef\xbb\xbf" + f"{GOOD}\r\n{LATER}\r\n".encode())

    with read_tick_blocks(path, block=size) as reading:
        assert [bid for block in reading for bid in block.bids] == [138676, 138677]
    assert reading.summary.rejected == 0


def test_a_file_without_newlines_is_read_in_bounded_memory(data_file: MakeFile) -> None:
    path = data_file(GOOD.encode() + b" " * 5_000_000 + b"\n" + LATER.encode() + b"\n", packed=True)

    reject, tick = list(read_ticks(path))

    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (1, "BAD_FIELD_COUNT")
    assert isinstance(tick, Tick) and tick.line == 2


def test_progress_reaches_the_size_of_the_file(shared_data: Path) -> None:
    path = shared_data / OANDA
    seen: list[int] = []

    with read_tick_blocks(path, block=20_000) as reading:
        seen.extend(reading.progress[0] for _ in reading)

    assert seen == sorted(seen) and seen[0] < seen[-1]
    assert reading.progress == (path.stat().st_size, path.stat().st_size)


def test_columns_in_any_order_with_other_names_and_unknown_ones(data_file: MakeFile) -> None:
    path = data_file(
        "Ask, BID ,Note,Pair,DateTime\n"
        "1.38686,1.38676,first,EUR/USD,2014-05-01 02:00:00.292+02:00\n"
        "1.38687,1.38677,,EUR_USD,2014-05-01T00:00:01\n"
    )

    first, second = list(read_ticks(path))

    assert first == Tick(2, 1, 1_398_902_400_292_000_000, 138676, 138686)
    assert second == Tick(3, 2, 1_398_902_401_000_000_000, 138677, 138687)
