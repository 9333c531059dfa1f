"""All that is known of keys and revocations at one moment, arranged for looking up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.runtime.identity.keys import KeyRecord, Secret

KEYS, DENIALS = "key", "denied"
"""First token of an entry's name in the bucket: `key.<name>`, `denied.<hash>`."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Tokens that are refused though they are signed: one by its id, or all of a service by its name."""

    token_id: str = ""
    service: str = ""
    since: float = 0.0

    @property
    def entry(self) -> str:
        """Its name in the bucket: subjects hold characters that names there may not."""
        what = f"token {self.token_id}" if self.token_id else f"service {self.service}"
        return f"{DENIALS}.{hashlib.sha256(what.encode()).hexdigest()[:32]}"

    def to_json(self) -> bytes:
        return json.dumps({"token_id": self.token_id, "service": self.service, "since": self.since}).encode()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`by_secret` finds key and secret by the secret's id."""

    keys: tuple[KeyRecord, ...] = ()
    denials: tuple[Denial, ...] = ()
    by_secret: Mapping[str, tuple[KeyRecord, Secret]] = field(default_factory=dict)
    denied_tokens: frozenset[str] = frozenset()
    denied_services: frozenset[str] = frozenset()
    lost: tuple[Denial, ...] = ()
    """Denials that are gone from where they were stored, and that nobody took back: they hold here."""

    @property
    def revocations(self) -> int:
        """How many keys, tokens and services are refused by name."""
        return len(self.denials) + sum(each.revoked_at is not None for each in self.keys)


def snapshot(entries: Mapping[str, bytes]) -> tuple[Snapshot, tuple[str, ...]]:
    """From the bucket's entries by name; and the names of those that cannot be read, which grant nothing.
    One without a value was taken back.
    """
    keys: list[KeyRecord] = []
    denials: list[Denial] = []
    unreadable: list[str] = []
    for name, value in sorted(entries.items()):
        if not value:
            continue
        try:
            if name.startswith(f"{KEYS}."):
                keys.append(KeyRecord.from_json(value))
            elif name.startswith(f"{DENIALS}."):
                denials.append(_denial(value))
        except (ValueError, KeyError, TypeError):
            unreadable.append(name)
    return of(keys, denials), tuple(unreadable)


def of(keys: Iterable[KeyRecord], denials: Iterable[Denial] = (), lost: Iterable[Denial] = ()) -> Snapshot:
    """The snapshot of some keys and denials, those among them that are lost included."""
    known, kept = tuple(keys), tuple(lost)
    refused = (*denials, *kept)
    return Snapshot(
        known,
        refused,
        {secret.id: (key, secret) for key in known for secret in key.secrets},
        frozenset(each.token_id for each in refused) - {""},
        frozenset(each.service for each in refused) - {""},
        kept,
    )


def _denial(value: bytes) -> Denial:
    said = json.loads(value)
    return Denial(str(said["token_id"]), str(said["service"]), float(said["since"]))
