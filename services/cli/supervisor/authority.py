"""The certificate authority of one platform: its own key, a certificate for each process, and their renewal.

`keep` does whatever is due and may be called at any time. A new key of the authority comes in three steps,
each a `settle` after the one before, so that nobody meets a certificate of an authority it has not heard of:
it is announced (trusted beside the old one), then signs everything anew, then the old one is trusted no
longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from services.cli import secret_files
from services.cli.supervisor.certificates import Issued, load, new_authority, new_leaf, to_pem

AUTHORITIES = "ca.pem"
"""All that are trusted now."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """`settle` is longer than any process takes to see a changed file (services/runtime/certificates.py)."""

    leaf: timedelta = timedelta(hours=24)
    authority: timedelta = timedelta(days=30)
    settle: timedelta = timedelta(seconds=30)


class Authority:
    """Keeps `folder`: `<name>.crt` and `<name>.key` of each process, and `ca.pem`."""

    def __init__(
        self,
        folder: Path,
        names: Iterable[str],
        lifetimes: Lifetimes | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._lifetimes = lifetimes or Lifetimes()
        self._now = now

    def keep(self) -> None:
        """Do what is due: renew what has less than a third of its life left, go on with a change of keys."""
        current, coming, leaving = map(self._stored, ("current", "next", "previous"))
        if current is None or current.certificate.not_valid_after_utc <= self._now():
            current, coming, leaving = self._begin_anew(), None, None
        if coming is not None and self._settled(coming):
            current, coming, leaving = self._succeed(current, coming), None, current
        elif leaving is not None and self._settled_since_succession():
            self._forget("previous")
            leaving = None
        elif coming is None and leaving is None and self._due(current.certificate):
            coming = self._announce()
        self._trust(current, coming, leaving)
        for name in self._names:
            self._keep_leaf(name, current)

    def replace(self) -> None:
        """Announce a new key now, unless a change is under way; `keep` goes on with it."""
        if self._stored("next") is None and self._stored("previous") is None:
            self._announce()
        self.keep()

    @property
    def changing(self) -> bool:
        """True while two authorities are trusted."""
        return self._stored("next") is not None or self._stored("previous") is not None

    def _begin_anew(self) -> Issued:
        for role in ("next", "previous"):
            self._forget(role)
        return self._store("current", new_authority(self._now(), self._lifetimes.authority))

    def _announce(self) -> Issued:
        return self._store("next", new_authority(self._now(), self._lifetimes.authority))

    def _succeed(self, current: Issued, coming: Issued) -> Issued:
        # In this order a crash in between leaves both trusted, and the change begins again.
        self._store("previous", current)
        now = self._now().timestamp()
        os.utime(self._path("previous", ".crt"), (now, now))  # when the change happened
        self._store("current", coming)
        self._forget("next")
        return coming

    def _keep_leaf(self, name: str, current: Issued) -> None:
        found = load(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        if found is not None and not self._due(found.certificate) and found.signed_by(current):
            return
        leaf = new_leaf(name, current, self._now(), self._lifetimes.leaf)
        secret_files.write(self._folder / f"{name}.key", to_pem(leaf.key))
        secret_files.write(self._folder / f"{name}.crt", to_pem(leaf.certificate))

    def _trust(self, *authorities: Issued | None) -> None:
        bundle = b"".join(to_pem(each.certificate) for each in authorities if each is not None)
        path = self._folder / AUTHORITIES
        if not path.exists() or path.read_bytes() != bundle:
            secret_files.write(path, bundle)

    def _due(self, certificate: x509.Certificate) -> bool:
        ends = certificate.not_valid_after_utc
        return ends - self._now() < (ends - certificate.not_valid_before_utc) / 3

    def _settled(self, coming: Issued) -> bool:
        return self._now() - coming.issued_at >= self._lifetimes.settle

    def _settled_since_succession(self) -> bool:
        changed = datetime.fromtimestamp(self._path("previous", ".crt").stat().st_mtime, UTC)
        return self._now() - changed >= self._lifetimes.settle

    def _stored(self, role: str) -> Issued | None:
        return load(self._path(role, ".crt"), self._path(role, ".key"))

    def _store(self, role: str, issued: Issued) -> Issued:
        secret_files.write(self._path(role, ".key"), to_pem(issued.key))
        secret_files.write(self._path(role, ".crt"), to_pem(issued.certificate))
        return issued

    def _forget(self, role: str) -> None:
        for suffix in (".crt", ".key"):
            self._path(role, suffix).unlink(missing_ok=True)

    def _path(self, role: str, suffix: str) -> Path:
        return self._folder / "authority" / f"{role}{suffix}"
