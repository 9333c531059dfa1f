"""Ticks and bars come back from their messages as they went in."""

import pytest
from fxmesh.types.v1 import market_pb2

from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.wire.bars import bar, bar_of
from services.wire.ticks import tick_batch, tick_columns

TIME = 1_357_020_000_000_000_001


@pytest.mark.parametrize(
    "batch",
    [
        TickBatch("s1", "EURUSD", 7, 5, [TIME, TIME + 3], [131_000, 131_001], [131_002] * 2, [1, 2], [3, 4]),
        TickBatch("s1", "USDJPY", 1, 3, [TIME], [86_500], [86_510], [], []),
        TickBatch("s1", "USDJPY", 4, 3, [], [], [], [], []),
    ],
    ids=["sizes", "no sizes", "empty"],
)
def test_a_batch_comes_back(batch: TickBatch) -> None:
    sent = market_pb2.TickColumns.FromString(tick_columns(batch).SerializeToString())
    assert tick_batch(batch.session_id, batch.symbol, batch.first_sequence, sent) == batch


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 times, 1 bids"):
        tick_batch("s1", "EURUSD", 1, market_pb2.TickColumns(time_offset_ns=[0, 1], bid=[1], ask=[1, 1]))


def test_a_bar_comes_back_with_its_prices_as_text_between() -> None:
    value = Bar("EURUSD", Timeframe.M5, TIME - 1, 5, 131_000, 131_009, 130_999, 131_005, 1, 2, 3, 4, 12, True)
    message = bar(value)
    assert (message.bid_high, message.ask_open) == ("1.31009", "0.00001")
    assert bar_of(message, 5) == value
