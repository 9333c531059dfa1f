"""Protobuf ↔ domain of market data, both ways, and nowhere else.

`messages` (what callers ask, are answered and what is published), `answers` (what the instance that leads
answers to one that follows).
"""

from services.market_data.wire.messages import (
    book_event,
    clock,
    feed_session,
    instrument_state,
    order_book,
    quote,
    replay,
    start_replay,
    stream_item,
    tick_event,
    update_event,
    upload_part,
)

__all__ = [
    "book_event",
    "clock",
    "feed_session",
    "instrument_state",
    "order_book",
    "quote",
    "replay",
    "start_replay",
    "stream_item",
    "tick_event",
    "update_event",
    "upload_part",
]
