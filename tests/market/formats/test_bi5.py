"""Dukascopy's hours: a real day against Dukascopy's own candles, and every way in which hours go wrong."""

from __future__ import annotations

import lzma
import shutil
import struct
import zipfile
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.market.formats import FileSummary, TickBlock, as_one_file, fingerprint, read_tick_blocks, sniff
from tests.market.formats.conftest import MakeFile

DAY = "dukascopy_bi5/EURUSD/2019/01/04"
MIDNIGHT_S = 1_549_238_400  # 2019-02-04T00:00:00Z: month 01 is February
HOUR_S = 3600
Record = tuple[int, int, int, float, float]
"""ms, ask, bid, ask volume, bid volume."""
GOOD: Record = (10, 114_352, 114_350, 1.25, 0.75)


def packed(*records: Record) -> bytes:
    raw = b"".join(struct.pack(">IIIff", *each) for each in records)
    return lzma.compress(raw, lzma.FORMAT_ALONE)


def tree(root: Path, **hours: bytes) -> Path:
    """`h07=content`: the hours of one day of EURUSD below `root`."""
    day = root / "EURUSD/2019/01/04"
    day.mkdir(parents=True)
    for name, content in hours.items():
        (day / f"{name[1:]}h_ticks.bi5").write_bytes(content)
    return root


def read(path: Path, symbol: str | None = None, block: int = 1000) -> tuple[list[TickBlock], FileSummary]:
    with as_one_file(path) as file, read_tick_blocks(file, symbol=symbol, block=block) as reading:
        return list(reading), reading.summary


def refused(path: Path, reason: str, detail: str, symbol: str | None = None) -> None:
    with pytest.raises(FxError) as raised:
        read(path, symbol)
    assert (raised.value.kind, raised.value.reason) == (Kind.INVALID_ARGUMENT, reason)
    assert detail in raised.value.detail


def test_a_real_day_equals_a_reading_of_its_own(shared_data: Path) -> None:
    blocks, summary = read(shared_data / DAY)

    expected = []
    for hour in range(24):
        raw = lzma.decompress((shared_data / DAY / f"{hour:02d}h_ticks.bi5").read_bytes())
        start_ns = (MIDNIGHT_S + hour * HOUR_S) * 10**9
        for ms, ask, bid, ask_volume, bid_volume in struct.iter_unpack(">IIIff", raw):
            sizes = round(bid_volume * 1e6), round(ask_volume * 1e6)
            expected.append((start_ns + ms * 10**6, bid, ask, *sizes))
    found = [
        row
        for each in blocks
        for row in zip(each.times_ns, each.bids, each.asks, each.bid_sizes, each.ask_sizes, strict=True)
    ]
    assert found == expected
    assert (summary.lines, summary.accepted, summary.rejected, summary.whole) == (136_741, 136_741, 0, True)
    assert (summary.notes, summary.symbol, summary.format) == ({}, "EURUSD", "bi5")
    assert all(a.last_sequence + 1 == b.first_sequence for a, b in pairwise(blocks))
    assert all(type(each.times_ns[0]) is int for each in blocks)


