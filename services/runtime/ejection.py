"""The instances of one service and who of them gets the next attempt: round robin among those that are fit.

An instance is fit when its last attempt was answered, or its connection is up: one that cannot be reached at
the moment gets no call while another can. Five attempts in a row without an answer (UNAVAILABLE,
DEADLINE_EXCEEDED, no connection) put an instance out for 5 s; the next failure after its return, without an
answer in between, for 10, and so on to 60. The last one is never put out, so that this works with two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import grpc
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.endpoints import Endpoint

IN_A_ROW = 5
FIRST_S = 5.0
LONGEST_S = 60.0
_FORGOTTEN_S = 2 * LONGEST_S
"""So long after it was last put out an instance begins at the shortest time again."""

_log = structlog.get_logger("fxmesh.mesh")


def in_words() -> str:
    """The rule, for whoever asks what applies."""
    return (
        f"an instance that leaves {IN_A_ROW} attempts in a row unanswered is out for {FIRST_S:g} s, "
        f"then twice as long, at most {LONGEST_S:g} s; never the last one"
    )


class Member(Endpoint):
    """One instance of a rotation and what its last attempts say of it."""

    __slots__ = ("answering", "failures", "last_out", "out_until", "rotation", "times_out")

    def __init__(self, channel: grpc.aio.Channel, address: str, rotation: Rotation) -> None:
        super().__init__(channel, address)
        self.rotation = rotation
        self.answering = False
        """The last attempt was answered."""
        self.failures = 0
        """Attempts in a row that were not."""
        self.out_until = 0.0
        """0 while it is in."""
        self.times_out = 0
        self.last_out = 0.0
        """When it was last put out."""

    def fared(self, *, well: bool) -> None:
        """Keep count, and leave the rotation when it is enough."""
        if well:
            self.answering = True
            self.failures = 0
            return
        self.answering = False
        self.failures += 1
        if self.failures >= IN_A_ROW:
            self.rotation.eject(self)

    def spare(self, tried: tuple[Endpoint, ...]) -> bool:
        """Whether another is fit."""
        return any(each is not self and each not in tried and each.fit() for each in self.rotation.members)

    def fit(self) -> bool:
        """In the rotation, and answering or at least connected."""
        return not self.out_until and (
            self.answering or self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY
        )


class Rotation:
    """The members of one service. `now` is in seconds and does not go back."""

    def __init__(self, service: str, now: Callable[[], float] = time.monotonic) -> None:
        self.members: tuple[Member, ...] = ()
        self.ejections = 0
        self._service = service
        self._now = now
        self._turn = 0
        self._any_out = False

    def replace(self, members: Iterable[Member]) -> None:
        """The instances there are now; those that were there before keep their history."""
        self.members = tuple(members)

    @property
    def out(self) -> int:
        """Members that get no attempts at the moment."""
        return sum(bool(each.out_until) for each in self.members)

    def next(self, tried: tuple[Endpoint, ...] = ()) -> Member | None:
        """Whose turn it is; None when there is nobody."""
        members = self.members
        if len(members) < 2:
            return members[0] if members else None
        if self._any_out:
            self._readmit()
        for _ in members:
            self._turn = (self._turn + 1) % len(members)
            member = members[self._turn]
            if member not in tried and member.fit():
                return member
        return self._least_unfit(tried)

    def eject(self, member: Member) -> None:
        """Put `member` out for a while, unless nobody else is in."""
        now = self._now()
        others_in = any(not each.out_until for each in self.members if each is not member)
        if member.out_until or not others_in or member not in self.members:
            return
        if now - member.last_out > _FORGOTTEN_S:
            member.times_out = 0
        seconds = min(LONGEST_S, FIRST_S * 2**member.times_out)
        member.times_out += 1
        member.last_out, member.out_until = now, now + seconds
        self._any_out = True
        self.ejections += 1
        _log.warning(
            "endpoint.ejected",
            grpc_service=self._service,
            address=member.address,
            failures=member.failures,
            seconds=seconds,
        )

    def _readmit(self) -> None:
        now = self._now()
        for member in self.members:
            if member.out_until and now >= member.out_until:
                member.out_until = 0.0
                _log.info("endpoint.returned", grpc_service=self._service, address=member.address)
        self._any_out = any(each.out_until for each in self.members)

    def _least_unfit(self, tried: tuple[Endpoint, ...]) -> Member:
        """Nobody is fit: another than the one that just failed if possible, one that is in, one not tried,
        one whose connection has not failed, in this order of importance; whose turn it is among equals.
        """
        first = self._turn + 1
        members = (*self.members[first:], *self.members[:first])

        def unfitness(member: Member) -> tuple[bool, ...]:
            failing = member.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
            return (tried[-1:] == (member,), bool(member.out_until), member in tried, failing)

        member = min(members, key=unfitness)
        self._turn = self.members.index(member)
        return member


class Rotations(Collector):
    """The rotations of one process and their numbers, shown by `registry` if there is one."""

    def __init__(
        self, registry: CollectorRegistry | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._by_service: dict[str, Rotation] = {}
        if registry is not None:
            registry.register(self)

    def of(self, service: str) -> Rotation:
        """The rotation of a service by full gRPC name."""
        rotation = self._by_service.get(service)
        if rotation is None:
            rotation = self._by_service[service] = Rotation(service, self._now)
        return rotation

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        label = ["grpc_service"]
        known = GaugeMetricFamily(
            "fxmesh_client_endpoints", "Instances of a peer that are known.", labels=label
        )
        out = GaugeMetricFamily(
            "fxmesh_client_ejected", "Instances of a peer that get no calls for a while.", labels=label
        )
        ejections = CounterMetricFamily(
            "fxmesh_client_ejections", "Times an instance of a peer was put out.", labels=label
        )
        for service, rotation in self._by_service.copy().items():
            known.add_metric([service], len(rotation.members))
            out.add_metric([service], rotation.out)
            ejections.add_metric([service], rotation.ejections)
        yield from (known, out, ejections)
