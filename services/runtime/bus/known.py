"""Which streams this process has seen, so that one that was deleted is not made again too soon.

nats-server tells that a stream is gone before it has removed its files. One that is made meanwhile under the
same name loses its folder to that removal: the server then refuses events, or acknowledges them and forgets
them at its next start. No word of the server marks the end, so whoever has seen a stream waits before making
it again.
"""

from __future__ import annotations

import asyncio
import time

from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from structlog.typing import FilteringBoundLogger

GONE_S = 3.0
"""2.9 takes milliseconds for what a test stores, and a second was enough each time it was tried; half a
gigabyte on a slow disk takes longer.
"""
_LOOK_S = 0.1


class KnownStreams:
    """One a link: what was seen outlives the connection it was seen on."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._seen: set[str] = set()

    def see(self, name: str) -> None:
        """It is there."""
        self._seen.add(name)

    async def find(self, jetstream: JetStreamContext, name: str) -> api.StreamInfo | None:
        """The stream as the server has it; None where it may be made. Raises nats errors.

        One never seen here is not looked for. One that was is None only after it has been missing for
        `GONE_S` at a stretch: somebody else may make it meanwhile, or it may come and go again.
        """
        if name not in self._seen:
            return None
        missing_since: float | None = None
        while True:
            try:
                return await jetstream.stream_info(name)
            except NotFoundError:
                now = time.monotonic()
            if missing_since is None:
                missing_since = now
                self._log.warning("bus.stream_gone", stream=name, made_again_after_s=GONE_S)
            elif now - missing_since >= GONE_S:
                return None
            await asyncio.sleep(_LOOK_S)
