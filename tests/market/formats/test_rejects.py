"""Each way in which a line is no data: reason, line, a detail that names what was found, and what goes on."""

from __future__ import annotations

import pytest
from fxmesh.errors.v1 import reason_pb2

from services.errors import FxError, Kind
from services.market.formats import (
    BarRow,
    Reject,
    Tick,
    read_bar_blocks,
    read_bars,
    read_tick_blocks,
    read_ticks,
    rejects,
)
from tests.market.formats.conftest import MakeFile

GOOD = "EUR/USD,20140501 00:00:00.292,1.38676,1.38686"
LATER = "EUR/USD,20140501 00:00:01.000,1.38677,1.38687"

TICK_LINES = [
    ("EUR/USD,20140501 00:00:00.500,1.38676", "BAD_FIELD_COUNT", "has 3 fields, expected 4"),
    (f"{GOOD},7", "BAD_FIELD_COUNT", "has 5 fields, expected 4"),
    ("x" * 5000, "BAD_FIELD_COUNT", "more than 4096 bytes"),
    ("EUR/USD,20140501 00:00:00,1.38676,1.38686", "BAD_TIMESTAMP", "expected one like 20140501 00:00:00.292"),
    ("EUR/USD,2014-05-01 00:00:00.500,1.38676,1.38686", "BAD_TIMESTAMP", "'2014-05-01 00:00:00.500'"),
    ("EUR/USD,20140230 00:00:00.500,1.38676,1.38686", "BAD_TIMESTAMP", "does not exist: day is out of range"),
    ("EUR/USD,20141301 00:00:00.500,1.38676,1.38686", "BAD_TIMESTAMP", "month must be in 1..12"),
    ("EUR/USD,20140501 24:00:00.500,1.38676,1.38686", "BAD_TIMESTAMP", "a day ends at 23:59:59"),
    ("EUR/USD,20140501 00:00:60.500,1.38676,1.38686", "BAD_TIMESTAMP", "a day ends at 23:59:59"),
    (
        "EUR/USD,99990501 00:00:00.500,1.38676,1.38686",
        "BAD_TIMESTAMP",
        "years 1970 to 2261 are known, not 9999",
    ),
    ("EUR/USD,19690501 00:00:00.500,1.38676,1.38686", "BAD_TIMESTAMP", "not 1969"),
    ("EUR/USD,20140501 00:00:00.５00,1.38676,1.38686", "BAD_TIMESTAMP", "expected one like"),
    ("EUR/USD,20140501 00:00:00.500,abc,1.38686", "BAD_PRICE", "bid is 'abc', expected a plain number"),
    ("EUR/USD,20140501 00:00:00.500,1.38676,", "BAD_PRICE", "ask is ''"),
    ("EUR/USD,20140501 00:00:00.500,1e5,1.38686", "BAD_PRICE", "'1e5'"),
    ("EUR/USD,20140501 00:00:00.500,NaN,1.38686", "BAD_PRICE", "'NaN'"),
    ("EUR/USD,20140501 00:00:00.500,1_0.38676,1.38686", "BAD_PRICE", "'1_0.38676'"),
    ("EUR/USD,20140501 00:00:00.500,+1.38676,1.38686", "BAD_PRICE", "'+1.38676'"),
    ("EUR/USD,20140501 00:00:00.500, 1.38676,1.38686", "BAD_PRICE", "' 1.38676'"),
    ("EUR/USD,20140501 00:00:00.500,.38676,1.38686", "BAD_PRICE", "'.38676'"),
    ("EUR/USD,20140501 00:00:00.500,1.,1.38686", "BAD_PRICE", "'1.'"),
    ("EUR/USD,20140501 00:00:00.500,１.38676,1.38686", "BAD_PRICE", "expected a plain number"),
    ("EUR/USD,20140501 00:00:00.500,1.3.676,1.38686", "BAD_PRICE", "'1.3.676'"),
    ("EUR/USD,20140501 00:00:00.500,1" + "0" * 400 + ",1.38686", "BAD_PRICE", "000…'"),
    (
        "EUR/USD,20140501 00:00:00.500,-1.38676,1.38686",
        "NON_POSITIVE_PRICE",
        "'-1.38676', expected a price above",
    ),
    ("EUR/USD,20140501 00:00:00.500,1.38676,0.00000", "NON_POSITIVE_PRICE", "ask is '0.00000'"),
    ("EUR/USD,20140501 00:00:00.500,1.386761,1.386860", "PRICE_PRECISION", "at most 5 decimals for EURUSD"),
    (
        "EUR/USD,20140501 00:00:00.500,138.676,138.686",
        "PRICE_IMPLAUSIBLE",
        "expected 0.68 to 1.95 for EURUSD",
    ),
    ("EUR/USD,20140501 00:00:00.500,0.01387,0.01387", "PRICE_IMPLAUSIBLE", "of another symbol?"),
    ("GBP/USD,20140501 00:00:00.500,1.38676,1.38686", "WRONG_SYMBOL", "'GBP/USD', expected EURUSD"),
    (",20140501 00:00:00.500,1.38676,1.38686", "WRONG_SYMBOL", "'', expected EURUSD"),
    (
        "EUR/USD,20140501 00:00:00.291,1.38676,1.38686",
        "TIME_BACKWARDS",
        "2014-05-01T00:00:00.291Z is in the past: line 1 was at 2014-05-01T00:00:00.292Z",
    ),
    ("EUR/USD,20140501 00:00:00.500,1.38\x00676,1.38686", "NOT_TEXT", "control characters"),
    ("EUR/USD,20140501 00:00:00.500,\x1b[31m,1.38686", "NOT_TEXT", "control characters"),
]


