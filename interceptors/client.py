"""Client side: a channel whose every call runs the plan of its method, one object a shape.

`PlannedChannel` stands where generated stubs expect a `grpc.aio.Channel` and makes each attempt of a call
on whatever instance its target picks at that moment. gRPC's own client interceptors are not used: they cost a
task a call, let streams bypass an object registered for several shapes, and lose cancellations.

What differs from a plain channel: a call with a single answer begins when it is awaited; failures are
`FxError`; request streams are given as iterators (no `write`); a stream not read to its end should be closed
(`aclose`).
"""

from __future__ import annotations

from typing import Any, Self

import grpc

from interceptors import messages
from interceptors.calls import ClientCall
from interceptors.client_calls import AnswerCallable, StreamCallable
from interceptors.endpoints import Target
from interceptors.plan import CLIENT_ORDER, PER_ATTEMPT, Concerns, compile_plan
from interceptors.route import Route
from services.runtime.limits import CANCELS
from services.runtime.policy import Shape, method_policy


class PlannedChannel(grpc.aio.Channel):
    """All methods of one target, with `concerns` around each; where there is a `priority` target, the methods
    of the group `cancels` of that one. Raises FatalError for a method without a policy.
    """

    def __init__(
        self, target: Target, concerns: Concerns[ClientCall], priority: Target | None = None
    ) -> None:
        self._target = target
        self._concerns = concerns
        self._priority = priority or target

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        """The callable of a method with one request and one answer."""
        return AnswerCallable(self._route(method, Shape.UNARY, request_serializer, response_deserializer))

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        """The callable of a method with a stream of requests and one answer."""
        return AnswerCallable(
            self._route(method, Shape.CLIENT_STREAM, request_serializer, response_deserializer)
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        """The callable of a method with one request and a stream of answers."""
        return StreamCallable(
            self._route(method, Shape.SERVER_STREAM, request_serializer, response_deserializer)
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        """The callable of a method with streams both ways."""
        return StreamCallable(
            self._route(method, Shape.BIDI_STREAM, request_serializer, response_deserializer)
        )

    def _route(self, path: str, shape: Shape, serialize: messages.Encoder, deserialize: Any) -> Route:
        plan = compile_plan(CLIENT_ORDER, self._concerns, method_policy(path), PER_ATTEMPT)
        target = self._priority if plan.method.bulkhead == CANCELS else self._target
        return Route(plan, shape, target, messages.sender(plan.method, serialize), deserialize)

    async def close(self, grace: float | None = None) -> None:
        """Nothing: the connections belong to the target."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 gRPC's signature
        """READY when an instance is known, IDLE when not."""
        known = self._target.known()
        return grpc.ChannelConnectivity.READY if known else grpc.ChannelConnectivity.IDLE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Not offered: instances come and go call by call, and the registry is who knows."""
        raise NotImplementedError("ask the registry for changes of a peer")

    async def channel_ready(self) -> None:
        """Return once an instance is known."""
        if not self._target.known():
            await self._target.wait(float("inf"))
