"""The instances of one service as a command reaches them: one that answers, connected to before anything is
sent.

A command lives for one call as a rule, so it has heard nothing of who is well. It connects to all instances
that the supervisor noted and takes the first that is there: one that was killed refuses, a frozen one never
says a word, and neither gets the call. Those that came later are where a call may be repeated.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc

from interceptors.endpoints import Endpoint
from services.cli.addresses import Addresses
from services.errors import FxError, Kind
from services.runtime.channels import Connections
from services.runtime.ejection import Member, Rotation

CONNECT_S = 5.0


class ServiceDown(FxError):
    """Nobody could be connected to: nothing was sent."""

    def __init__(self, service: str, addresses: tuple[str, ...], condition: str) -> None:
        known = f" ({condition})" if condition else ""
        where = " or ".join(addresses)
        detail = f"{service} cannot be reached at {where}{known}; nothing was sent"
        super().__init__(Kind.UNAVAILABLE, "SERVICE_DOWN", detail)
        self.hint = f"See `fxmesh status`, and `fxmesh logs {service}` for why; `up` restarts what crashes."


class Instances:
    """Of `service`, by folder name; with `priority` at their priority ports. Raises CliError NOT_RUNNING
    where no platform is known.
    """

    def __init__(
        self, connections: Connections, where: Addresses, service: str, *, priority: bool = False
    ) -> None:
        self._where = where
        self._service = service
        self._rotation = Rotation(service)
        addresses = where.priority_of(service) if priority else where.all_of(service)
        self._rotation.replace(
            Member(connections.get(address), address, self._rotation) for address in addresses
        )

    def known(self) -> bool:
        return bool(self._rotation.members)

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """One that is connected, another than those tried where there is one."""
        member = self._rotation.next(tried)
        return member if member is not None and _state(member) is grpc.ChannelConnectivity.READY else None

    async def wait(self, deadline: float) -> Endpoint:
        """The first that is there. Raises ServiceDown."""
        connecting = [asyncio.create_task(_connected(member)) for member in self._rotation.members]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    for first in asyncio.as_completed(connecting):
                        if (member := await first) is not None:
                            return member
        finally:
            for each in connecting:
                each.cancel()
        addresses = tuple(member.address for member in self._rotation.members)
        raise ServiceDown(self._service, addresses, self._where.condition(self._service))


async def _connected(member: Member) -> Member | None:
    """`member` once it is connected, None when it refuses."""
    state = _state(member)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            return None
        await member.channel.wait_for_state_change(state)
        state = _state(member)
    return member


def _state(member: Member) -> grpc.ChannelConnectivity:
    return member.channel.get_state(try_to_connect=True)
