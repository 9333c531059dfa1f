"""A process does not run without identity by mistake; and keys may come from an address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.errors import FxError, Kind
from services.runtime import health as health_module
from services.runtime import watch
from services.runtime.clock import WallClock
from services.runtime.fatal import FatalError
from services.runtime.health import Health, State, Status
from services.runtime.identity.identity import begin, own_token
from services.runtime.identity.issuer import KEY_SET
from services.runtime.identity.jwks import KeySet, fetcher
from services.runtime.identity.rights import rights
from services.runtime.identity.snapshot import Denial, of
from services.runtime.identity.tokens import TokenVerifier
from services.runtime.settings import RuntimeSettings
from tests.kit.identity import LOG, TRUST, Still, Trusted
from tests.kit.nats import until

ADDRESS = "https://issuer.example/keys"


def begun(**given: Any) -> Any:
    return begin(RuntimeSettings(**given), WallClock(), LOG)


def test_without_keys_a_process_does_not_start() -> None:
    with pytest.raises(FatalError, match="FXMESH_JWKS is not set"):
        begun()
    with pytest.raises(FatalError, match="FXMESH_TOKEN_FILE is not set"):
        own_token(RuntimeSettings(), WallClock(), LOG)


def test_it_is_switched_off_on_loopback_only() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert begun(identity="off", host=host) is None
    for host in ("0.0.0.0", "10.0.0.1", "::", "trading.example"):
        with pytest.raises(FatalError, match="anybody on the network could trade"):
            begun(identity="off", host=host)
    assert own_token(RuntimeSettings(identity="off"), WallClock(), LOG) is None


def test_with_them_it_decides(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets")
    identity = begun(
        jwks=(str(trusted.folder / KEY_SET),),
        token_issuer=TRUST.issuer,
        token_audience=TRUST.audience,
        token_namespace=TRUST.namespace,
    )
    assert identity.authenticator.principal(f"Bearer {trusted.token('market_data')}").name == "market_data"


async def test_a_key_that_is_not_known_yet_is_fetched_and_the_call_may_come_again(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets")
    answers: list[bytes] = []

    def fetch(address: str) -> bytes:
        assert address == ADDRESS
        if not answers:
            raise OSError("nobody answers")
        return answers[-1]

    keys = KeySet((ADDRESS,), Still(), LOG, fetch)
    verifier = TokenVerifier(keys, TRUST, rights())
    token = trusted.token("market_data")
    with pytest.raises(FxError) as caught:
        verifier.verify(token)
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "IDENTITY_UNAVAILABLE")
    assert caught.value.retry_after_s
    answers.append((trusted.folder / KEY_SET).read_bytes())
    await keys.fetch()
    assert verifier.verify(token).principal.name == "market_data"
    answers.clear()
    await keys.fetch()  # nobody answers any more: the keys stay
    assert verifier.verify(token).principal.name == "market_data"
    with pytest.raises(FxError) as caught:
        verifier.verify(Trusted(tmp_path / "other").token("market_data"))
    assert caught.value.reason == "TOKEN_INVALID"


def test_an_address_is_asked_over_tls_that_is_checked(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="FXMESH_JWKS_CA"):
        fetcher(tmp_path / "nothing.pem", None)
    with pytest.raises(OSError, match="refused"):
        fetcher(None, None)("https://127.0.0.1:1/keys")


async def test_a_process_tells_that_its_own_identity_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "TELL_EVERY_S", 0.001)
    authenticator = Trusted(tmp_path / "secrets").authenticator
    health = Health()
    health.started()

    def told() -> list[tuple[str, State]]:
        return [(each.name, each.state) for each in health.dependencies()]

    watching = asyncio.create_task(watch.watch_standing("market_data", authenticator, health))
    authenticator.follow(of([], [Denial(service="trading_gateway")]))
    await asyncio.sleep(0)
    assert told() == []
    authenticator.follow(of([], [Denial(service="market_data")]))
    await until(lambda: told() == [("own identity", State.DOWN)])
    assert health.status is Status.DEGRADED
    assert "`fxmesh keys allow --service market_data`" in health.dependencies()[0].detail
    authenticator.follow(of([]))
    await until(lambda: health.status is Status.SERVING)
    watching.cancel()


async def test_a_process_tells_of_revocations_that_nats_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "TELL_EVERY_S", 0.001)
    authenticator = Trusted(tmp_path / "secrets").authenticator
    health = Health()
    health.started()
    watching = asyncio.create_task(watch.watch_revocations(authenticator, health))
    authenticator.follow(of([], [], [Denial(service="market_data"), Denial(token_id="t" * 32)]))
    await until(lambda: health.status is Status.DEGRADED)
    (told,) = health.dependencies()
    assert (told.name, told.state) == ("revocations", State.DOWN)
    assert "`fxmesh keys revoke --service market_data`" in told.detail
    assert f"`fxmesh keys revoke --token {'t' * 32}`" in told.detail
    authenticator.follow(of([], [Denial(service="market_data")]))
    await until(lambda: health.status is Status.SERVING)
    watching.cancel()
