"""Batches of ticks ↔ packed columns."""

from __future__ import annotations

from fxmesh.types.v1 import market_pb2

from services.market.ticks import TickBatch


def tick_columns(batch: TickBatch) -> market_pb2.TickColumns:
    """Times as offsets from the first."""
    first = batch.times_ns[0] if len(batch) else 0
    return market_pb2.TickColumns(
        price_exponent=-batch.digits,
        first_time_ns=first,
        time_offset_ns=[time - first for time in batch.times_ns],
        bid=batch.bids,
        ask=batch.asks,
        bid_size=batch.bid_sizes,
        ask_size=batch.ask_sizes,
    )


def tick_batch(
    session_id: str, symbol: str, first_sequence: int, columns: market_pb2.TickColumns
) -> TickBatch:
    """The inverse, as lists of Python ints. Raises ValueError for columns that do not fit each other."""
    first = columns.first_time_ns
    return TickBatch(
        session_id,
        symbol,
        first_sequence,
        -columns.price_exponent,
        [first + offset for offset in columns.time_offset_ns],
        list(columns.bid),
        list(columns.ask),
        list(columns.bid_size),
        list(columns.ask_size),
    )