def test_bars_of_the_day_equal_the_bid_candles_of_dukascopy(shared_data: Path) -> None:
    """All 1,440 minutes traded that day, and all are equal in the four prices."""
    blocks, _ = read(shared_data / DAY)
    ticks = [row for each in blocks for row in zip(each.times_ns, each.bids, strict=True)]
    bars = {}
    for minute, group in groupby(ticks, key=lambda tick: tick[0] // 60_000_000_000 * 60 - MIDNIGHT_S):
        bids = [bid for _, bid in group]
        bars[minute] = bids[0], bids[-1], min(bids), max(bids)

    raw = lzma.decompress((shared_data / DAY / "BID_candles_min_1.bi5").read_bytes())
    candles = {
        second: (opened, closed, low, high)
        for second, opened, closed, low, high, volume in struct.iter_unpack(">IIIIIf", raw)
        if volume > 0
    }
    assert len(candles) == 1440
    assert bars == candles


@pytest.mark.parametrize("below", ["", "EURUSD", "EURUSD/2019/01", "EURUSD/2019/01/04/13h_ticks.bi5"])
def test_a_folder_at_any_height_or_a_single_hour(shared_data: Path, below: str) -> None:
    _, summary = read(shared_data / "dukascopy_bi5" / below)

    assert summary.accepted == (7_763 if below.endswith("bi5") else 136_741)
    assert summary.notes == {}


def test_a_file_read_where_it_lies_needs_no_packing(shared_data: Path) -> None:
    with read_tick_blocks(shared_data / DAY / "13h_ticks.bi5", "bi5") as reading:
        assert sum(map(len, reading)) == 7_763


def test_the_same_hours_make_the_same_bytes_wherever_they_lie(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / DAY, tmp_path / "EURUSD/2019/01/04", copy_function=shutil.copyfile)
    with as_one_file(shared_data / DAY) as one, as_one_file(tmp_path) as other:
        assert one != other
        assert fingerprint(one) == fingerprint(other)
        temporary = one
    assert not temporary.exists()


def test_a_zip_that_a_person_made(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "day.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for hour in ("14", "13"):
            name = f"{DAY}/{hour}h_ticks.bi5"
            archive.write(shared_data / name, name)
        archive.writestr("README.txt", "not ticks")
    assert sniff(path).name == "bi5"

    blocks, summary = read(path)

    assert summary.accepted == 7_763 + 9_986
    before, block = blocks[:2]  # the first tells what is missing
    assert not len(before)
    assert block.times_ns[0] // 10**9 == MIDNIGHT_S + 13 * HOUR_S
    assert summary.notes == {"MISSING_HOUR": 2}


def test_a_missing_hour_is_noted_and_an_empty_one_is_an_hour_without_ticks(tmp_path: Path) -> None:
    hours = {f"h{hour:02d}": packed(GOOD) for hour in range(24) if hour not in (5, 6)}
    root = tree(tmp_path, **(hours | {"h07": b"", "h08": packed()}))

    blocks, summary = read(root)

    (note,) = [note for block in blocks for note in block.notes]
    assert (note.line, note.reason) == (6, "MISSING_HOUR")
    assert "no file for 2019-02-04T05:00:00Z to 2019-02-04T07:00:00Z" in note.detail
    assert (summary.accepted, summary.rejected, summary.whole) == (20, 0, True)
    assert [seq for each in blocks for seq in (each.first_sequence, each.last_sequence) if len(each)] == [
        number for number in range(1, 21) for _ in range(2)
    ]
    read_strictly(root)


def read_strictly(path: Path) -> None:
    with as_one_file(path) as file, read_tick_blocks(file, strict=True) as reading:
        list(reading)


def test_hours_in_which_the_market_was_closed_are_not_missed(tmp_path: Path) -> None:
    """Friday 1 February 2019 closed at 22:00 UTC, the week opened on Sunday at 22:00."""
    for day, hours in (("01", range(22)), ("03", (22, 23))):
        folder = tmp_path / "EURUSD/2019/01" / day
        folder.mkdir(parents=True)
        for hour in hours:
            (folder / f"{hour:02d}h_ticks.bi5").write_bytes(packed(GOOD))

    _, summary = read(tmp_path)

    assert (summary.accepted, summary.notes) == (24, {})


BAD_RECORDS: list[tuple[Record, str, str]] = [
    ((3_600_000, 114_352, 114_350, 1.0, 1.0), "BAD_TIMESTAMP", "ms 3600000"),
    ((9, 114_352, 114_350, 1.0, 1.0), "TIME_BACKWARDS", "ms 9"),
    ((11, 0, 114_350, 1.0, 1.0), "NON_POSITIVE_PRICE", "ask 0"),
    ((11, 114_352, 1_143_500, 1.0, 1.0), "PRICE_IMPLAUSIBLE", "expected prices of 0.68 to 1.95 for EURUSD"),
    ((11, 114_352, 114_350, -1.0, 1.0), "BAD_SIZE", "ask_volume -1"),
    ((11, 114_352, 114_350, 1.0, float("nan")), "BAD_SIZE", "bid_volume nan"),
    ((11, 114_352, 114_350, float("inf"), 1.0), "BAD_SIZE", "ask_volume inf"),
]


@pytest.mark.parametrize(("record", "reason", "detail"), BAD_RECORDS)
@pytest.mark.parametrize("block", [1, 1000])
def test_a_bad_record_is_named_and_those_around_it_are_kept(
    tmp_path: Path, record: Record, reason: str, detail: str, block: int
) -> None:
    later = (3_599_999, *GOOD[1:])
    root = tree(tmp_path, h03=packed(GOOD), h04=packed(GOOD, record, later))

    blocks, summary = read(root, block=block)

    (reject,) = [reject for block in blocks for reject in block.rejects]
    assert (reject.line, reject.reason) == (3, reason)
    assert "record 2 of EURUSD/2019/01/04/04h_ticks.bi5" in reject.detail
    assert detail in reject.detail
    assert [line for each in blocks for line in each.lines] == [1, 2, 4]
    assert (summary.accepted, summary.reasons, blocks[-2].last_sequence) == (3, {reason: 1}, 3)
    with pytest.raises(FxError, match="line 3: ") as raised:
        read_strictly(root)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "TRUNCATED"),
        (lambda whole: whole[:5], "TRUNCATED"),
        (lambda whole: whole[:1000] + b"\xff" * 4000 + whole[5000:], ""),
        (lambda _: b"not LZMA at all", "FILE_UNREADABLE"),
        # A header that asks for a dictionary of 4 GiB.
        (lambda whole: whole[:1] + b"\xff\xff\xff\xff" + whole[5:], "FILE_UNREADABLE"),
        (lambda _: lzma.compress(struct.pack(">IIIff", *GOOD) + b"odd", lzma.FORMAT_ALONE), "TRUNCATED"),
    ],
)
def test_a_damaged_hour_gives_what_it_has_and_the_next_goes_on(
    shared_data: Path, tmp_path: Path, damage: object, reason: str
) -> None:
    assert callable(damage)
    whole = (shared_data / DAY / "03h_ticks.bi5").read_bytes()
    root = tree(tmp_path, h03=damage(whole), h04=packed(GOOD))

    blocks, summary = read(root)

    found = [reject for block in blocks for reject in block.rejects]
    assert found and all("of EURUSD/2019/01/04/03h_ticks.bi5" in each.detail for each in found)
    assert not reason or (found[-1].reason, summary.whole) == (reason, False)
    assert blocks[-2].times_ns == [(MIDNIGHT_S + 4 * HOUR_S) * 10**9 + 10_000_000]
    with pytest.raises(FxError):
        read_strictly(root)


