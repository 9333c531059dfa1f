"""One call in flight, as the hooks see it: what they read, and what they leave for the ones after them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import grpc

from interceptors.endpoints import Endpoint
from services.errors import FxError
from services.runtime.context import Deadline
from services.runtime.identity import ANONYMOUS, Principal
from services.runtime.policy import MethodPolicy

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_FOR_EVER_S = float("inf")
_BEGUN_S = 1.0
"""How long a call that is to end waits for its first answer to be sent."""
_OK = grpc.StatusCode.OK


class ServerCall:
    """A call being served. `deadline` is on `time.monotonic()`; `code` is final when the hooks leave."""

    __slots__ = (
        "beginning",
        "code",
        "context",
        "correlation_id",
        "deadline",
        "ended",
        "ending",
        "metadata",
        "method",
        "principal",
        "span",
        "started",
        "task",
        "waited_for",
    )

    def __init__(
        self,
        method: MethodPolicy,
        context: Context,
        metadata: Metadata | None = None,
        task: asyncio.Task[Any] | None = None,
    ) -> None:
        """`metadata` where it was read before: gRPC makes it anew each time it is asked."""
        self.method = method
        self.context = context
        if metadata is None:
            metadata = context.invocation_metadata() or ()
        self.metadata: Mapping[str, str | bytes] = dict(metadata)
        self.started = time.perf_counter()
        self.correlation_id = ""
        self.deadline: float | None = None
        self.principal: Principal = ANONYMOUS
        """Who calls, once authentication has run."""
        self.waited_for: Deadline | None = None
        """The deadline as the handler's context has it."""
        self.task = task
        """What is cancelled when it must end; None where nothing is: while it is answered, and after."""
        self.ending: FxError | None = None
        """What its caller shall be told when we end it of our own accord."""
        self.ended = False
        """Whether we have cancelled it for that."""
        self.beginning = False
        """The first of several answers is on its way: gRPC takes no status until that is sent."""
        self.code = _OK
        self.span: Any = None

    def end(self, error: FxError) -> None:
        """Cancel it and answer with `error`. Said again, it is cancelled again, and the first is answered.

        A first answer on its way is waited for, but not for long: its caller may not be reading.
        """
        if self.ending is None:
            self.ending = error
        if self.beginning:
            asyncio.get_running_loop().call_later(_BEGUN_S, self.cancel)
        else:
            self.cancel()

    def cancel(self) -> None:
        """Cancel what serves it."""
        if self.task is None:
            return
        if self.ended:
            self.task.uncancel()  # however often, it is one cancel: beside it the caller's own shows
        self.ended = True
        self.task.cancel()


class ClientCall:
    """A call being made. `deadline` is on `time.monotonic()`; hooks add to `metadata` before it is sent.

    From `attempts` on, what concerns its present attempt; `code` is the attempt's while that ends, and the
    call's when the call does.
    """

    __slots__ = (
        "attempts",
        "backoffs",
        "begun",
        "code",
        "correlation_id",
        "deadline",
        "endpoint",
        "given_s",
        "metadata",
        "method",
        "options",
        "passed",
        "personal",
        "probe",
        "request_failure",
        "span",
        "started",
        "taken",
        "timeout",
        "tried",
    )

    def __init__(
        self,
        method: MethodPolicy,
        timeout: float | None,
        metadata: Metadata | None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.method = method
        self.timeout = timeout
        """Seconds the caller asked for; None leaves it to the policy."""
        self.metadata: list[tuple[str, str | bytes]] = list(metadata or ())
        self.personal = bool(self.metadata)
        """The caller added metadata of its own, on which the answer may depend."""
        self.options = options
        """What else gRPC shall be told of the call."""
        self.started = time.perf_counter()
        self.correlation_id = ""
        self.deadline: float | None = None
        self.code = _OK
        self.span: Any = None
        self.taken = 0
        """Steps of the plan behind us: what must be left again."""
        self.request_failure: Exception | None = None
        """What the caller's request iterator raised."""
        self.attempts = 0
        """Begun so far."""
        self.backoffs = 0
        """How often the delay between attempts has doubled."""
        self.passed = 0
        """Steps of the attempt behind us."""
        self.endpoint: Endpoint | None = None
        """Where the attempt was sent; None before it is."""
        self.given_s = _FOR_EVER_S
        """How long the attempt may take."""
        self.begun = False
        """The first of several answers has arrived."""
        self.probe = 0
        """Which half-open period of the breaker the attempt tests; 0 when it tests none."""
        self.tried: tuple[Endpoint, ...] = ()
        """Where earlier attempts failed."""

    def again(self) -> None:
        """Forget the attempt that failed, but not where."""
        if self.endpoint is not None:
            self.tried = (*self.tried, self.endpoint)
        self.passed, self.endpoint, self.begun, self.probe = 0, None, False, 0
        self.given_s = _FOR_EVER_S

    def detached(self) -> ClientCall:
        """The same call, to be made on behalf of several that wait for its answer."""
        call = ClientCall(self.method, self.timeout, self.metadata, self.options)
        call.correlation_id, call.deadline = self.correlation_id, self.deadline
        return call
