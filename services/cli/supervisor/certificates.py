"""Making certificates: an authority that signs itself, and what it signs for one process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey
BACKDATED = timedelta(minutes=5)
"""Certificates begin so long before they are made: clocks of one machine may be set back."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def issued_at(self) -> datetime:
        """When it was made, to the second."""
        return self.certificate.not_valid_before_utc + BACKDATED

    def signed_by(self, authority: Issued) -> bool:
        """Whether it is of that authority's key."""
        try:
            self.certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def new_authority(now: datetime, lifetime: timedelta) -> Issued:
    """A key that may sign for processes, and for no further authority. Each has a name of its own, so that
    whoever trusts two of them knows which to check a certificate with.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    name = _name(f"fxmesh {number:040x}"[:32])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _begin(name, name, key, number, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate, key)


def new_leaf(process: str, authority: Issued, now: datetime, lifetime: timedelta) -> Issued:
    """For a process by folder name: as server under its DNS name, as caller by its URI. Never outlives the
    authority.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    dns = process.replace("_", "-")
    lifetime = min(lifetime, authority.certificate.not_valid_after_utc - now)
    names = [x509.DNSName(dns), x509.UniformResourceIdentifier(f"spiffe://fxmesh/{process}")]
    roles = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begin(_name(dns), authority.certificate.subject, key, x509.random_serial_number(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Issued(certificate, key)


def to_pem(what: x509.Certificate | Key) -> bytes:
    """As files have it."""
    if isinstance(what, x509.Certificate):
        return what.public_bytes(Encoding.PEM)
    return what.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load(certificate: Path, key: Path) -> Issued | None:
    """What two files hold; None where one is missing or they do not belong together."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    if not isinstance(private, Key) or private.public_key() != found.public_key():
        return None
    return Issued(found, private)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: Key, number: int, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )
