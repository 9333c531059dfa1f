"""The way of cancels and the kill switch to a peer: its priority port, where one is known and answers.

At the port for all calls they share connections with those. It serves them too, and takes over where there is
no other, or nobody answers there: an instance of an earlier release, a firewall that knows one port only.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc

from interceptors.endpoints import Endpoint, Target
from services.errors import FxError

GRACE_S = 0.1
"""How much later than the ordinary way the priority way may be found and is still preferred."""


class PriorityTarget:
    """Prefers `priority` to `ordinary`; both lead to the same service."""

    def __init__(self, priority: Target, ordinary: Target) -> None:
        self._priority = priority
        self._ordinary = ordinary

    def known(self) -> bool:
        """Whether an instance is known, by either way."""
        return self._priority.known() or self._ordinary.known()

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """One by the priority way, unless it has just failed or cannot be connected to."""
        found = self._priority.pick(tried)
        if found is None or found in tried or _unreachable(found):
            return self._ordinary.pick(tried) or found
        return found

    async def wait(self, deadline: float) -> Endpoint:
        """The first found by either way. Raises FxError as the ordinary one."""
        priority = asyncio.ensure_future(self._priority.wait(deadline))
        ordinary = asyncio.ensure_future(self._ordinary.wait(deadline))
        try:
            await asyncio.wait((priority, ordinary), return_when=asyncio.FIRST_COMPLETED)
            with suppress(FxError, TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    return await priority
            return await ordinary
        finally:
            for each in (priority, ordinary):
                each.cancel()
                each.add_done_callback(_retrieve)


def _unreachable(endpoint: Endpoint) -> bool:
    return endpoint.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE


def _retrieve(found: asyncio.Future[Endpoint]) -> None:
    """Nobody waits for it any more."""
    if not found.cancelled():
        found.exception()
