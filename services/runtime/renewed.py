"""A channel that shows the current certificate: it opens a fresh connection when that has changed.

gRPC's own channels keep for ever what they were made with, so a new one takes over here, and calls under way
end on the old one. Whoever holds this channel, or a method of it, notices nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from services.runtime.certificates import Certificates

_LAST_CALLS_S = 3600.0
"""How long calls on a connection with an old certificate may go on: the server ends it sooner, see its
`max_connection_age`.
"""


class RenewedChannel(grpc.aio.Channel):
    """To `target`, whose certificate must name it `name`."""

    def __init__(
        self, target: str, name: str, certificates: Certificates, options: Sequence[tuple[str, str | int]]
    ) -> None:
        self._target = target
        self._certificates = certificates
        # Instances are addressed by IP; the name is what their certificates have.
        self._options = (*options, ("grpc.ssl_target_name_override", name))
        self._retired: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self.version, self._channel = self._open()

    def current(self) -> grpc.aio.Channel:
        """The connection for a call that begins now."""
        if self.version != self._certificates.version:
            old = self._channel
            self.version, self._channel = self._open()
            task = asyncio.get_running_loop().create_task(old.close(_LAST_CALLS_S))
            self._retired[task] = old
            task.add_done_callback(lambda done: self._retired.pop(done, None))
        return self._channel

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "stream_stream", arguments, options)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  gRPC's own
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close it and what it replaced; calls under way may take `grace` seconds to end."""
        retired, self._retired = dict(self._retired), {}
        for task in retired:
            task.cancel()
        await asyncio.gather(*retired, return_exceptions=True)
        await asyncio.gather(*(each.close(grace) for each in (*retired.values(), self._channel)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> tuple[int, grpc.aio.Channel]:
        version = self._certificates.version
        credentials = self._certificates.channel_credentials()
        return version, grpc.aio.secure_channel(self._target, credentials, self._options)


class _Method:
    """One method of the channel, made anew where the connection was."""

    __slots__ = ("_arguments", "_call", "_channel", "_options", "_shape", "_version")

    def __init__(
        self, channel: RenewedChannel, shape: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._shape = shape
        self._arguments = arguments
        self._options = options
        self._version = 0
        self._call: Any = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        connection = self._channel.current()
        if self._version != self._channel.version:
            make = getattr(connection, self._shape)
            self._call, self._version = make(*self._arguments, **self._options), self._channel.version
        return self._call(*arguments, **options)
