"""Where an attempt of a call goes: one instance of a target, and who is told how it went there."""

from __future__ import annotations

from typing import Any, Protocol

import grpc


class Endpoint:
    """One instance. A target that looks after several tells by `fared` which to use less."""

    __slots__ = ("address", "channel", "methods")

    def __init__(self, channel: grpc.aio.Channel, address: str = "") -> None:
        self.channel = channel
        self.address = address
        self.methods: dict[str, Any] = {}
        """The callables of `channel` that were used before, by path."""

    def fared(self, *, well: bool) -> None:
        """An attempt ended here, `well` unless nothing answered (`outcomes.py` says what counts)."""

    def spare(self, tried: tuple[Endpoint, ...]) -> bool:
        """Whether a fit instance, neither this one nor among those `tried`, is there to take over."""
        return False


class Target(Protocol):
    """Chooses where an attempt goes: it knows the registry, one address, or this process."""

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """A live instance, another than those `tried` by this call where there is one, above all another than
        the last; None when no instance is known at the moment.
        """

    async def wait(self, deadline: float) -> Endpoint:
        """The same, waiting for one until `deadline` (monotonic). Raises FxError `PEER_UNAVAILABLE`."""

    def known(self) -> bool:
        """Whether an instance is known, without taking a turn."""
