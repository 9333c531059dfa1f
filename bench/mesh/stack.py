"""The whole stack as a service runs with it: identity, limits, retries, breakers, cache, traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import CollectorRegistry

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Concerns
from interceptors.standard import client_concerns, server_concerns
from services.runtime.clock import WallClock
from services.runtime.identity.rights import Rights
from services.runtime.ids import Uuid7Ids
from services.runtime.limits import Limits, Rate
from services.runtime.policy import service_policy
from services.runtime.spans import Spans
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc
from tests.kit.identity import Trusted

_UNBOUNDED = Rate(1e9, 1e9)
_LIMITS = Limits(services=_UNBOUNDED, anonymous=_UNBOUNDED)
"""Calls are made faster here than any rate allows."""


class Echo:
    """As little handler as there can be."""

    async def Unary(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        return service_pb2.EchoResponse(text=request.text)

    def __getattr__(self, name: str) -> Any:
        return getattr(service_pb2_grpc.EchoServiceServicer(), name)


def serving(secrets: Path, sample: float | None = None) -> Concerns[ServerCall]:
    """The concerns of a server that knows its callers by tokens of the issuer in `secrets`."""
    identity = _trusted(secrets).identity
    ids = Uuid7Ids(WallClock())
    return server_concerns(ids, CollectorRegistry(), _spans(sample), identity, _LIMITS)


def calling(secrets: Path, sample: float | None = None) -> Concerns[ClientCall]:
    """The concerns of its caller. `sample`: the share of calls that begin a trace; None: no traces at all."""
    own = _trusted(secrets).own("echo")
    return client_concerns(Uuid7Ids(WallClock()), CollectorRegistry(), _spans(sample), own)


def token(secrets: Path) -> str:
    """One that the server takes."""
    return _trusted(secrets).token("echo")


def _trusted(secrets: Path) -> Trusted:
    return Trusted(secrets, Rights((service_policy(SERVICE),)), ("echo",))


def _spans(sample: float | None) -> Spans | None:
    """As a traced process has them, whose collector takes everything at once."""
    if sample is None:
        return None
    provider = TracerProvider(sampler=ALWAYS_ON)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    return Spans(provider.get_tracer("bench"), sample)