def test_half_an_hour_is_read_to_where_it_was_cut(shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / DAY / "03h_ticks.bi5").read_bytes()
    blocks, summary = read(tree(tmp_path, h03=whole[: len(whole) // 2]))

    assert 1_200 < summary.accepted < 1_800
    assert summary.lines == summary.accepted + 1
    assert f"the LZMA stream ends early, in record {summary.lines} of" in blocks[-1].rejects[0].detail


def test_a_file_must_say_its_day(shared_data: Path, data_file: MakeFile, tmp_path: Path) -> None:
    whole = (shared_data / DAY / "03h_ticks.bi5").read_bytes()
    alone = data_file(whole, "03h_ticks.bi5")
    expected = "keep Dukascopy's path SYMBOL/YYYY/MM/DD/HHh_ticks.bi5 (months from 00)"
    refused(alone, "DATE_REQUIRED", expected)
    refused(alone, "DATE_REQUIRED", expected, "EURUSD")
    refused(data_file(whole, "uploaded"), "DATE_REQUIRED", expected, "EURUSD")
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        archive.writestr("03h_ticks.bi5", whole)
    refused(tmp_path / "flat.zip", "DATE_REQUIRED", expected)


def test_candles_are_no_ticks(shared_data: Path) -> None:
    refused(shared_data / DAY / "BID_candles_min_1.bi5", "UNKNOWN_FORMAT", "holds candles, not ticks")


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("2019/12/04/00h", "there is no month 12: Dukascopy's folders count months from 00 to 11"),
        ("2019/01/31/00h", "there is no 2019-02-31, and months count from 00 to 11"),
        ("2019/01/04/24h", "there is no hour 24: hours go from 00 to 23"),
    ],
)
def test_a_day_that_does_not_exist_is_named(tmp_path: Path, place: str, wrong: str) -> None:
    path = tmp_path / "EURUSD" / f"{place}_ticks.bi5"
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(GOOD))
    refused(tmp_path, "DATE_REQUIRED", f"EURUSD/{place[:10]} holds {path.name}, but {wrong}")


