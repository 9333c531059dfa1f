"""`fxmesh keys` and `fxmesh token`: what is handed over, what is kept, what is refused."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from services.cli.home import Home
from services.cli.supervisor.tokens import TRUST
from services.runtime.identity.issuer import Issuer
from services.runtime.identity.keys import taken_apart
from tests.cli.commands.conftest import Fxmesh
from tests.kit.nats import NatsServer, own_nats

__all__ = ["own_nats"]

pytestmark = pytest.mark.integration

TOKEN_ID = "0123456789abcdef"


@pytest.fixture
def keys(typed: Fxmesh, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Fxmesh:
    """`fxmesh keys …` on a NATS where nothing else runs."""
    monkeypatch.setenv("FXMESH_NATS_URL", own_nats.url)
    return lambda *arguments: typed("keys", *arguments)


def test_a_key_is_shown_when_it_is_made_and_never_again(keys: Fxmesh) -> None:
    made = keys("create", "robot", "--scope", "trading:read", "--expires", "30d")
    assert made.code == 0
    key = made.out.strip()
    key_id, secret = taken_apart(key)
    assert len(secret) == 43
    assert "not shown again" in made.err
    listed = keys("list", "--json")
    assert secret not in listed.out
    (found,) = listed.data["keys"]
    assert (found["name"], found["state"], found["scopes"]) == ("robot", "valid", ["trading:read"])
    assert [each["id"] for each in found["secrets"]] == [key_id]
    assert found["expiresAt"] > found["createdAt"]
    table = keys("list").out
    assert table.splitlines()[0].split()[:3] == ["NAME", "STATE", "SCOPES"]
    assert "trading:read" in table


def test_a_rotation_gives_a_new_key_and_leaves_the_old_one_its_overlap(keys: Fxmesh) -> None:
    first = keys("create", "robot", "--all-scopes").out.strip()
    second = keys("rotate", "robot", "--overlap", "1h", "--json").data
    assert second["key"] != first
    assert second["state"] == "rotating"
    new, old = second["secrets"]
    assert (old["id"], new["expiresAt"]) == (taken_apart(first)[0], "")
    assert old["expiresAt"]
    third = keys("rotate", "robot", "--json").data
    assert [each["id"] for each in third["secrets"]] == [taken_apart(third["key"])[0]]


def test_a_revoked_key_stays_revoked(keys: Fxmesh) -> None:
    keys("create", "robot", "--scope", "*:read")
    assert keys("revoke", "robot").out == "The key robot is revoked.\n"
    assert keys("revoke", "robot").code == 0
    assert keys("list", "--json").data["keys"][0]["state"] == "revoked"
    for command in (("rotate", "robot"), ("create", "robot", "--all-scopes")):
        again = keys(*command, "--json")
        assert (again.code, again.error["reason"] in {"KEY_REVOKED", "KEY_EXISTS"}) == (4, True)
    missing = keys("revoke", "nobody", "--json")
    assert (missing.code, missing.error["reason"]) == (4, "UNKNOWN_KEY")


def test_tokens_and_services_are_refused_and_allowed_again(keys: Fxmesh) -> None:
    assert keys("revoke", "--service", "ml_workbench").code == 0
    assert keys("revoke", "--token", TOKEN_ID).code == 0
    denials = keys("list", "--json").data["denials"]
    assert {each["service"] or each["tokenId"] for each in denials} == {"ml_workbench", TOKEN_ID}
    assert f"token {TOKEN_ID}" in keys("list").out
    assert keys("allow", "--service", "ml_workbench", "--json").data["allowed"] is True
    assert keys("allow", "--service", "ml_workbench", "--json").data["allowed"] is False
    assert [each["tokenId"] for each in keys("list", "--json").data["denials"]] == [TOKEN_ID]


def test_a_token_given_whole_is_refused_by_its_id_and_kept_nowhere(keys: Fxmesh) -> None:
    whole = jwt.encode({"jti": TOKEN_ID}, "a secret of this test, which nobody checks")
    said = keys("revoke", "--token", whole)
    assert said.out == f"The token {TOKEN_ID} is refused from now on.\n"
    assert [each["tokenId"] for each in keys("list", "--json").data["denials"]] == [TOKEN_ID]


def test_an_expired_key_gets_no_new_secret(keys: Fxmesh) -> None:
    keys("create", "robot", "--all-scopes", "--expires", "1s")
    end = time.monotonic() + 30
    while keys("list", "--json").data["keys"][0]["state"] != "expired":
        assert time.monotonic() < end
    again = keys("rotate", "robot", "--json")
    assert (again.code, again.error["reason"]) == (4, "KEY_EXPIRED")


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "robot"),
        ("create", "robot", "--scope", "trading:raed"),
        ("create", "robot", "--scope", "trading:read", "--all-scopes"),
        ("create", "no name", "--all-scopes"),
        ("create", "robot", "--all-scopes", "--expires", "soon"),
        ("create", "robot", "--all-scopes", "--expires", "0s"),
        ("revoke",),
        ("revoke", "--token", "xyz"),
        ("revoke", "--token", "no.such.token"),
        ("revoke", "robot", "--service", "ml_workbench"),
        ("revoke", "--service", "nobody"),
        ("rotate", "robot", "--overlap", "a while"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    typed: Fxmesh, arguments: tuple[str, ...]
) -> None:
    done = typed("keys", *arguments, "--json")
    assert (done.code, done.error["reason"]) == (2, "BAD_OPTION")


def test_without_a_platform_there_is_nothing_to_write_to(typed: Fxmesh) -> None:
    assert typed("keys", "list", "--json").error["reason"] == "NOT_RUNNING"
    gone = typed("keys", "list", "--nats", "nats://me:hunter2@127.0.0.1:1", "--json")
    assert (gone.code, gone.error["reason"]) == (5, "BUS_UNAVAILABLE")
    assert "hunter2" not in gone.out + gone.err


def test_the_scopes_are_those_of_the_contracts(typed: Fxmesh) -> None:
    scopes = typed("keys", "scopes", "--json").data["scopes"]
    assert "fxmesh.trading.v1.TradingService/PlaceOrder" in scopes["trading.orders:write"]


def test_the_operators_token_is_printed_while_it_is_good(typed: Fxmesh, tmp_path: Path) -> None:
    assert typed("token", "--json").error["reason"] == "NO_TOKEN"
    home = Home.at(tmp_path / "home")
    now = time.time()
    issuer = Issuer(home.secrets, TRUST, ("operator",), lambda: now)
    issuer.open()
    printed = typed("token")
    assert printed.out.strip() == home.token("operator").read_text()
    now -= 7200
    issuer.renew()
    expired = typed("token", "--json")
    assert (expired.code, expired.error["reason"]) == (3, "NO_TOKEN")
    assert "expired" in expired.error["message"]
