"""Streams that are there and store nothing: their disk is full, or their files are gone.

A publisher sees it by what the server answers. Nothing that a service may do mends it (no service deletes a
stream), so it is named, with what a person can do.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger


class BrokenStreams:
    """Those of one publisher. False where all of them store."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._why: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._why)

    def refuses(self, stream: str, why: str) -> None:
        """The server could not store an event there."""
        new = stream not in self._why
        self._why[stream] = why
        if new:
            self._log.error("bus.stream_broken", stream=stream, detail=_sentence(stream, why))

    def stores(self, stream: str) -> None:
        """It has stored one."""
        if self._why.pop(stream, None) is not None:
            self._log.warning("bus.stream_stores_again", stream=stream)

    def trouble(self) -> str:
        """What a person should know; empty while there is nothing."""
        return "; ".join(_sentence(*each) for each in sorted(self._why.items()))


def _sentence(stream: str, why: str) -> str:
    return (
        f"NATS has stream {stream} and stores nothing in it ({why}): make room where its disk is full; "
        "else restart nats-server or delete the stream there, and it is made anew"
    )
