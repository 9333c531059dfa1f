"""What credentials have proved once, and what can take it away again: their revocation, and the end of a key.

A proof holds nothing secret. It can be judged again at any time, without what was shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.runtime.identity.principal import Principal, PrincipalKind
from services.runtime.identity.snapshot import Snapshot
from services.runtime.identity.tokens import refused

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Proof:
    """Who it is, and by the id of which key's secret or token; by neither where a certificate said it."""

    principal: Principal
    key_id: str = ""
    token_id: str = ""


def holds_until(proof: Proof, known: Snapshot, now: float) -> float:
    """When its key ends; NEVER for what has no key. Times are seconds since 1970.

    Raises FxError UNAUTHENTICATED for what does not hold any more: `CREDENTIALS_REVOKED`, `KEY_INVALID`,
    `KEY_EXPIRED`. That a token has expired is not asked: its holder has the next one.
    """
    if proof.key_id:
        return _key_ends(proof.key_id, known, now)
    if proof.token_id in known.denied_tokens:
        raise refused("CREDENTIALS_REVOKED", f"the token of {proof.principal.label} has been revoked")
    if proof.principal.kind is PrincipalKind.SERVICE and proof.principal.name in known.denied_services:
        raise refused("CREDENTIALS_REVOKED", f"calls of {proof.principal.name} are refused")
    return NEVER


def _key_ends(key_id: str, known: Snapshot, now: float) -> float:
    found = known.by_secret.get(key_id)
    if found is None:
        raise refused("KEY_INVALID", "there is no such API key")
    key, secret = found
    if key.revoked_at is not None:
        raise refused("CREDENTIALS_REVOKED", f"the API key {key.name} has been revoked")
    expiry = key.expiry(secret)
    if expiry is None:
        return NEVER
    if expiry <= now:
        raise refused("KEY_EXPIRED", f"the API key {key.name} has expired, or was replaced by a newer one")
    return expiry
