from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.bus.naming import (
    ALL_PARTITIONS,
    Retention,
    Stream,
    Subject,
    dead_letter_id,
    dead_letter_subject,
    durable,
    is_key,
    parse_subject,
    partition,
    subject,
)


# Written down once. If one of these fails, stored events have lost their consumers: put the function right.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("123456789", "06"),  # the check value of CRC-32, cbf43926
        ("EURUSD", "11"),
        ("GBPUSD", "09"),
        ("USDJPY", "04"),
        ("AUDUSD", "14"),
        ("XAUUSD", "05"),
        ("demo", "00"),
        ("replay-20140501", "02"),
        ("a", "03"),
        ("A_b-9", "09"),
        ("0" * 64, "11"),
    ],
)
def test_partitions_never_change(key: str, expected: str) -> None:
    assert partition(key) == expected


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_every_key_has_one_of_sixteen_partitions(key: str) -> None:
    assert partition(key) in ALL_PARTITIONS
    assert int(partition(key)) == crc32(key.encode("utf-8")) % 16


@pytest.mark.parametrize("text", ["", "EUR/USD", "a.b", "a b", "x" * 65, "é", "*", ">", "a\n"])
def test_what_would_break_a_subject_is_no_key(text: str) -> None:
    assert not is_key(text)
    with pytest.raises(ValueError, match="not a key"):
        partition(text)


def test_a_subject_says_event_class_partition_and_key() -> None:
    text = subject("fxmesh.trading.v1.OrderPlaced", Retention.MONEY, "demo")

    assert text == "fxmesh.trading.v1.OrderPlaced.money.00.demo"
    assert parse_subject(text) == Subject("fxmesh.trading.v1.OrderPlaced", "money", "00", "demo")


def test_a_subject_with_too_few_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="not the subject of an event"):
        parse_subject("a.b.c")


def test_streams_of_an_area_are_apart_by_class() -> None:
    money, decisions = Stream("trading", Retention.MONEY), Stream("trading", Retention.DECISION)

    assert (money.name, decisions.name) == ("TRADING_MONEY", "TRADING_DECISION")
    assert money.subjects == "fxmesh.trading.*.*.money.>"
    assert money.filter("07") == "fxmesh.trading.*.*.money.07.>"
    assert durable("data_pipeline", "07") == "data_pipeline_07"


def test_two_consumers_have_two_letters_for_one_event() -> None:
    assert dead_letter_id("data_pipeline", "e") != dead_letter_id("monitoring_alerting", "e")
    assert dead_letter_subject("data_pipeline", "a.b.07.k") == "dlq.data_pipeline.a.b.07.k"
