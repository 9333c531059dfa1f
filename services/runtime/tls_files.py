"""The three files of mTLS as one consistent value, or a sentence about what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_SOON = 0.1
"""Share of its life that a certificate has left when somebody should have renewed it."""
Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


class UnreadableError(Exception):
    """Its message says which file and why."""


@dataclass(frozen=True, slots=True)
class Pem:
    """What a process shows (`chain`, its own certificate first, with `key`) and whom it trusts."""

    chain: bytes
    key: bytes
    authorities: bytes
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def condition(self) -> str:
        """`expired`, `expires_soon`, or empty while all is well."""
        now = datetime.now(UTC)
        if now >= self.not_after:
            return "expired"
        life = self.not_after - self.not_before
        return "expires_soon" if self.not_after - now < life * _SOON else ""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where they lie: PEM, the key without a password."""

    cert: Path
    key: Path
    authorities: Path

    def stamp(self) -> Stamp:
        """Changes with any of the files. Raises UnreadableError."""
        try:
            found = [path.stat() for path in (self.cert, self.key, self.authorities)]
        except OSError as failure:
            raise UnreadableError(f"{failure.filename} cannot be read: {failure.strerror}") from failure
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    def read(self) -> Pem:
        """All three. Raises UnreadableError, also for a key of another certificate."""
        chain, key, authorities = (_read(path) for path in (self.cert, self.key, self.authorities))
        certificate = _certificates(self.cert, chain)[0]
        _certificates(self.authorities, authorities)
        if _public(certificate.public_key()) != _public(_private(self.key, key).public_key()):
            raise UnreadableError(f"{self.key} is not the key of {self.cert}")
        return Pem(
            chain,
            key,
            authorities,
            names_of(certificate),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names and URIs of a certificate."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = found.get_values_for_type(x509.DNSName)
    return (*dns, *found.get_values_for_type(x509.UniformResourceIdentifier))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise UnreadableError(f"{path} cannot be read: {failure.strerror}") from failure


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as failure:
        raise UnreadableError(f"{path} holds no certificate in PEM") from failure


def _private(path: Path, content: bytes) -> Any:
    try:
        return load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as failure:
        raise UnreadableError(f"{path} holds no private key in PEM without a password") from failure


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
