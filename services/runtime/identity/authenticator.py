"""The decision who calls, by whatever credentials came with the call.

What was decided is kept until the credentials expire: the next call with them is one look-up. Tokens are kept
as they came; of API keys, which live for long, only a hash. Everything kept is forgotten as soon as keys,
revocations or signing keys change.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from services.errors import FxError
from services.runtime.identity.keys import PREFIX, Secret, taken_apart
from services.runtime.identity.principal import Principal, PrincipalKind
from services.runtime.identity.proof import Proof, holds_until
from services.runtime.identity.rights import Rights
from services.runtime.identity.snapshot import Snapshot
from services.runtime.identity.tokens import TokenVerifier, refused
from services.runtime.ports import Clock

CACHED, PASSED = "CACHED", "PASSED"
"""Outcomes beside the reasons of refusals."""
_KEPT = 4096
_LONGEST = 8192
_CERTIFICATE = "spiffe://fxmesh/"
_NOBODY = Secret("", "0" * 64, 0.0)


@dataclass(slots=True)
class _State:
    """One object, replaced whole: a decision under way in another thread ends up with what it was made by."""

    known: Snapshot
    decided: OrderedDict[str | bytes, tuple[Proof, float]] = field(default_factory=OrderedDict)
    """What is proved and until when, in nanoseconds since 1970."""


class Authenticator:
    """Decides. `outcomes` counts, by CACHED, PASSED or the reason of the refusal."""

    def __init__(self, tokens: TokenVerifier, rights: Rights, clock: Clock) -> None:
        self._tokens = tokens
        self._rights = rights
        self._clock = clock
        self._state = _State(Snapshot())
        self.outcomes: Counter[str] = Counter()
        self._changed: list[Callable[[], None]] = []

    @property
    def known(self) -> Snapshot:
        """The keys and revocations that decide."""
        return self._state.known

    def follow(self, known: Snapshot) -> None:
        """Decide by these from now on."""
        self._state = _State(known)
        for changed in self._changed:
            changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever keys or revocations have changed."""
        self._changed.append(listener)

    def forget(self) -> None:
        """Check every token anew: signing keys have changed."""
        self._state = _State(self._state.known)

    def principal(self, authorization: str | bytes | None) -> Principal:
        """Who an `authorization` header stands for. Raises what `proof` does."""
        return self.proof(authorization).principal

    def left_s(self, proof: Proof) -> float:
        """How long what was proved holds; infinite where no key ends it. Raises FxError once it is over."""
        now = self._now()
        return holds_until(proof, self._state.known, now) - now

    def proof(self, authorization: str | bytes | None) -> Proof:
        """What an `authorization` header proves. Raises FxError, without what the header says."""
        state = self._state
        kept_by: str | bytes = authorization if isinstance(authorization, str) else _digest(authorization)
        decided = state.decided.get(kept_by)
        if decided is None and isinstance(kept_by, str) and PREFIX in kept_by:
            kept_by = _digest(kept_by)  # no API key is kept as it came
            decided = state.decided.get(kept_by)
        if decided is not None and self._clock.now_ns() < decided[1]:
            self.outcomes[CACHED] += 1
            return decided[0]
        try:
            proof, until = self._decide(state.known, _encoded(authorization))
        except FxError as error:
            self.outcomes[error.reason] += 1
            raise
        self.outcomes[PASSED] += 1
        self._keep(state, kept_by, proof, until)
        return proof

    def of_certificate(self, names: Iterable[str]) -> Proof | None:
        """That of the service which a verified peer certificate names; None where it names none."""
        principal = principal_of_certificate(names, self._rights)
        if principal is None:
            return None
        proof = Proof(principal)
        holds_until(proof, self._state.known, self._now())
        return proof

    def _decide(self, known: Snapshot, given: bytes) -> tuple[Proof, float]:
        if not given:
            raise refused(
                "CREDENTIALS_MISSING", "no credentials came with the call: send `authorization: Bearer KEY`"
            )
        kind, _, credentials = given[:_LONGEST].decode("ascii", "replace").strip().partition(" ")
        credentials = credentials.strip()
        if kind.lower() != "bearer" or not credentials:
            raise refused("TOKEN_INVALID", "the authorization is not of the form `Bearer KEY`")
        if credentials.startswith(PREFIX):
            return self._by_key(known, credentials)
        return self._by_token(known, credentials)

    def _by_key(self, known: Snapshot, credentials: str) -> tuple[Proof, float]:
        key_id, given = taken_apart(credentials)
        key, secret = known.by_secret.get(key_id, (None, _NOBODY))
        if not secret.proves(given) or key is None:
            raise refused("KEY_INVALID", "there is no such API key")
        principal = Principal(key.name, PrincipalKind.KEY, self._rights.held(key.scopes))
        proof = Proof(principal, key_id=key_id)
        return proof, holds_until(proof, known, self._now())

    def _by_token(self, known: Snapshot, credentials: str) -> tuple[Proof, float]:
        verified = self._tokens.verify(credentials)
        proof = Proof(verified.principal, token_id=verified.token_id)
        holds_until(proof, known, self._now())
        return proof, verified.expires_at

    def _keep(self, state: _State, kept_by: str | bytes, proof: Proof, until: float) -> None:
        state.decided[kept_by] = (proof, until * 1e9)
        while len(state.decided) > _KEPT:
            with suppress(KeyError):  # another thread has just made room
                state.decided.popitem(last=False)

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9


def _encoded(authorization: str | bytes | None) -> bytes:
    return authorization if isinstance(authorization, bytes) else (authorization or "").encode()


def _digest(authorization: str | bytes | None) -> bytes:
    return hashlib.sha256(_encoded(authorization)).digest()


def principal_of_certificate(names: Iterable[str], rights: Rights) -> Principal | None:
    """The service behind the names of a verified certificate: the URI `spiffe://fxmesh/<folder name>`."""
    for name in names:
        service = name.removeprefix(_CERTIFICATE)
        if service != name and service in rights.services:
            return Principal(service, PrincipalKind.SERVICE)
    return None