def test_folders_and_archives_without_ticks(tmp_path: Path) -> None:
    refused(tmp_path, "UNKNOWN_FORMAT", "holds no Dukascopy ticks")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    refused(tmp_path / "other.zip", "NOT_TEXT", "a zip archive without Dukascopy ticks")
    refused(tree(tmp_path, h03=b""), "EMPTY_FILE", "it has no rows")


def test_an_archive_cut_short(shared_data: Path, tmp_path: Path) -> None:
    with as_one_file(shared_data / DAY) as whole:
        path = tmp_path / "cut.zip"
        path.write_bytes(whole.read_bytes()[:-100])
    refused(path, "FILE_UNREADABLE", "cut.zip is a damaged or cut zip archive")


def test_an_archive_with_a_damaged_entry(shared_data: Path, tmp_path: Path) -> None:
    with as_one_file(shared_data / DAY) as whole:
        content = bytearray(whole.read_bytes())
    content[30_000:30_004] = b"\0\0\0\0"  # within the second hour
    path = tmp_path / "damaged.zip"
    path.write_bytes(content)

    _, summary = read(path)

    assert summary.reasons and not summary.whole
    assert summary.accepted > 120_000


def test_several_symbols_are_asked_which(tmp_path: Path) -> None:
    root = tree(tmp_path, h03=packed(GOOD))
    other = tmp_path / "USDJPY/2019/01/04"
    other.mkdir(parents=True)
    (other / "03h_ticks.bi5").write_bytes(packed((7, 109_512, 109_509, 1.0, 1.0)))

    refused(root, "SYMBOL_REQUIRED", "several symbols (EURUSD, USDJPY): say which")
    refused(root, "WRONG_SYMBOL", "holds EURUSD, USDJPY, not GBPUSD", "GBPUSD")
    (block,), _ = read(root, "USDJPY")
    assert (block.bids, block.digits) == ([109_509], 3)


@pytest.mark.parametrize(
    ("symbol", "point", "price"), [("XAUUSD", 1_284_560, "1284.560"), ("XAGUSD", 15_234, "15.23400")]
)
def test_metals_come_in_thousandths(tmp_path: Path, symbol: str, point: int, price: str) -> None:
    folder = tmp_path / symbol / "2019/01/04"
    folder.mkdir(parents=True)
    (folder / "03h_ticks.bi5").write_bytes(packed((0, point + 300, point, 0.0001, 0.00025)))

    with as_one_file(folder) as file, read_tick_blocks(file) as reading:
        (block,) = list(reading)

    assert reading.instrument.price_text(block.bids[0]) == price
    assert (block.bid_sizes, block.ask_sizes) == ([250], [100])
