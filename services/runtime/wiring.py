"""The networked backbone of a live process: one link to NATS, with the bus and the registry on it."""

from __future__ import annotations

from services.runtime.bus import BusMetrics, Link, NatsBus
from services.runtime.bus.credentials import Credentials
from services.runtime.identity.bucket import IdentityFollower
from services.runtime.leadership import NatsLeadership
from services.runtime.ports import Candidate
from services.runtime.process import Backbone, Grounds
from services.runtime.registry import NatsRegistry
from services.runtime.settings import without_credentials


async def connect(grounds: Grounds) -> Backbone:
    """Connect to NATS, however long it takes. Raises FatalError for a stream configured otherwise."""
    settings, log = grounds.settings, grounds.log
    url = settings.nats_url
    grounds.health.starting("bus", f"waiting for NATS at {without_credentials(url)}")
    metrics, spans = BusMetrics(grounds.metrics), grounds.telemetry.spans
    user = Credentials.given(settings.nats_user, settings.nats_password_file)
    link = Link(url, grounds.policy.name, log, user, settings.stream_replicas, metrics.forbidden)
    link.open()
    try:
        await link.session()
        bus = NatsBus(link, grounds.policy, grounds.clock, log, metrics, spans=spans)
        await bus.open()
        follower = await _know_callers(grounds, link)
    except BaseException:
        await link.close()
        raise
    registry = NatsRegistry(link, grounds.clock, log, grounds.metrics)
    registry.open()

    def leadership(candidate: Candidate) -> NatsLeadership:
        return NatsLeadership(link, grounds.clock, log, candidate, grounds.metrics)

    async def close() -> None:
        if follower is not None:
            await follower.close()
        await link.close()

    return Backbone(bus, registry, lambda: bus.watch(grounds.health), close, leadership)


async def _know_callers(grounds: Grounds, link: Link) -> IdentityFollower | None:
    """Follow keys and revocations; returns with the first snapshot, without which nobody could be refused."""
    if grounds.identity is None:
        return None
    grounds.health.starting("identity", "waiting for keys and revocations from NATS")
    follower = grounds.identity.follower(link, grounds.clock, grounds.metrics, grounds.log)
    follower.open()
    try:
        await follower.loaded.wait()
    except BaseException:
        await follower.close()
        raise
    grounds.health.up("identity")
    return follower
