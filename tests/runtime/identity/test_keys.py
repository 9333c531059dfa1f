"""API keys: shown once, kept as a hash, bounded by scopes and time, replaced with an overlap, revoked."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.runtime.identity.authenticator import CACHED, PASSED, principal_of_certificate
from services.runtime.identity.keys import KeyRecord, new_secret, taken_apart
from services.runtime.identity.rights import Rights, matching, rights
from services.runtime.identity.snapshot import Denial, of, snapshot
from tests.kit.identity import Trusted


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return Trusted(tmp_path / "secrets")


def refused(trusted: Trusted, credentials: str | None) -> str:
    with pytest.raises(FxError) as caught:
        trusted.authenticator.principal(credentials)
    assert caught.value.kind is Kind.UNAUTHENTICATED
    return caught.value.reason


def test_a_key_is_long_and_its_record_does_not_hold_it() -> None:
    secret, shown = new_secret(1.0)
    key_id, given = taken_apart(shown)
    assert (key_id, len(given)) == (secret.id, 43)  # 32 bytes in base64
    assert shown != new_secret(1.0)[1]
    record = KeyRecord("robot", ("trading:read",), 1.0, None, None, (secret,))
    assert given.encode() not in record.to_json()
    assert KeyRecord.from_json(record.to_json()) == record
    assert secret.proves(given)
    assert not secret.proves(given[:-1])


@given(st.text())
def test_what_is_no_key_is_taken_apart_into_nothing(text: str) -> None:
    key_id, secret = taken_apart(text)
    assert bool(key_id) == bool(secret)
    assert not key_id or text == f"fxm_{key_id}_{secret}"


def test_a_key_holds_the_scopes_it_was_granted(trusted: Trusted) -> None:
    key = trusted.key("robot", "trading:read", "marketdata.*")
    principal = trusted.authenticator.principal(f"Bearer {key}")
    assert principal.label == "key:robot"
    wanted = {
        "trading:read",
        "marketdata.ticks:read",
        "marketdata.replay:write",
        "marketdata.replay:acknowledge",
    }
    assert principal.scopes == wanted


@pytest.mark.parametrize(
    ("granted", "meant"),
    [
        ("trading:read", {"trading:read"}),
        ("trading:*", {"trading:read"}),
        ("trading*", {"trading:read", "trading.orders:write"}),
        ("*:read", {"trading:read", "analysis:read"}),
        ("*", {"trading:read", "trading.orders:write", "analysis:read"}),
        ("trading", set()),
        ("TRADING:READ", set()),
        ("trading.read", set()),  # the dot is a dot
        ("[a-z]*", set()),
        ("", set()),
    ],
)
def test_only_the_star_is_a_pattern(granted: str, meant: set[str]) -> None:
    assert matching(granted, ("trading:read", "trading.orders:write", "analysis:read")) == meant


def test_a_wrong_secret_an_unknown_id_and_nonsense_say_the_same(trusted: Trusted) -> None:
    key = trusted.key("robot", "*")
    other = new_secret(0.0)[1]
    swapped = f"fxm_{taken_apart(key)[0]}_{taken_apart(other)[1]}"
    for wrong in (other, swapped, key[:-1], f"{key}x", "fxm_", "fxm_a", "fxm__", "fxm__b"):
        assert refused(trusted, f"Bearer {wrong}") == "KEY_INVALID"
    assert refused(trusted, None) == refused(trusted, "") == "CREDENTIALS_MISSING"
    for wrong in (key, f"Basic {key}", "Bearer", "Bearer  "):
        assert refused(trusted, wrong) == "TOKEN_INVALID"


def test_a_key_ends_in_time_and_when_it_is_revoked(trusted: Trusted) -> None:
    now = time.time()
    assert refused(trusted, f"Bearer {trusted.key('old', '*', expires_at=now - 1)}") == "KEY_EXPIRED"
    assert refused(trusted, f"Bearer {trusted.key('bad', '*', revoked=True)}") == "CREDENTIALS_REVOKED"
    assert trusted.authenticator.principal(f"Bearer {trusted.key('good', '*', expires_at=now + 60)}").name


def test_a_decision_that_is_kept_ends_with_the_key(trusted: Trusted) -> None:
    """As soon as a new snapshot says so: nothing decided before it counts."""
    secret, shown = new_secret(time.time())
    record = KeyRecord("robot", ("*",), 0.0, None, None, (secret,))
    for _ in range(3):
        trusted.authenticator.follow(of([record]))
        assert trusted.authenticator.principal(f"Bearer {shown}").name
        assert trusted.authenticator.principal(f"Bearer {shown}").name
        trusted.authenticator.follow(of([replace(record, revoked_at=1.0)]))
        assert refused(trusted, f"Bearer {shown}") == "CREDENTIALS_REVOKED"
    outcomes = trusted.authenticator.outcomes
    assert (outcomes[PASSED], outcomes[CACHED], outcomes["CREDENTIALS_REVOKED"]) == (3, 3, 3)


def test_old_and_new_secret_work_while_a_rotation_overlaps(trusted: Trusted) -> None:
    now = time.time()
    first, old = new_secret(now - 100)
    second, new = new_secret(now)
    record = KeyRecord("robot", ("*",), now, now + 1000, None, (first,))
    trusted.authenticator.follow(of([record.rotated(second, now + 60)]))
    assert trusted.authenticator.principal(f"Bearer {old}") == trusted.authenticator.principal(
        f"Bearer {new}"
    )
    trusted.authenticator.follow(of([record.rotated(second, now - 1)]))
    assert refused(trusted, f"Bearer {old}") == "KEY_INVALID"  # dropped: there is nothing left of it
    assert trusted.authenticator.principal(f"Bearer {new}").name
    over = replace(record, secrets=(replace(first, expires_at=now - 1),))
    trusted.authenticator.follow(of([over]))
    assert refused(trusted, f"Bearer {old}") == "KEY_EXPIRED"


def test_tokens_are_refused_by_id_or_service(trusted: Trusted) -> None:
    token = trusted.token("market_data")
    other = trusted.token("market_data")
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert trusted.authenticator.principal(f"Bearer {token}").name
    trusted.follow(Denial(token_id=token_id))
    assert refused(trusted, f"Bearer {token}") == "CREDENTIALS_REVOKED"
    assert trusted.authenticator.principal(f"Bearer {other}").name
    trusted.follow(Denial(service="market_data"))
    assert refused(trusted, f"Bearer {other}") == "CREDENTIALS_REVOKED"
    assert trusted.authenticator.principal(f"Bearer {trusted.token('analysis_engine')}").name


def test_what_cannot_be_read_in_the_store_grants_nothing() -> None:
    secret, _ = new_secret(1.0)
    good = KeyRecord("robot", ("*",), 1.0, None, None, (secret,)).to_json()
    entries = {"key.robot": good, "key.broken": b"{", "key.other": b"[]", "denied.x": b"{}", "note": b"hi"}
    known, unreadable = snapshot(entries)
    assert [each.name for each in known.keys] == ["robot"]
    assert unreadable == ("denied.x", "key.broken", "key.other")


def test_a_certificate_names_a_service_of_the_contracts_or_nobody() -> None:
    named = principal_of_certificate(["localhost", "spiffe://fxmesh/market_data"], rights())
    assert named is not None
    assert named.label == "service:market_data"
    for names in (
        ["market_data"],
        ["spiffe://other/market_data"],
        ["spiffe://fxmesh/edge"],
        ["spiffe://fxmesh/"],
        [],
    ):
        assert principal_of_certificate(names, rights()) is None


def test_every_scope_of_the_contracts_is_one_that_a_key_can_be_granted() -> None:
    declared = rights().scopes
    assert len(declared) > 15
    assert Rights(()).scopes == frozenset()
    assert rights().held(declared) == rights().held(("*",)) == declared


def test_what_is_kept_is_bounded(trusted: Trusted) -> None:
    key = trusted.key("robot", "*")
    for number in range(5000):  # spaces make other headers of the same key
        trusted.authenticator.principal(f"Bearer {' ' * (number % 50)}{key}{' ' * (number // 50)}")
    assert len(trusted.authenticator._state.decided) == 4096
