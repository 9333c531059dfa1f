"""OANDA's recorded pricing stream: the real one, and each way in which a line is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.errors import FxError
from services.market.formats import Reject, Tick, read_tick_blocks, read_ticks, sniff
from tests.market.formats.conftest import MakeFile

TIME = "2016-10-27T08:38:45.664613867Z"
TIME_NS = 1_477_557_525_664_613_867
PRICE: dict[str, Any] = {
    "type": "PRICE",
    "instrument": "EUR_USD",
    "time": TIME,
    "status": "tradeable",
    "bids": [{"price": "1.09177", "liquidity": 10_000_000}, {"price": "1.09175", "liquidity": 10_000_000}],
    "asks": [{"price": "1.09188", "liquidity": 5_000_000}],
    "closeoutBid": "1.09173",
    "closeoutAsk": "1.09192",
}
HEARTBEAT = {"type": "HEARTBEAT", "time": "2016-10-27T08:38:44.327443673Z"}
LATER = {**PRICE, "time": "2016-10-27T08:38:46Z"}


def lines(*objects: object) -> str:
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in objects)


@pytest.fixture
def stream(shared_data: Path, data_file: MakeFile) -> Path:
    """The real stream of EUR_JPY and EUR_USD, an object a line as it came over the wire."""
    name = "oanda_v20/pricing_v3_accounts_accountID_pricing_stream.json"
    return data_file(lines(*json.loads((shared_data / name).read_text())["response"]), "stream.jsonl")


def test_the_real_stream(stream: Path) -> None:
    assert sniff(stream).name == "oanda-json"
    with read_tick_blocks(stream, symbol="EURJPY") as reading:
        (block,) = list(reading)

    assert list(zip(block.times_ns, block.bids, block.asks, strict=True)) == [
        (1_477_557_523_094_548_890, 114_295, 114_312),
        (1_477_557_525_681_572_782, 114_298, 114_315),
    ]
    assert (block.bid_sizes, block.ask_sizes) == ([1_000_000] * 2, [1_000_000] * 2)
    assert [(each.line, each.reason) for each in block.rejects] == [(3, "WRONG_SYMBOL")]
    assert (reading.summary.lines, reading.summary.skipped) == (4, 1)


def test_a_stream_of_several_symbols_is_asked_which(stream: Path) -> None:
    with pytest.raises(FxError, match=r"several symbols \(EURJPY, EURUSD\): say which") as raised:
        read_tick_blocks(stream)
    assert raised.value.reason == "SYMBOL_REQUIRED"


def test_prices_of_a_snapshot_have_no_type(shared_data: Path, data_file: MakeFile) -> None:
    name = "oanda_v20/pricing_v3_accounts_accountID_pricing.json"
    prices = json.loads((shared_data / name).read_text())["response"]["prices"]

    (tick, _) = list(read_ticks(data_file(lines(*prices)), symbol="EURUSD"))

    assert tick == Tick(1, 1, 1_475_645_296_729_643_492, 112_157, 112_170, 10_000_000, 10_000_000)


@pytest.mark.parametrize("packed", [False, True])
def test_heartbeats_are_passed_and_the_symbol_is_found(data_file: MakeFile, packed: bool) -> None:
    path = data_file(lines(HEARTBEAT, PRICE, HEARTBEAT, LATER), "ticks.jsonl", packed=packed)

    first, last = list(read_ticks(path, strict=True))

    assert first == Tick(2, 1, TIME_NS, 109_177, 109_188, 10_000_000, 5_000_000)
    assert isinstance(last, Tick) and (last.line, last.sequence) == (4, 2)


@pytest.mark.parametrize("change", [{"status": "non-tradeable"}, {"status": "invalid"}, {"tradeable": False}])
def test_a_price_nobody_could_trade_on_is_noted_and_no_tick(
    data_file: MakeFile, change: dict[str, object]
) -> None:
    path = data_file(lines(PRICE, {**PRICE, **change}, LATER))

    with read_tick_blocks(path, strict=True) as reading:
        (block,) = list(reading)

    assert block.lines == [1, 3]
    assert [(note.line, note.reason) for note in block.notes] == [(2, "NOT_TRADEABLE")]
    assert reading.summary.notes == {"NOT_TRADEABLE": 1}


def test_the_closeout_price_stands_in_for_a_side_without_levels(data_file: MakeFile) -> None:
    bare = {name: value for name, value in PRICE.items() if name != "asks"}

    (tick,) = list(read_ticks(data_file(lines({**bare, "bids": []}))))

    assert tick == Tick(1, 1, TIME_NS, 109_173, 109_192, 0, 0)


def test_numbers_that_are_no_strings_are_exact_too(data_file: MakeFile) -> None:
    text = json.dumps(PRICE).replace('"1.09177"', "1.09177").replace("10000000", '"10000000"')

    (tick,) = list(read_ticks(data_file(f"{text}\n")))

    assert tick == Tick(1, 1, TIME_NS, 109_177, 109_188, 10_000_000, 5_000_000)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PRICE.items() if name not in names}


def bid(price: object, liquidity: object = 1) -> dict[str, Any]:
    return {**PRICE, "bids": [{"price": price, "liquidity": liquidity}]}


BAD_LINES = [
    ("nonsense", "BAD_JSON", "the line is no JSON object: Expecting value"),
    ("{", "BAD_JSON", "no JSON object"),
    ("[" * 4000, "BAD_JSON", "no JSON object"),
    ("[1]", "BAD_JSON", 'the line is ["1"], expected a JSON object'),
    ('{"type": NaN}', "BAD_JSON", "it is not sound"),
    ({**PRICE, "type": "TICK"}, "BAD_JSON", 'its type is "TICK", expected PRICE or HEARTBEAT'),
    (without("instrument"), "BAD_JSON", "instrument is missing"),
    ({**PRICE, "instrument": ["EUR_USD"]}, "BAD_JSON", 'instrument is ["EUR_USD"]'),
    ({**PRICE, "instrument": "GBP_USD"}, "WRONG_SYMBOL", "'GBP_USD', expected EURUSD"),
    (without("time"), "BAD_JSON", "time is missing"),
    ({**PRICE, "time": "1477557525.664613867"}, "BAD_TIMESTAMP", "expected one like 2016-10-27T"),
    ({**PRICE, "time": "2016-10-27T08:38:45.6646138671Z"}, "BAD_TIMESTAMP", "expected one like"),
    ({**PRICE, "time": "2016-10-27T08:38:45.664613866Z"}, "TIME_BACKWARDS", "line 1 was at"),
    ({**PRICE, "bids": "1.09"}, "BAD_JSON", 'bids is "1.09", expected a list'),
    ({**PRICE, "bids": [1.09]}, "BAD_JSON", "expected a list of prices"),
    (without("bids", "closeoutBid"), "BAD_PRICE", "neither bids nor closeoutBid"),
    (bid("1.0917e1"), "BAD_PRICE", "bids is '1.0917e1'"),
    (bid(None), "BAD_JSON", "price is missing"),
    (bid("-1.09177"), "NON_POSITIVE_PRICE", "'-1.09177'"),
    (bid("1.091771"), "PRICE_PRECISION", "at most 5 decimals"),
    (bid("109.177"), "PRICE_IMPLAUSIBLE", "0.68 to 1.95"),
    (bid("1.09177", 1.5), "BAD_SIZE", "liquidity of bids is '1.5'"),
    (bid("1.09177", -1), "BAD_SIZE", "'-1'"),
    ("x" * 5000, "BAD_FIELD_COUNT", "more than 4096 bytes"),
]


@pytest.mark.parametrize(("line", "reason", "detail"), BAD_LINES)
def test_a_bad_line_is_reported_and_the_ticks_around_it_are_kept(
    data_file: MakeFile, line: object, reason: str, detail: str
) -> None:
    path = data_file(lines(PRICE, line, LATER))

    first, reject, last = list(read_ticks(path, symbol="EURUSD"))

    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, reason)
    assert detail in reject.detail
    assert isinstance(first, Tick) and isinstance(last, Tick) and (last.line, last.sequence) == (3, 2)
    with pytest.raises(FxError, match="line 2: "):
        list(read_ticks(path, symbol="EURUSD", strict=True))


def test_a_line_that_was_cut(data_file: MakeFile) -> None:
    path = data_file(lines(PRICE) + json.dumps(LATER)[:-40])

    _, reject = list(read_ticks(path))

    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, "TRUNCATED")


def test_a_stream_of_heartbeats_has_no_rows(data_file: MakeFile) -> None:
    with pytest.raises(FxError) as raised:
        list(read_ticks(data_file(lines(HEARTBEAT)), symbol="EURUSD"))
    assert raised.value.reason == "EMPTY_FILE"