def test_every_reason_is_one_of_the_contract() -> None:
    reasons = {name for name in vars(rejects) if name.isupper() and not name.startswith("SHOWN_")}

    assert len(reasons) > 20
    assert {f"REASON_{name}" for name in reasons} <= set(reason_pb2.Reason.keys())


@pytest.mark.parametrize(("line", "reason", "detail"), TICK_LINES)
def test_a_bad_line_is_reported_and_the_ticks_around_it_are_kept(
    data_file: MakeFile, line: str, reason: str, detail: str
) -> None:
    path = data_file(f"{GOOD}\n{line}\n{LATER}\n")

    first, reject, last = list(read_ticks(path))

    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, reason)
    assert detail in reject.detail
    assert len(reject.text) <= 120 and reject.text.isprintable()
    assert isinstance(first, Tick) and (first.line, first.sequence, first.bid) == (1, 1, 138676)
    assert isinstance(last, Tick) and (last.line, last.sequence, last.bid) == (3, 2, 138677)


@pytest.mark.parametrize(("line", "reason", "detail"), TICK_LINES)
def test_strict_stops_at_it_with_reason_and_line(
    data_file: MakeFile, line: str, reason: str, detail: str
) -> None:
    path = data_file(f"{GOOD}\n{line}\n{LATER}\n")

    with pytest.raises(FxError) as raised:
        list(read_ticks(path, strict=True))

    assert (raised.value.kind, raised.value.reason) == (Kind.INVALID_ARGUMENT, reason)
    assert "ticks.csv, line 2: " in raised.value.detail and detail in raised.value.detail


def test_a_line_that_is_not_utf8(data_file: MakeFile) -> None:
    path = data_file(f"{GOOD}\n".encode() + b"EUR/USD,\xff0140501,1.38676,1.38686\n" + f"{LATER}\n".encode())

    _, reject, _ = list(read_ticks(path))

    assert isinstance(reject, Reject)
    assert (reject.reason, reject.detail) == (
        "BAD_ENCODING",
        "byte 9 of the line is not UTF-8, expected plain text",
    )
    assert reject.text == r"EUR/USD,\xff0140501,1.38676,1.38686"


def test_the_text_of_a_long_line_is_cut(data_file: MakeFile) -> None:
    path = data_file(f"{GOOD}\n{'y' * 130}\n{LATER}\n")

    _, reject, _ = list(read_ticks(path))

    assert isinstance(reject, Reject)
    assert reject.text == "y" * 119 + "…"


