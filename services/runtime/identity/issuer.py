"""Issues tokens on one machine, where no Kubernetes does: signing keys with overlap, a token file an account.

All of it lies in one folder that only its owner can read. A new signing key is shown in the key set before it
signs, so that every process knows it by then; an old one stays until the last token it signed has died.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import OKPAlgorithm

from services.runtime.identity.tokens import LEEWAY_S, Trust, subject_of

SIGNING, KEY_SET, TOKENS = "signing.json", "jwks.json", "tokens"
"""Files in the folder: private keys, public keys, a folder of tokens."""
_ID_BYTES = 8
"""Of keys and tokens: unique among those of an hour, and short, for every call carries them."""


@dataclass(frozen=True, slots=True)
class Lives:
    """Seconds."""

    token: float = 3600.0
    renew: float = 1200.0
    """A token is renewed when it is this old: whoever reads it has the rest of its life to use it."""
    key: float = 24 * 3600.0
    """A signing key is replaced when it is this old."""
    shown_first: float = 60.0
    """A key is in the key set for so long before it signs."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs from `signs_from` on, until a younger one does. Times are seconds since 1970."""

    id: str
    signs_from: float
    private: Ed25519PrivateKey

    @classmethod
    def made(cls, signs_from: float) -> SigningKey:
        return cls(secrets.token_hex(_ID_BYTES), signs_from, Ed25519PrivateKey.generate())

    def public(self) -> dict[str, Any]:
        """As a key set has it."""
        public: dict[str, Any] = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.id, "use": "sig", "alg": "EdDSA"}

    def to_json(self) -> dict[str, Any]:
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {"id": self.id, "signs_from": self.signs_from, "private": pem.decode()}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> SigningKey:
        private = load_pem_private_key(said["private"].encode(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return cls(said["id"], said["signs_from"], private)


class Issuer:
    """Keeps `folder`: call `renew` again and again. `accounts` are the names that get a token file."""

    def __init__(
        self,
        folder: Path,
        trust: Trust,
        accounts: Sequence[str],
        now: Callable[[], float],
        lives: Lives | None = None,
    ) -> None:
        """`now`: seconds since 1970."""
        self._folder = folder
        self._trust = trust
        self._accounts = tuple(accounts)
        self._now = now
        self._lives = lives or Lives()
        self._issued_at: float | None = None
        self._keys: list[SigningKey] = []

    def open(self) -> None:
        """Make the folder, or take over what an earlier run left, and issue tokens. Raises OSError."""
        for folder in (self._folder, self._folder / TOKENS):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)  # whatever made it before
        try:
            said = json.loads((self._folder / SIGNING).read_text(encoding="utf-8"))
            self._keys = [SigningKey.from_json(each) for each in said]
        except FileNotFoundError:
            self._keys = []
        self.renew()

    def renew(self) -> bool:
        """Do what is due: make a key, drop one, issue tokens. Returns whether anything was."""
        turned = self._turn_keys()
        now = self._now()
        # Or the clock was set back: tokens from the future are good for nothing.
        due = self._issued_at is None or not 0 <= now - self._issued_at < self._lives.renew
        if due:
            for account in self._accounts:
                write(self._folder / TOKENS / f"{account}.jwt", self.token(account).encode())
            self._issued_at = now
        return turned or due

    def token(self, account: str, life_s: float | None = None) -> str:
        """A new token for an account, by its DNS name with underscores or hyphens."""
        now = self._now()
        key = max((each for each in self._keys if each.signs_from <= now), key=lambda each: each.signs_from)
        claims = {
            "iss": self._trust.issuer,
            "aud": self._trust.audience,
            "sub": subject_of(self._trust.namespace, account.replace("_", "-")),
            "iat": int(now),
            "exp": int(now + (self._lives.token if life_s is None else life_s)),
            "jti": secrets.token_hex(_ID_BYTES),
        }
        return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.id})

    def _turn_keys(self) -> bool:
        now, lives = self._now(), self._lives
        keys = list(self._keys)
        if not any(each.signs_from <= now for each in keys):
            keys = [SigningKey.made(now)]
        newest = max(each.signs_from for each in keys)
        if now >= newest + lives.key:
            keys.append(SigningKey.made(now + lives.shown_first))
        signing = max(each.signs_from for each in keys if each.signs_from <= now)
        # The one that signs now relieved the others when it began to.
        dead = now > signing + lives.token + 2 * LEEWAY_S
        keys = [each for each in keys if not dead or each.signs_from >= signing]
        if keys == self._keys:
            return False
        self._keys = keys
        write(self._folder / SIGNING, json.dumps([each.to_json() for each in keys]).encode())
        write(self._folder / KEY_SET, json.dumps({"keys": [each.public() for each in keys]}).encode())
        return True


def write(path: Path, content: bytes) -> None:
    """Replace a file whole, readable by its owner only. Raises OSError."""
    trial = path.with_name(f".{path.name}.{os.getpid()}")
    number = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    trial.replace(path)
