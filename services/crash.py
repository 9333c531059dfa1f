"""Named points at which a crash hurts: where a test can end a process, or what stands for one, and see what
is left.

A point costs one comparison while nobody watches. `services/runtime/crash.py` kills the real process at one;
`tests/kill` ends thousands of processes that live inside one. `tests/kill/test_points.py` keeps the names
below, the code, the table in docs/faults.md and the tests together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

POINTS = {
    "call.received": "a call is let in and its handler has not begun; /<method>",
    "call.before_reply": "the handler is done, its effect committed, and the caller not answered; /<method>",
    "event.received": "events are handed to their handler, which has not begun; /<event>",
    "event.after_effect": "a handler of events is done and nothing acknowledged; /<event>",
    "trading.applied": "an input has passed its checks and changed the books in memory only; /<input>",
    "trading.before_store": "what changed is on its way to the store, in its place among others; /<input>",
    "trading.journaled": "in the transaction: the journal is written, no row is; /<input>",
    "trading.rows_written": "in the transaction: journal and rows are written, no event is; /<input>",
    "trading.events_written": "in the transaction: everything is written; /<input>",
    "store.before_commit": "a group of transactions is written and not committed",
    "store.after_commit": "a group of transactions is committed and nobody knows it yet",
    "trading.stored": "the desk knows of the commit, and nobody else does; /<input>",
    "trading.before_venue": "requests are durable and the venue has not had them; /<request>",
    "trading.after_venue": "the venue has answered, and its answers are in memory only; /<request>",
    "venue.heard": "a venue has told reports and none of them is applied; /<report>",
    "trading.settled": "what an input led to is stored, and its caller not told; /<input>",
    "outbox.before_publish": "an event is committed and not published",
    "bus.between_events": "of events published together some are stored and some are not",
    "outbox.after_publish": "an event is published and still in the outbox",
    "outbox.after_removal": "an event is published and gone from the outbox",
}
"""`/<…>`: what a crash there can be narrowed to."""

Watcher: TypeAlias = Callable[[str, tuple[str, ...]], None]

_watcher: Watcher | None = None


def watch(watcher: Watcher | None) -> None:
    """Call `watcher(point, of)` at every point from now on, wherever the process is; None: nobody."""
    global _watcher  # noqa: PLW0603 a process dies as a whole
    _watcher = watcher


def crash_point(point: str, *of: str) -> None:
    """Die here if told so. `of`: the method, event, inputs or requests at hand."""
    if _watcher is not None:
        _watcher(point, of)
