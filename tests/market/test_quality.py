"""Flags of ticks: crossed, locked, wide, gapped, jumped; and what they leave alone."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.market.instruments import instrument
from services.market.quality import UNTRADABLE, Flaw, TickInspector, jumped, spread_flaws
from services.market.ticks import TickBatch

EURUSD = instrument("EURUSD")
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
THURSDAY_NOON = int(datetime(2014, 5, 1, 12, tzinfo=UTC).timestamp()) * SECOND
FRIDAY_BEFORE_CLOSE = int(datetime(2014, 5, 2, 20, 59, 58, tzinfo=UTC).timestamp()) * SECOND
SUNDAY_OPEN = int(datetime(2014, 5, 4, 21, 0, 0, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("bid", "ask", "flaw"),
    [
        (138650, 138649, Flaw.CROSSED),
        (138650, 138650, Flaw.LOCKED),
        (138650, 138651, Flaw.NONE),
        (138650, 138750, Flaw.NONE),  # 10 pips, the limit itself
        (138650, 138751, Flaw.WIDE),
    ],
)
def test_the_spread_decides(bid: int, ask: int, flaw: Flaw) -> None:
    assert spread_flaws(bid, ask, EURUSD.max_spread) is flaw
    assert TickInspector(EURUSD).inspect(THURSDAY_NOON, bid, ask) is flaw


def test_only_locked_and_wide_quotes_may_be_traded_on() -> None:
    assert [flaw for flaw in Flaw if not flaw & UNTRADABLE] == [Flaw.LOCKED, Flaw.WIDE]
    assert not Flaw.NONE & UNTRADABLE


def test_a_long_silence_of_an_open_market_is_a_gap_once() -> None:
    inspector = TickInspector(EURUSD)
    limit = EURUSD.max_price_age_ns
    times = [
        THURSDAY_NOON,
        THURSDAY_NOON + limit,
        THURSDAY_NOON + 2 * limit + 1,
        THURSDAY_NOON + 2 * limit + 2,
    ]
    assert [inspector.inspect(time, 138650, 138658) for time in times] == [
        Flaw.NONE,
        Flaw.NONE,
        Flaw.GAPPED,
        Flaw.NONE,
    ]


def test_a_weekend_is_no_gap_but_a_silent_sunday_evening_is() -> None:
    inspector = TickInspector(EURUSD)
    inspector.inspect(FRIDAY_BEFORE_CLOSE, 138650, 138658)
    assert inspector.inspect(SUNDAY_OPEN, 138650, 138658) is Flaw.NONE
    late = TickInspector(EURUSD)
    late.inspect(FRIDAY_BEFORE_CLOSE, 138650, 138658)
    assert late.inspect(SUNDAY_OPEN + 11 * MINUTE, 138650, 138658) is Flaw.GAPPED


def test_a_feed_that_is_always_open_has_no_weekend() -> None:
    inspector = TickInspector(EURUSD, "always_open")
    inspector.inspect(FRIDAY_BEFORE_CLOSE, 138650, 138658)
    assert inspector.inspect(SUNDAY_OPEN, 138650, 138658) is Flaw.GAPPED


def test_a_jump_of_the_middle_is_flagged_also_after_a_weekend() -> None:
    inspector = TickInspector(EURUSD)
    inspector.inspect(FRIDAY_BEFORE_CLOSE, 138650, 138658)
    assert inspector.inspect(SUNDAY_OPEN, 139650, 139658) is Flaw.JUMPED  # 100 pips, 72 ten-thousandths
    assert inspector.inspect(SUNDAY_OPEN + SECOND, 139651, 139659) is Flaw.NONE


def test_a_jump_is_measured_exactly_at_its_limit() -> None:
    assert not jumped(200_000, 201_000, 50)
    assert jumped(200_000, 201_001, 50)
    assert jumped(200_000, 198_999, 50)


def test_a_crossed_tick_far_away_does_not_make_the_next_good_tick_a_jump() -> None:
    inspector = TickInspector(EURUSD)
    ticks = [(138650, 138658), (150000, 138658), (138651, 138659)]
    flaws = [inspector.inspect(THURSDAY_NOON + number, *prices) for number, prices in enumerate(ticks)]
    assert flaws == [Flaw.NONE, Flaw.CROSSED, Flaw.NONE]


def test_a_batch_of_another_symbol_or_scale_is_refused() -> None:
    inspector = TickInspector(EURUSD)
    for symbol, digits in (("GBPUSD", 5), ("EURUSD", 3)):
        with pytest.raises(ValueError, match="not a batch of EURUSD"):
            inspector.inspect_batch(TickBatch("s1", symbol, 1, digits, [1], [1], [2]))


def test_a_batch_is_inspected_tick_by_tick_across_batches() -> None:
    inspector = TickInspector(EURUSD)
    first = TickBatch(
        "s1", "EURUSD", 1, 5, [THURSDAY_NOON, THURSDAY_NOON + 1], [138650, 138660], [138658, 138658]
    )
    second = TickBatch("s1", "EURUSD", 3, 5, [THURSDAY_NOON + 11 * MINUTE], [138650], [138658])
    assert list(inspector.inspect_batch(first)) == [Flaw.NONE, Flaw.CROSSED]
    assert list(inspector.inspect_batch(second)) == [Flaw.GAPPED]


def test_real_ticks_of_two_venues(shared_data: Path) -> None:
    """OANDA has no crossed tick; of FXCM's a tenth are crossed. Neither is ever silent beyond the limit."""
    found = {}
    for venue in ("oanda", "fxcm"):
        inspector, counts = TickInspector(EURUSD), Counter[Flaw]()
        with gzip.open(shared_data / f"ticks/{venue}_eurusd_ticks_20140501-09_truefx.csv.gz", "rt") as file:
            for line in file:
                _, time, bid, ask = line.split(",")
                counts[inspector.inspect(time_ns(time), scaled(bid), scaled(ask))] += 1
        found[venue] = counts
    assert sum(found["oanda"].values()) == 321_559 and sum(found["fxcm"].values()) == 675_401
    assert found["oanda"][Flaw.CROSSED] == 0 and found["fxcm"][Flaw.CROSSED] == 69_354
    assert found["oanda"][Flaw.LOCKED] == 0 and found["fxcm"][Flaw.LOCKED] == 82_118
    assert set(found["oanda"]) == {Flaw.NONE, Flaw.WIDE}
    assert set(found["fxcm"]) == {Flaw.NONE, Flaw.WIDE, Flaw.CROSSED, Flaw.LOCKED}


def scaled(text: str) -> int:
    whole, _, decimals = text.strip().partition(".")
    return int(whole + decimals.ljust(5, "0"))


def time_ns(text: str, days: dict[str, int] = {}) -> int:  # noqa: B006 the shared default is the memo of dates
    day = days.get(text[:8])
    if day is None:
        day = days[text[:8]] = int(datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=UTC).timestamp())
    seconds = day + int(text[9:11]) * 3600 + int(text[12:14]) * 60 + int(text[15:17])
    return seconds * SECOND + int(text[18:21]) * 1_000_000
