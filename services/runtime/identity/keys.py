"""API keys: what a person is given once, and what is kept of it.

`fxm_<id>_<secret>`: the id finds the record, the secret proves it. Kept is SHA-256 of the secret. A slow,
salted hash guards passwords, which people choose and which can be guessed; 256 bits of chance cannot, so one
round is enough, and a call costs microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

PREFIX = "fxm_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names of keys: they are subject tokens, labels and log fields."""
_SECRET_BYTES = 32
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Secret:
    """One of the secrets of a key; two while a rotation overlaps. Times are seconds since 1970."""

    id: str
    sha256: str
    created_at: float
    expires_at: float | None = None

    def proves(self, given: str) -> bool:
        """Whether `given` is this secret; takes the same time wherever they differ."""
        return hmac.compare_digest(_hashed(given), self.sha256)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is kept: never with its secret."""

    name: str
    scopes: tuple[str, ...]
    """As they were granted, patterns such as `trading.*` included."""
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    secrets: tuple[Secret, ...] = ()

    def expiry(self, secret: Secret) -> float | None:
        """When `secret` ends: with the key, or earlier where a rotation has replaced it."""
        ends = [each for each in (self.expires_at, secret.expires_at) if each is not None]
        return min(ends) if ends else None

    def rotated(self, secret: Secret, old_until: float) -> KeyRecord:
        """With a new secret; the others end at `old_until` at the latest, and are dropped once they have."""
        ends = [
            replace(each, expires_at=min(self.expiry(each) or old_until, old_until)) for each in self.secrets
        ]
        living = [each for each in ends if (each.expires_at or 0.0) > secret.created_at]
        return replace(self, secrets=(secret, *living))

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> KeyRecord:
        """Raises ValueError, KeyError or TypeError for what is no record."""
        said: Mapping[str, Any] = json.loads(text)
        kept = tuple(
            Secret(each["id"], each["sha256"], each["created_at"], each.get("expires_at"))
            for each in said["secrets"]
        )
        ends, revoked = said.get("expires_at"), said.get("revoked_at")
        return cls(said["name"], tuple(said["scopes"]), said["created_at"], ends, revoked, kept)


def new_secret(now: float) -> tuple[Secret, str]:
    """What is kept, and the key itself, which is shown once."""
    # token_hex: the id must hold no underscore, at which the key is taken apart.
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return Secret(key_id, _hashed(secret), now), f"{PREFIX}{key_id}_{secret}"


def taken_apart(key: str) -> tuple[str, str]:
    """Id and secret of what has the form of a key; both empty where it has not."""
    if not key.startswith(PREFIX):
        return "", ""
    key_id, _, secret = key.removeprefix(PREFIX).partition("_")
    return (key_id, secret) if key_id and secret else ("", "")


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
