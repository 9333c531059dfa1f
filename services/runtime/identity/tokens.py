"""Service-account tokens: signed JWTs that live for an hour at most, checked by the keys of their issuer.

Kubernetes projects them into pods; on one machine `fxmesh up` issues them in the same form, so that one way
of checking serves both. Whom a token stands for is its subject, `system:serviceaccount:<namespace>:<name>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt

from services.errors import FxError, Kind
from services.runtime.identity.jwks import KeySet
from services.runtime.identity.principal import Principal, PrincipalKind
from services.runtime.identity.rights import Rights

LEEWAY_S = 5.0
"""How far the clocks of two hosts may differ."""
OPERATOR = "operator"
"""Service account of whoever runs the platform: it holds every scope."""
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]


def subject_of(namespace: str, name: str) -> str:
    """The subject of an account. `name` is a DNS name, as Kubernetes has it."""
    return f"system:serviceaccount:{namespace}:{name}"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are taken, and for whom they must be meant."""

    issuer: str
    audience: str
    namespace: str
    """Accounts of another namespace of the cluster are strangers, whatever they are called."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a genuine token says. `expires_at`: seconds since 1970."""

    principal: Principal
    token_id: str
    expires_at: float


class TokenVerifier:
    """Checks signatures and claims; knows nothing of revocations."""

    def __init__(self, keys: KeySet, trust: Trust, rights: Rights) -> None:
        self._keys = keys
        self._trust = trust
        self._rights = rights

    def verify(self, token: str) -> Verified:
        """Raises FxError UNAUTHENTICATED `TOKEN_INVALID` or `TOKEN_EXPIRED`; UNAVAILABLE while keys are
        fetched.
        """
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError as late:
            raise refused("TOKEN_EXPIRED", "the token has expired: get a new one") from late
        except jwt.PyJWTError as wrong:
            raise refused("TOKEN_INVALID", f"the token is not valid: {_why(wrong)}") from wrong
        principal = self._principal(str(claims["sub"]))
        return Verified(principal, str(claims.get("jti", "")), float(claims["exp"]) + LEEWAY_S)

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys.find(str(header.get("kid", "")))
        if key is None:
            if self._keys.fetching:
                detail = "the keys that sign tokens are being fetched: call again"
                raise FxError(Kind.UNAVAILABLE, "IDENTITY_UNAVAILABLE", detail, retry_after_s=1.0)
            raise refused("TOKEN_INVALID", "the token is signed with a key that is not trusted")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],  # that of the key, never what the token says of itself
            audience=self._trust.audience,
            issuer=self._trust.issuer,
            leeway=LEEWAY_S,
            options={"require": _REQUIRED},
        )
        return claims

    def _principal(self, subject: str) -> Principal:
        # Whole subjects are compared: another prefix must never leave a name that means something here.
        if subject == subject_of(self._trust.namespace, OPERATOR):
            return Principal(OPERATOR, PrincipalKind.OPERATOR, self._rights.scopes)
        service = self._rights.by_dns_name.get(subject.rpartition(":")[2])
        if service is None or subject != subject_of(self._trust.namespace, service.replace("_", "-")):
            raise refused("TOKEN_INVALID", "the token stands for nobody that this platform knows")
        return Principal(service, PrincipalKind.SERVICE)


def refused(reason: str, detail: str) -> FxError:
    """UNAUTHENTICATED. `detail` must say nothing of the credentials."""
    return FxError(Kind.UNAUTHENTICATED, reason, detail)


_WHY: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidAudienceError, "it is meant for another audience"),
    (jwt.InvalidIssuerError, "it comes from another issuer"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.MissingRequiredClaimError, "a claim is missing"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
    (jwt.InvalidAlgorithmError, "its algorithm is not that of the key"),
)


def _why(wrong: jwt.PyJWTError) -> str:
    """Sentences of our own: the library's may quote what it was given."""
    return next((why for kind, why in _WHY if isinstance(wrong, kind)), "it is malformed")
