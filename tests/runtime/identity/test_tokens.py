"""Which tokens stand for somebody: signed by the issuer, for this platform, now, and by nothing else."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from services.errors import FxError, Kind
from services.runtime.clock import WallClock
from services.runtime.identity import PrincipalKind
from services.runtime.identity.issuer import KEY_SET
from services.runtime.identity.jwks import KeySet
from services.runtime.identity.rights import rights
from services.runtime.identity.tokens import TokenVerifier, subject_of
from tests.kit.identity import LOG, TRUST, Trusted, no_fetch


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return Trusted(tmp_path / "secrets")


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    subject = subject_of(TRUST.namespace, "market-data")
    plain = {"iss": TRUST.issuer, "aud": TRUST.audience, "sub": subject, "iat": now, "exp": now + 600}
    return {name: value for name, value in {**plain, **changed}.items() if value is not None}


def signed(trusted: Trusted, said: dict[str, Any]) -> str:
    """By the key that signs the platform's own tokens."""
    (kept,) = json.loads((trusted.folder / "signing.json").read_text())
    return jwt.encode(said, kept["private"], algorithm="EdDSA", headers={"kid": kept["id"]})


def by_hmac(header: dict[str, str], secret: str) -> str:
    """By hand, because the library refuses to sign with what is public."""
    parts = [json.dumps(each).encode() for each in ({**header, "alg": "HS256", "typ": "JWT"}, claims())]
    body = b".".join(urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    key = urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    signature = urlsafe_b64encode(hmac.digest(key, body, "sha256")).rstrip(b"=")
    return f"{body.decode()}.{signature.decode()}"


def refusal(trusted: Trusted, token: str) -> FxError:
    with pytest.raises(FxError) as caught:
        trusted.authenticator.principal(f"Bearer {token}")
    assert caught.value.kind is Kind.UNAUTHENTICATED
    assert token[-20:] not in str(caught.value)
    return caught.value


def test_a_token_stands_for_the_service_or_the_operator(trusted: Trusted) -> None:
    service = trusted.authenticator.principal(f"Bearer {trusted.token('market_data')}")
    assert (service.name, service.kind, service.scopes) == ("market_data", PrincipalKind.SERVICE, frozenset())
    operator = trusted.authenticator.principal(f"bearer  {trusted.token('operator')} ")
    assert (operator.kind, operator.scopes) == (PrincipalKind.OPERATOR, rights().scopes)


@pytest.mark.parametrize(
    ("changed", "reason", "why"),
    [
        ({"exp": int(time.time()) - 60}, "TOKEN_EXPIRED", "expired"),
        ({"nbf": int(time.time()) + 86_400}, "TOKEN_INVALID", "not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "TOKEN_INVALID", "not valid yet"),
        ({"aud": "https://kubernetes.default.svc"}, "TOKEN_INVALID", "another audience"),
        ({"iss": "somebody"}, "TOKEN_INVALID", "another issuer"),
        ({"exp": None}, "TOKEN_INVALID", "a claim is missing"),
        ({"sub": None}, "TOKEN_INVALID", "a claim is missing"),
        ({"sub": subject_of("elsewhere", "market-data")}, "TOKEN_INVALID", "nobody"),
        ({"sub": subject_of(TRUST.namespace, "stranger")}, "TOKEN_INVALID", "nobody"),
        ({"sub": "market-data"}, "TOKEN_INVALID", "nobody"),
        ({"sub": "operator"}, "TOKEN_INVALID", "nobody"),
        ({"exp": "soon"}, "TOKEN_INVALID", "malformed"),
    ],
)
def test_a_genuine_token_that_does_not_fit_is_refused(
    trusted: Trusted, changed: dict[str, Any], reason: str, why: str
) -> None:
    assert trusted.authenticator.principal(f"Bearer {signed(trusted, claims())}").name == "market_data"
    error = refusal(trusted, signed(trusted, claims(**changed)))
    assert error.reason == reason
    assert why in error.detail


def test_clocks_may_differ_by_some_seconds(trusted: Trusted) -> None:
    now = int(time.time())
    for nearly in ({"exp": now - 2}, {"nbf": now + 3}):
        assert trusted.authenticator.principal(f"Bearer {signed(trusted, claims(**nearly))}").name


def test_only_the_algorithm_of_the_key_counts(trusted: Trusted) -> None:
    (kept,) = json.loads((trusted.folder / "signing.json").read_text())
    (public,) = json.loads((trusted.folder / KEY_SET).read_text())["keys"]
    header = {"kid": kept["id"]}
    unsigned = jwt.encode(claims(), "", algorithm="none", headers=header)
    # The oldest trick: the public key, taken for the secret of a symmetric signature.
    symmetric = by_hmac(header, public["x"])
    stranger = ed25519.Ed25519PrivateKey.generate()
    forged = jwt.encode(claims(), stranger, algorithm="EdDSA", headers=header)
    unknown = jwt.encode(claims(), stranger, algorithm="EdDSA", headers={"kid": "other"})
    nameless = jwt.encode(claims(), stranger, algorithm="EdDSA")
    for token in (unsigned, symmetric, forged, unknown, nameless):
        assert refusal(trusted, token).reason == "TOKEN_INVALID"


@pytest.mark.parametrize("text", ["", ".", "a.b.c", "\x00", "ü", "x" * 20_000, "fxm.a.b"])
def test_nonsense_is_no_token(trusted: Trusted, text: str) -> None:
    with pytest.raises(FxError) as caught:
        trusted.authenticator.principal(f"Bearer {text}")
    assert caught.value.reason == "TOKEN_INVALID"


def test_a_changed_claim_breaks_the_signature(trusted: Trusted) -> None:
    head, _, signature = trusted.token("market_data").split(".")
    other = claims(sub=subject_of(TRUST.namespace, "operator"))
    body = urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
    assert refusal(trusted, f"{head}.{body}.{signature}").reason == "TOKEN_INVALID"


Made: TypeAlias = tuple[Any, dict[str, Any], str]
"""A private key, the public one as a key set has it, and the algorithm."""


def _rsa(bits: int) -> Made:
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return private, RSAAlgorithm.to_jwk(private.public_key(), as_dict=True), "RS256"


def _p256() -> Made:
    private = ec.generate_private_key(ec.SECP256R1())
    return private, ECAlgorithm(ECAlgorithm.SHA256).to_jwk(private.public_key(), as_dict=True), "ES256"


@pytest.mark.parametrize("make", [lambda: _rsa(2048), _p256], ids=["as Kubernetes signs", "P-256"])
def test_other_issuers_sign_otherwise(
    make: Callable[[], tuple[Any, dict[str, Any], str]], tmp_path: Path
) -> None:
    private, public, algorithm = make()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{**public, "kid": "k"}]}))
    verifier = TokenVerifier(KeySet((str(path),), WallClock(), LOG, no_fetch), TRUST, rights())
    token = jwt.encode(claims(), private, algorithm=algorithm, headers={"kid": "k"})
    assert verifier.verify(token).principal.name == "market_data"


def test_keys_that_are_too_weak_or_not_for_signing_are_left_out(tmp_path: Path) -> None:
    weak = _rsa(1024)[1]
    strong = _rsa(2048)[1]
    listed = [
        {**weak, "kid": "weak"},
        {**strong, "kid": "other use", "use": "enc"},
        {**strong, "kid": "other algorithm", "alg": "RS512"},
        {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
        {**strong, "kid": ""},
        {**strong, "kid": "good", "use": "sig", "alg": "RS256"},
    ]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": listed}))
    keys = KeySet((str(path),), WallClock(), LOG, no_fetch)
    keys.read_files()
    assert [each["kid"] for each in listed if keys.find(each["kid"])] == ["good"]


def test_private_keys_and_tokens_are_for_their_owner_only(trusted: Trusted) -> None:
    for path in [trusted.folder, *trusted.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
