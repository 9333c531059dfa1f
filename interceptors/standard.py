"""The concerns every process of the platform runs with, and where each is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from interceptors import authentication, deadline, faults, tracing, validation
from interceptors.admission import Admission
from interceptors.authentication import Authentication
from interceptors.authorization import Authorization
from interceptors.breaker import Breakers
from interceptors.bulkhead import Bulkheads
from interceptors.cache import Cache
from interceptors.calls import ClientCall, ServerCall
from interceptors.client_metrics import ClientMetrics
from interceptors.correlation import Correlation
from interceptors.faults import Faults
from interceptors.metrics import CallMetrics
from interceptors.plan import Concern, Concerns, Place
from interceptors.rate_limit import RateLimit
from interceptors.retry import Retries
from services.runtime.limits import Limits
from services.runtime.loop import current_loop
from services.runtime.ports import Ids

if TYPE_CHECKING:
    from services.runtime.identity.identity import Identity
    from services.runtime.identity.token_file import TokenFile
    from services.runtime.spans import Spans

_DEFAULT_LIMITS = Limits()


def server_concerns(
    ids: Ids,
    registry: CollectorRegistry,
    spans: Spans | None = None,
    identity: Identity | None = None,
    limits: Limits | None = _DEFAULT_LIMITS,
    drill: str = "",
) -> Concerns[ServerCall]:
    """What a serving process does to calls. Once per registry: it creates the metric families.

    Without an identity everybody may call everything: for the in-process platform and for tests.
    `limits` None: none, for calls inside one process, whose outcome must not depend on the time they take.
    `drill`: the rules of FXMESH_FAULTS while a drill is on. Raises FatalError where one is wrong.
    """
    concerns: dict[Place, Concern[ServerCall]] = {
        Place.CORRELATION: Correlation(ids).server,
        Place.TRACING: tracing.server(spans),
        Place.METRICS: CallMetrics(registry, "server").hook,
        Place.DEADLINE: deadline.server,
        Place.VALIDATION: validation.server,
    }
    if identity is not None:
        concerns[Place.AUTHENTICATION] = Authentication(identity.authenticator).server
        concerns[Place.AUTHORIZATION] = Authorization(identity.rights).server
    if limits is not None:
        concerns[Place.RATE_LIMIT] = RateLimit(registry, limits).hook
        concerns[Place.BULKHEAD] = Bulkheads(registry, "server", limits).hook
        loop = current_loop()
        if limits.admission and loop is not None:
            concerns[Place.ADMISSION] = Admission(registry, loop.load, loop.idle_s).hook
    if drill:
        concerns[Place.FAULTS] = Faults(registry, faults.parse(drill)).hook
    return concerns


def client_concerns(
    ids: Ids,
    registry: CollectorRegistry,
    spans: Spans | None = None,
    own: TokenFile | None = None,
    limits: Limits | None = _DEFAULT_LIMITS,
    cache: Cache | None = None,
) -> Concerns[ClientCall]:
    """What a calling process does to calls. Once per registry: it creates the metric families.

    `own` is the token it calls with. Nothing is cached without a `cache` that hears what drops its answers.
    """
    retries, breakers = Retries(), Breakers()
    ClientMetrics(registry, retries, breakers, cache)
    return {
        **steady_client_concerns(ids, registry, spans),
        **({} if own is None else {Place.AUTHENTICATION: authentication.client(own)}),
        **({} if cache is None else {Place.CACHE: cache.hook}),
        Place.RETRY: retries.hook,
        Place.BREAKER: breakers.hook,
        **({} if limits is None else {Place.BULKHEAD: Bulkheads(registry, "client", limits).hook}),
    }


def steady_client_concerns(
    ids: Ids, registry: CollectorRegistry, spans: Spans | None = None
) -> Concerns[ClientCall]:
    """The ones in which neither chance, nor time, nor the history of earlier calls has a part: for a replay,
    where the same calls must go the same way in every run.
    """
    return {
        Place.CORRELATION: Correlation(ids).client,
        Place.TRACING: tracing.client(spans),
        Place.METRICS: CallMetrics(registry, "client").hook,
        Place.DEADLINE: deadline.client,
    }