def test_rejects_are_counted_by_reason_and_blank_lines_are_not_rejects(data_file: MakeFile) -> None:
    path = data_file(f"{GOOD}\n\nbad\n{GOOD.replace('1.38676', '0')}\nworse\n   \n{LATER}\n")

    with read_tick_blocks(path) as reading:
        blocks = list(reading)

    assert [str(each).split(":")[0] for block in blocks for each in block.rejects] == [
        "line 3",
        "line 4",
        "line 5",
    ]
    summary = reading.summary
    assert (summary.lines, summary.accepted, summary.rejected, summary.skipped) == (7, 2, 3, 2)
    assert summary.reasons == {"BAD_FIELD_COUNT": 2, "NON_POSITIVE_PRICE": 1}


def test_equal_times_and_equal_lines_are_ticks(data_file: MakeFile) -> None:
    with read_tick_blocks(data_file(f"{GOOD}\n{GOOD}\n{GOOD}\n")) as reading:
        block = next(reading)
        assert (len(block), block.rejects) == (3, ())


def test_a_time_that_jumps_ahead_is_named_by_those_it_strands(data_file: MakeFile) -> None:
    """One wrong time in the future makes what follows look late: the detail leads back to it."""
    path = data_file(f"{GOOD}\n{GOOD.replace('2014', '2041')}\n{LATER}\n")

    reject = list(read_ticks(path))[-1]

    assert isinstance(reject, Reject)
    assert "line 2 was at 2041-05-01T00:00:00.292Z" in reject.detail


SIZED = "time,bid,ask,bid_size,ask_size\n2014-05-01T00:00:00Z,1.38676,1.38686,{},2000000\n"


@pytest.mark.parametrize("size", ["-1", "1.5", "1e6", "", "1_000", "many", "1" * 16])
def test_a_size_is_a_whole_number(data_file: MakeFile, size: str) -> None:
    (reject,) = list(read_ticks(data_file(SIZED.format(size)), symbol="EURUSD"))

    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, "BAD_SIZE")
    assert f"bid_size is '{size}'" in reject.detail


@pytest.mark.parametrize(("text", "size"), [("1000000", 1_000_000), ("0", 0), ("500.00", 500)])
def test_sizes_are_whole_units(data_file: MakeFile, text: str, size: int) -> None:
    (tick,) = list(read_ticks(data_file(SIZED.format(text)), symbol="EURUSD"))

    assert isinstance(tick, Tick)
    assert (tick.bid_size, tick.ask_size) == (size, 2_000_000)


HEADER = "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close"
SUNDAY_OPEN = "2014-05-04T21:00:00Z,1.30,1.32,1.29,1.31,1.31,1.33,1.30,1.32"
AFTER = SUNDAY_OPEN.replace("T22", "T23").replace("T21", "T23")

BAR_LINES = [
    (
        "2014-05-04T22:00:00Z,1.30,1.29,1.32,1.31,1.31,1.33,1.30,1.32",
        "OHLC_INCONSISTENT",
        "bid_high 1.29, bid_low 1.32",
    ),
    ("2014-05-04T22:00:00Z,1.33,1.32,1.29,1.31,1.31,1.33,1.30,1.32", "OHLC_INCONSISTENT", "bid_open 1.33"),
    ("2014-05-04T22:00:00Z,1.30,1.32,1.29,1.31,1.31,1.33,1.30,1.34", "OHLC_INCONSISTENT", "ask_close 1.34"),
    (SUNDAY_OPEN, "DUPLICATE_BAR", "lies in a bar read before: line 2 opened at 2014-05-04T21:00:00Z"),
    (SUNDAY_OPEN.replace("21:00", "21:59"), "DUPLICATE_BAR", "bars are 3600 s long"),
    (SUNDAY_OPEN.replace("21:00", "20:00"), "TIME_BACKWARDS", "2014-05-04T20:00:00Z is in the past"),
    (SUNDAY_OPEN.replace("1.33", "1.33e0"), "BAD_PRICE", "ask_high is '1.33e0'"),
    (SUNDAY_OPEN.replace("Z", "+15:00"), "BAD_TIMESTAMP", "no zone is +15:00 from UTC"),
    (SUNDAY_OPEN.rpartition(",")[0], "BAD_FIELD_COUNT", "8 fields, expected 9"),
]


