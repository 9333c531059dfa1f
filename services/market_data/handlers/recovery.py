"""After a restart: sessions that ran when the process before this one ended are over, and everybody is told.

Consumers of the bus get the end that was not published; readers of the tick stream, which come back with
their positions, get it from the history. Both may know it already: an end said twice changes nothing.
"""

from __future__ import annotations

from services.market_data.domain.sessions import FeedKind
from services.market_data.handlers.feed import Feed, ends
from services.market_data.handlers.replays import KEPT_SESSIONS, Replays
from services.market_data.ports import Clock, SessionRecord, SessionRecords

_KEPT = {FeedKind.REPLAY: KEPT_SESSIONS, FeedKind.SYNTHETIC: 1}


async def recover(records: SessionRecords, feed: Feed, replays: Replays, clock: Clock) -> None:
    """End what ran, remember what ended lately, forget the rest."""
    known, missed = records.all(), []
    for record in known:
        over = ends(record.session)
        for each in over:
            feed.history.add(each)
        if record.session.active:
            missed += over
            _end(record, clock.now_ns())
        if record.replay is not None:
            replays.remember(record.replay)
    if missed:
        await feed.end_past(missed)
    for record in known:
        records.keep(record)
    for kind, kept in _KEPT.items():
        of_kind = [each.session.session_id for each in known if each.session.kind is kind]
        for session_id in of_kind[:-kept]:
            records.forget(session_id)


def _end(record: SessionRecord, now_ns: int) -> None:
    record.session.ended_ns = now_ns
    if record.replay is not None:
        record.replay.interrupted(now_ns)
