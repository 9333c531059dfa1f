"""The instance of a service that leads, reached over the mesh by those that follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc

from services.errors import FxError, Kind
from services.runtime.health import Health
from services.runtime.policy import ServicePolicy
from services.runtime.ports import Channels, Leadership

DEPENDENCY = "leader"
StubT = TypeVar("StubT")


def no_leader(detail: str) -> FxError:
    """Nobody leads at the moment: within seconds one of the instances will."""
    return FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", detail, retry_after_s=1.0)


class Leaders(Generic[StubT]):
    """Stubs of whoever leads `service`. `stub` is the generated class."""

    def __init__(
        self,
        service: ServicePolicy,
        channels: Channels,
        leadership: Leadership,
        stub: Callable[[grpc.aio.Channel], StubT],
    ) -> None:
        self._service = service
        self._channels = channels
        self._leadership = leadership
        self._made = stub
        self._stub: tuple[str, StubT] | None = None

    @property
    def service(self) -> str:
        """Its folder name: the instances are of one service, and so are we."""
        return self._service.name

    def at(self, address: str) -> StubT:
        """The leader at an address."""
        if self._stub is None or self._stub[0] != address:
            self._stub = address, self._made(self._channels.at(self._service.full_name, address))
        return self._stub[1]

    async def elsewhere(self, patience_s: float) -> StubT | None:
        """The leader's stub, None when this process leads.

        Waits for a leader to be known; FxError UNAVAILABLE `PEER_UNAVAILABLE` after `patience_s`.
        """
        leadership = self._leadership
        if not self._leads() and not leadership.leader:
            try:
                async with asyncio.timeout(patience_s):
                    await leadership.until(lambda: self._leads() or bool(leadership.leader))
            except TimeoutError:
                raise no_leader(f"no instance of {self.service} leads at the moment") from None
        return None if self._leads() else self.at(leadership.leader)

    async def changed(self) -> None:
        """Return once another one leads than now."""
        await another(self._leadership)

    def _leads(self) -> bool:
        return self._leadership.term > 0


async def show_leader(leadership: Leadership, health: Health) -> None:
    """Background: tell in the process's health whom it follows, from the first time that it does."""
    await leadership.until(lambda: not leadership.term)
    health.starting(DEPENDENCY, "no instance leads yet", required=False)
    while True:
        if leadership.term:
            health.up(DEPENDENCY, "this instance leads")
        elif leadership.leader:
            health.up(DEPENDENCY, f"follows {leadership.leader}")
        else:
            health.down(DEPENDENCY, "no instance leads")
        await another(leadership)


async def another(leadership: Leadership) -> None:
    """Return once another one leads than now, or the same one anew."""
    seen = leadership.term, leadership.leader
    await leadership.until(lambda: (leadership.term, leadership.leader) != seen)