@pytest.mark.parametrize(("line", "reason", "detail"), BAR_LINES)
def test_a_bad_bar_is_reported_and_the_bars_around_it_are_kept(
    data_file: MakeFile, line: str, reason: str, detail: str
) -> None:
    path = data_file(f"{HEADER}\n{SUNDAY_OPEN}\n{line}\n{AFTER}\n")

    rows = list(read_bars(path, symbol="EURUSD", seconds=3600))

    assert [type(row) for row in rows] == [BarRow, Reject, BarRow]
    reject = rows[1]
    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason, reject.text) == (3, reason, line)
    assert detail in reject.detail
    with pytest.raises(FxError, match="line 3: "):
        list(read_bars(path, symbol="EURUSD", seconds=3600, strict=True))


def test_a_bar_outside_market_hours_is_kept_and_flagged(data_file: MakeFile) -> None:
    saturday = SUNDAY_OPEN.replace("05-04T21", "05-03T12")
    path = data_file(f"{HEADER}\n{saturday}\n{SUNDAY_OPEN}\n")

    with read_bar_blocks(path, symbol="EURUSD", seconds=3600) as reading:
        (block,) = list(reading)

    assert [bar.outside_hours for bar in block.bars] == [True, False]
    assert (reading.summary.outside_hours, reading.summary.rejected) == (1, 0)


def test_a_daily_bar_that_reaches_into_the_week_is_inside_market_hours(data_file: MakeFile) -> None:
    rows = [SUNDAY_OPEN.replace("04T21", day) for day in ("03T00", "04T00", "05T00")]
    path = data_file("\n".join([HEADER, *rows]) + "\n")

    with read_bar_blocks(path, symbol="EURUSD") as reading:
        (block,) = list(reading)

    assert (block.seconds, [bar.outside_hours for bar in block.bars]) == (86_400, [True, False, False])


def test_daily_bars_cut_in_new_york_may_be_an_hour_short(data_file: MakeFile) -> None:
    """17:00 New York was 22:00 UTC on Friday 7 March 2014 and 21:00 from Sunday on: one day had 23 hours."""
    opens = ("06T22", "09T21", "10T21")
    rows = [SUNDAY_OPEN.replace("05-04T21", f"03-{each}") for each in opens]
    short = SUNDAY_OPEN.replace("05-04T21", "03-11T20")
    path = data_file("\n".join([HEADER, *rows, short]) + "\n")

    assert all(isinstance(row, BarRow) for row in read_bars(path, symbol="EURUSD", seconds=86_400))


@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_time_before_that_of_the_block_before(data_file: MakeFile, block: int) -> None:
    path = data_file(f"{GOOD}\n{LATER}\n{GOOD}\n{LATER}\n")

    with read_tick_blocks(path, block=block) as reading:
        rejects = [reject for each in reading for reject in each.rejects]

    assert [(reject.line, reject.reason) for reject in rejects] == [(3, "TIME_BACKWARDS")]
    assert reading.summary.accepted == 3


@pytest.mark.parametrize(
    ("zone", "hours"), [("+02:00", -2), ("-05:00", 5), ("-0500", 5), ("+0000", 0), ("Z", 0)]
)
def test_the_zone_of_every_line_counts(data_file: MakeFile, zone: str, hours: int) -> None:
    lines = [f"2014-05-01T12:00:0{second}.250{zone},1.38676,1.38686" for second in range(5)]
    path = data_file("\n".join(["timestamp,bid,ask", *lines]) + "\n")

    with read_tick_blocks(path, symbol="EURUSD") as reading:
        (block,) = list(reading)

    noon = 1_398_945_600
    assert block.times_ns == [(noon + hours * 3600 + s) * 10**9 + 250_000_000 for s in range(5)]


@pytest.mark.parametrize(
    ("note", "reasons"), [(b"\x00", ["NOT_TEXT"]), (b"\xff", ["BAD_ENCODING"]), ("é\t".encode(), [])]
)
def test_a_column_of_no_known_name_must_still_be_text(
    data_file: MakeFile, note: bytes, reasons: list[str]
) -> None:
    path = data_file(b"timestamp,bid,ask,note\n2014-05-01T12:00:00Z,1.38676,1.38686," + note + b"\n")

    with read_tick_blocks(path, symbol="EURUSD") as reading:
        assert [reject.reason for block in reading for reject in block.rejects] == reasons
