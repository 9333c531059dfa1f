"""An identity of its own for a test: an issuer in a folder, keys without a store, the decision on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from services.runtime.clock import WallClock
from services.runtime.identity.authenticator import Authenticator
from services.runtime.identity.identity import Identity
from services.runtime.identity.issuer import KEY_SET, TOKENS, Issuer, Lives
from services.runtime.identity.jwks import KeySet
from services.runtime.identity.keys import KeyRecord, new_secret
from services.runtime.identity.rights import Rights, rights
from services.runtime.identity.snapshot import Denial, of
from services.runtime.identity.token_file import TokenFile
from services.runtime.identity.tokens import OPERATOR, TokenVerifier, Trust
from services.runtime.ports import Clock

TRUST = Trust(issuer="test", audience="fxmesh", namespace="here")
LOG = structlog.get_logger()


class Still(WallClock):
    """Whose monotonic time does not pass, however slow the machine."""

    def monotonic(self) -> float:
        return 1000.0


def no_fetch(address: str) -> bytes:
    raise OSError(f"nothing is to be fetched, least of all {address}")


class Trusted:
    """`now` may be moved: it is the issuer's clock only, so that old and future tokens can be issued."""

    def __init__(
        self,
        folder: Path,
        contracts: Rights | None = None,
        accounts: Sequence[str] = (OPERATOR,),
        lives: Lives | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self.rights = contracts or rights()
        self.now: Callable[[], float] = time.time
        self.issuer = Issuer(folder, TRUST, accounts, self._time, lives)
        self.issuer.open()
        self.keys = KeySet((str(folder / KEY_SET),), clock or WallClock(), LOG, no_fetch)
        self.authenticator = Authenticator(
            TokenVerifier(self.keys, TRUST, self.rights), self.rights, WallClock()
        )
        self.keys.on_change(self.authenticator.forget)
        self.identity = Identity(self.authenticator, self.keys, self.rights)
        self._records: list[KeyRecord] = []

    def _time(self) -> float:
        return self.now()

    def token(self, account: str, life_s: float | None = None) -> str:
        """A token of a service, by folder name, or of the operator."""
        return self.issuer.token(account, life_s)

    def own(self, account: str) -> TokenFile:
        """The token of one of `accounts`, as its process has it."""
        return TokenFile(self.folder / TOKENS / f"{account}.jwt", WallClock(), LOG)

    def key(self, name: str, *scopes: str, expires_at: float | None = None, revoked: bool = False) -> str:
        """An API key, known at once."""
        secret, shown = new_secret(time.time())
        revoked_at = time.time() if revoked else None
        self._records.append(KeyRecord(name, scopes, time.time(), expires_at, revoked_at, (secret,)))
        self.follow()
        return shown

    def follow(self, *denials: Denial) -> None:
        """Decide by all keys made so far, and by these denials."""
        self.authenticator.follow(of(self._records, denials))
