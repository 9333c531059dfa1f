"""Ways to the peers: one channel a service, which picks a live instance for each call.

Instances come from the registry (round robin over those that are fit, `ejection.py`), from DNS in Kubernetes
(round robin by gRPC: there, which instance gets a call is not ours to say), or from a table of addresses
(CLI, tests). Connections are kept one an address and shared; a frozen or vanished peer is found by pings
within 15 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import grpc

from interceptors.calls import ClientCall
from interceptors.client import PlannedChannel
from interceptors.endpoints import Endpoint, Target
from interceptors.plan import Concerns, Place
from services.errors import FxError, Kind
from services.runtime.ejection import Member, Rotation, Rotations
from services.runtime.policy import BATCH_REQUEST_BYTES, METADATA_BYTES, service_policy
from services.runtime.ports import Registry
from services.runtime.priority import PriorityTarget
from services.runtime.renewed import RenewedChannel

if TYPE_CHECKING:
    from services.runtime.certificates import Certificates

# An answer may be as large as the largest request, with some room for what surrounds a batch.
_ANSWER_BYTES = BATCH_REQUEST_BYTES + 64 * 1024
_LAST_CALLS_S = 30.0
"""How long calls on the connection of a withdrawn instance may go on: longer than that instance's own drain.
"""

FIRST_S = 30.0
"""How long calls may wait for the first instance of a peer, from when it was first asked for: all may come up
in any order.
"""
GAP_S = 1.0
"""How long they may wait once the last known one is missed: its beat may only have been late. A peer that is
gone shall cost no caller the rest of its deadline.
"""

_OF_A_SERVICE = (Place.CACHE, Place.RETRY, Place.BREAKER)
"""What a caller does for a service, whichever instance answers."""

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.enable_retries", 0),  # one layer retries, and it is the plan
    ("grpc.enable_http_proxy", 0),  # peers are never behind the proxy of a developer's machine
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    (
        "grpc.http2.ping_timeout_ms",
        5_000,
    ),  # measured: this one finds a black hole, keepalive_timeout alone did not
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name the time one attempt to connect may take: a busy peer needs more than its network does.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", _ANSWER_BYTES),
    ("grpc.max_send_message_length", _ANSWER_BYTES),
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
)
_DNS_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)


def open_channel(
    target: str, *, dns: bool = False, tls: Certificates | None = None, name: str = ""
) -> grpc.aio.Channel:
    """A bare connection with the platform's options. `target` is `host:port`, or `dns:///…` with `dns`.

    With `tls` the peer must show a certificate that says `name`.
    """
    options = (*OPTIONS, *_DNS_OPTIONS) if dns else OPTIONS
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    return RenewedChannel(target, name, tls, options)


class Connections:
    """One open connection an address, opened when first asked for. With `tls` to peers named `name` only."""

    def __init__(self, tls: Certificates | None = None, name: str = "") -> None:
        self._tls = tls
        self._name = name
        self._named: dict[str, Connections] = {}
        self._open: dict[str, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, service: str) -> Connections:
        """Those to instances of one service by full gRPC name, which their certificates must say; without TLS
        there is no difference.
        """
        if self._tls is None:
            return self
        if service not in self._named:
            self._named[service] = Connections(self._tls, service_policy(service).dns_name)
        return self._named[service]

    def get(self, address: str) -> grpc.aio.Channel:
        """The connection to `address`."""
        channel = self._open.get(address)
        if channel is None:
            channel = self._open[address] = self._new(address)
        return channel

    def _new(self, address: str) -> grpc.aio.Channel:
        return open_channel(address, dns=address.startswith("dns:"), tls=self._tls, name=self._name)

    def addresses(self) -> tuple[str, ...]:
        """Addresses with a connection, in order of opening."""
        return tuple(self._open)

    def drop(self, address: str) -> None:
        """Forget an address; calls under way on its connection may finish."""
        channel = self._open.pop(address, None)
        if channel is not None:
            task = asyncio.get_running_loop().create_task(channel.close(_LAST_CALLS_S))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all at once, calls under way included."""
        for named in self._named.values():
            await named.close()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        channels, self._open = list(self._open.values()), {}
        for channel in channels:
            await channel.close()


class FixedTarget:
    """Always the same address."""

    def __init__(self, connections: Connections, address: str) -> None:
        self._connections = connections
        self._address = address
        self._endpoint: Endpoint | None = None

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint:
        """The one there is; whether anybody is there shows when a call is made."""
        if self._endpoint is None:
            self._endpoint = Endpoint(self._connections.get(self._address), self._address)
        return self._endpoint

    def known(self) -> bool:
        """Yes."""
        return True

    async def wait(self, deadline: float) -> Endpoint:
        """The one there is."""
        return self.pick()


