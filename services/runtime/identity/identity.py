"""The identity of one process: who it is itself, and how it decides who calls. Put together from settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.runtime.bus.link import Link
from services.runtime.fatal import FatalError
from services.runtime.identity.authenticator import Authenticator
from services.runtime.identity.bucket import IdentityFollower
from services.runtime.identity.jwks import KeySet, fetcher
from services.runtime.identity.metrics import IdentityMetrics
from services.runtime.identity.rights import Rights, rights
from services.runtime.identity.token_file import TokenFile
from services.runtime.identity.tokens import TokenVerifier, Trust
from services.runtime.ports import Clock
from services.runtime.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """What the mesh of one process decides by."""

    authenticator: Authenticator
    keys: KeySet
    rights: Rights

    def follower(
        self, link: Link, clock: Clock, metrics: CollectorRegistry, log: FilteringBoundLogger
    ) -> IdentityFollower:
        """What keeps it current from NATS. Once a process: it creates the metric families."""
        follower = IdentityFollower(link, clock, self.authenticator.follow, log)
        IdentityMetrics(metrics, self.authenticator, self.keys, lambda: follower.age_s)
        return follower


def begin(settings: RuntimeSettings, clock: Clock, log: FilteringBoundLogger) -> Identity | None:
    """From settings; None where identity is switched off. Raises FatalError where it is just left out."""
    if settings.identity == "off":
        if not _is_loopback(settings.host):
            raise FatalError(
                "FXMESH_IDENTITY=off is for development on one machine: "
                f"with FXMESH_HOST={settings.host} anybody on the network could trade"
            )
        log.warning("identity.off", consequence="whoever reaches this port may call everything")
        return None
    if not settings.jwks:
        raise FatalError(
            "FXMESH_JWKS is not set: name the public keys of whoever issues tokens (`fxmesh up` does), "
            "or set FXMESH_IDENTITY=off on a machine of your own"
        )
    trust = Trust(settings.token_issuer, settings.token_audience, settings.token_namespace)
    keys = KeySet(settings.jwks, clock, log, fetcher(settings.jwks_ca, settings.jwks_token_file))
    keys.read_files()
    contracts = rights()
    authenticator = Authenticator(TokenVerifier(keys, trust, contracts), contracts, clock)
    keys.on_change(authenticator.forget)
    return Identity(authenticator, keys, contracts)


def own_token(settings: RuntimeSettings, clock: Clock, log: FilteringBoundLogger) -> TokenFile | None:
    """The token this process calls with; None where identity is switched off. Raises FatalError."""
    if settings.identity == "off":
        return None
    if settings.token_file is None:
        raise FatalError("FXMESH_TOKEN_FILE is not set: name the file with this process's own token")
    return TokenFile(settings.token_file, clock, log)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
