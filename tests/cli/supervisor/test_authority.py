"""The local authority renews what has its time, and changes its own key without a moment of doubt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from services.cli.supervisor.authority import Authority, Lifetimes
from services.runtime.tls_files import TlsFiles

NAMES = ("trading_gateway", "operator")
LIVES = Lifetimes(timedelta(hours=24), timedelta(days=30), timedelta(seconds=30))


class Kept:
    """An authority in a folder, at a time of the test's choice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime.now(UTC)
        self.authority = Authority(folder, NAMES, LIVES, lambda: self.now)
        self.authority.keep()

    def after(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.authority.keep()

    def leaf(self, name: str = "trading_gateway") -> bytes:
        return (self.folder / f"{name}.crt").read_bytes()

    def trusted(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates((self.folder / "ca.pem").read_bytes())

    def accepted(self, leaf: bytes, by: list[x509.Certificate] | None = None) -> bool:
        """Whether one who trusts these takes that certificate now."""
        policy = PolicyBuilder().store(Store(by or self.trusted())).time(self.now)
        try:
            policy.build_client_verifier().verify(x509.load_pem_x509_certificate(leaf), [])
        except VerificationError:
            return False
        return True


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "tls")


def test_each_process_has_a_certificate_of_its_names_and_a_key_that_only_the_owner_reads(kept: Kept) -> None:
    for name in NAMES:
        files = TlsFiles(kept.folder / f"{name}.crt", kept.folder / f"{name}.key", kept.folder / "ca.pem")
        assert files.read().names == (name.replace("_", "-"), f"spiffe://fxmesh/{name}")
    secret = [path for path in kept.folder.rglob("*") if path.is_file()]
    assert len(secret) == 2 * len(NAMES) + 3
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_a_certificate_is_renewed_when_a_third_of_its_life_is_left(kept: Kept) -> None:
    first = kept.leaf()
    kept.after(hours=15)
    assert kept.leaf() == first
    kept.after(hours=2)
    assert kept.leaf() != first
    assert kept.accepted(kept.leaf())
    assert len(kept.trusted()) == 1


def test_a_new_key_is_trusted_by_all_before_it_signs_and_the_old_one_until_nobody_shows_it(
    kept: Kept,
) -> None:
    old_leaf, old_trust = kept.leaf(), kept.trusted()
    kept.authority.replace()
    assert len(kept.trusted()) == 2
    assert kept.leaf() == old_leaf
    both = kept.trusted()
    kept.after(seconds=10)
    assert kept.leaf() == old_leaf
    kept.after(seconds=25)
    new_leaf = kept.leaf()
    assert new_leaf != old_leaf
    for leaf in (old_leaf, new_leaf):
        assert kept.accepted(leaf)
        assert kept.accepted(leaf, both)
    assert not kept.accepted(new_leaf, old_trust)
    while kept.authority.changing:
        kept.after(seconds=31)
    assert kept.accepted(kept.leaf())
    assert not kept.accepted(old_leaf)
    assert len(kept.trusted()) == 1


def test_the_authority_changes_its_key_by_itself_before_it_ends(kept: Kept) -> None:
    first = kept.trusted()
    for _ in range(21 * 24):
        kept.after(hours=1)
        assert kept.accepted(kept.leaf())
    assert kept.trusted() != first


def test_what_was_off_for_longer_than_the_authority_lives_begins_anew(kept: Kept) -> None:
    kept.after(days=40)
    assert kept.accepted(kept.leaf())
    assert len(kept.trusted()) == 1


def test_a_key_that_is_lost_or_belongs_to_another_certificate_is_replaced(kept: Kept) -> None:
    (kept.folder / "operator.key").write_bytes((kept.folder / "trading_gateway.key").read_bytes())
    kept.authority.keep()
    files = TlsFiles(kept.folder / "operator.crt", kept.folder / "operator.key", kept.folder / "ca.pem")
    assert files.read().names[0] == "operator"