class RegistryTarget:
    """The live instances of one service, in turn; `rotation` leaves out those that do not answer."""

    def __init__(
        self,
        connections: Connections,
        registry: Registry,
        service: str,
        rotation: Rotation | None = None,
        *,
        priority: bool = False,
    ) -> None:
        """With `priority` at their priority addresses, those of them that have one."""
        self._connections = connections
        self._registry = registry
        self._service = service
        self._addresses = registry.priority_endpoints if priority else registry.endpoints
        self._rotation = rotation or Rotation(service)
        self._known: tuple[str, ...] = ()
        self._patience_s = FIRST_S
        self._waited_for: float | None = None
        """Until when an instance is waited for; None: none is missed."""

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """The instance whose turn it is, None when there is no instance."""
        addresses = self._addresses(self._service)
        if addresses != self._known:
            self._follow(addresses)
        return self._rotation.next(tried)

    def known(self) -> bool:
        """Whether there is an instance."""
        return bool(self._addresses(self._service))

    def _follow(self, addresses: tuple[str, ...]) -> None:
        had = {member.address: member for member in self._rotation.members}
        for gone in had.keys() - set(addresses):
            self._connections.drop(gone)
        self._rotation.replace(had.get(each) or self._member(each) for each in addresses)
        self._known = addresses
        if addresses:
            self._patience_s, self._waited_for = GAP_S, None

    def _member(self, address: str) -> Member:
        return Member(self._connections.get(address), address, self._rotation)

    async def wait(self, deadline: float) -> Endpoint:
        """Wait until an instance appears. Raises FxError UNAVAILABLE `PEER_UNAVAILABLE` at `deadline`, or as
        soon as one has been missed for too long.
        """
        if self._waited_for is None:
            self._waited_for = time.monotonic() + self._patience_s
        until = None if deadline == float("inf") else min(deadline, self._waited_for)
        try:
            # Loop time is monotonic time. Nothing is awaited between looking and `changed()`, so no change is
            # missed.
            async with asyncio.timeout_at(until):
                while (endpoint := self.pick()) is None:
                    await self._registry.changed()
                return endpoint
        except TimeoutError as late:
            detail = f"no instance of {self._service} is running"
            raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", detail, retry_after_s=1.0) from late


Find: TypeAlias = Callable[[Connections, str], Target]


class MeshChannels:
    """Channels by service name; `find` makes the target of one that was not asked for before, and
    `find_priority` the one at its priority port, where it may have such a port.
    """

    def __init__(
        self,
        find: Find,
        concerns: Concerns[ClientCall],
        tls: Certificates | None = None,
        find_priority: Find | None = None,
    ) -> None:
        self._find = find
        self._find_priority = find_priority
        self._concerns = concerns
        self._connections = Connections(tls)
        self._channels: dict[str, PlannedChannel] = {}

    def to(self, service: str) -> grpc.aio.Channel:
        """The channel of a service by full gRPC name; the same object each time."""
        channel = self._channels.get(service)
        if channel is None:
            connections = self._connections.of(service)
            target = self._find(connections, service)
            priority: Target | None = None
            if self._find_priority is not None and service_policy(service).priority_port:
                priority = PriorityTarget(self._find_priority(connections, service), target)
            channel = self._channels[service] = PlannedChannel(target, self._concerns, priority)
        return channel

    def at(self, service: str, address: str) -> grpc.aio.Channel:
        """The channel of the one instance of a service at `address`: for what only that instance can do.

        Without what looks after a service as a whole: no other instance could answer again or instead, and
        its failures say nothing about the others.
        """
        concerns = {place: each for place, each in self._concerns.items() if place not in _OF_A_SERVICE}
        return PlannedChannel(FixedTarget(self._connections.of(service), address), concerns)

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()


def registry_channels(
    registry: Registry,
    concerns: Concerns[ClientCall],
    rotations: Rotations | None = None,
    tls: Certificates | None = None,
) -> MeshChannels:
    """Instances as the registry knows them: the default."""
    rotations = rotations or Rotations()

    def find(connections: Connections, service: str) -> Target:
        return RegistryTarget(connections, registry, service, rotations.of(service))

    def find_priority(connections: Connections, service: str) -> Target:
        return RegistryTarget(connections, registry, service, priority=True)

    return MeshChannels(find, concerns, tls, find_priority)


def dns_address(service: str, *, priority: bool = False) -> str:
    """Where gRPC looks for a service in Kubernetes, by full gRPC name; or for its priority port."""
    policy = service_policy(service)
    return f"dns:///{policy.dns_name}:{policy.priority_port if priority else policy.grpc_port}"


def dns_channels(concerns: Concerns[ClientCall], tls: Certificates | None = None) -> MeshChannels:
    """Kubernetes: one headless name a service (`ServicePolicy.dns_name`), gRPC balances over its
    addresses.
    """

    def find(connections: Connections, service: str) -> Target:
        return FixedTarget(connections, dns_address(service))

    def find_priority(connections: Connections, service: str) -> Target:
        return FixedTarget(connections, dns_address(service, priority=True))

    return MeshChannels(find, concerns, tls, find_priority)


def static_channels(
    addresses: Mapping[str, str], concerns: Concerns[ClientCall], tls: Certificates | None = None
) -> MeshChannels:
    """A table of `host:port` by full gRPC name. Asking for another raises PEER_UNAVAILABLE."""

    def find(connections: Connections, service: str) -> Target:
        if service not in addresses:
            raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", f"no address is known for {service}")
        return FixedTarget(connections, addresses[service])

    return MeshChannels(find, concerns, tls)
