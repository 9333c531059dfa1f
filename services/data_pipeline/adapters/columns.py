"""Rows to columns of numpy arrays, as DuckDB takes them in one insert, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.data_pipeline.domain.records import EventRecord
from services.market.ticks import TickBatch
from services.quant.bars import BAR_PRICES, Bar
from services.quant.timeframes import Timeframe

Columns = dict[str, npt.NDArray[Any]]
BAR_FIELDS = (
    "symbol, timeframe, open_ns, digits, bid_open, bid_high, bid_low, bid_close,"
    " ask_open, ask_high, ask_low, ask_close, tick_count, partial"
)
_BAR_NUMBERS = (
    "open_ns",
    "digits",
    *BAR_PRICES,
    "tick_count",
)


def tick_columns(batches: Sequence[TickBatch]) -> Columns:
    """Ticks of several batches. Unknown sizes are -1, which the insert turns into NULL."""
    return {
        "source_id": _texts([each.session_id for each in batches for _ in range(len(each))]),
        "symbol": _texts([each.symbol for each in batches for _ in range(len(each))]),
        "sequence": np.concatenate(
            [np.arange(each.first_sequence, each.last_sequence + 1) for each in batches]
        ),
        "time_ns": np.concatenate([each.times_array() for each in batches]),
        "digits": np.concatenate([np.full(len(each), each.digits, dtype=np.int8) for each in batches]),
        "bid": np.concatenate([each.bids_array() for each in batches]),
        "ask": np.concatenate([each.asks_array() for each in batches]),
        "bid_size": np.concatenate([_sizes(each.bid_sizes, len(each)) for each in batches]),
        "ask_size": np.concatenate([_sizes(each.ask_sizes, len(each)) for each in batches]),
    }


def _sizes(sizes: Sequence[int], count: int) -> npt.NDArray[np.int64]:
    return np.asarray(sizes, dtype=np.int64) if sizes else np.full(count, -1, dtype=np.int64)


def _texts(values: Sequence[str | bytes]) -> npt.NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def event_columns(events: Sequence[EventRecord], hashes: npt.NDArray[np.uint64], first_place: int) -> Columns:
    """Events, placed one after the other from `first_place`."""
    return {
        "place": np.arange(first_place, first_place + len(events), dtype=np.int64),
        "id_hash": hashes,
        "event_id": _texts([each.event_id for each in events]),
        "type": _texts([each.type for each in events]),
        "key": _texts([each.key for each in events]),
        "source_id": _texts([each.source_id for each in events]),
        "published_ns": np.array([each.published_ns for each in events], dtype=np.int64),
        "correlation_id": _texts([each.correlation_id for each in events]),
        "causation_id": _texts([each.causation_id for each in events]),
        "payload": _texts([each.payload for each in events]),
    }


def bar_columns(sources: Sequence[str], bars: Sequence[Bar], stored: int) -> Columns:
    """Bars with their sources. `stored` grows with each commit, so the newest source of a time can be
    told.
    """
    columns: Columns = {
        "source_id": _texts(sources),
        "symbol": _texts([each.symbol for each in bars]),
        "timeframe": _texts([each.timeframe.text for each in bars]),
    }
    for name in _BAR_NUMBERS:
        columns[name] = np.array([getattr(each, name) for each in bars], dtype=np.int64)
    columns["partial"] = np.array([each.partial for each in bars], dtype=np.bool_)
    columns["stored"] = np.full(len(bars), stored, dtype=np.int64)
    return columns


def bar_of(row: tuple[Any, ...]) -> Bar:
    """A bar from BAR_FIELDS."""
    return Bar(row[0], Timeframe.parse(row[1]), *row[2:])
