"""Public keys by which tokens are known to be genuine: JSON Web Key Sets from files or https addresses.

Read again when a token names a key that is not known, at most so often, and every few seconds besides: a key
that was taken out must stop working. What cannot be read leaves the keys as they were.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jwt import PyJWK, PyJWTError
from structlog.typing import FilteringBoundLogger

from services.runtime.fatal import FatalError
from services.runtime.ports import Clock

ALGORITHMS: Mapping[tuple[str, str], str] = {
    ("OKP", "Ed25519"): "EdDSA",
    ("EC", "P-256"): "ES256",
    ("RSA", ""): "RS256",  # Kubernetes' issuer
}
"""The one algorithm of a kind of key: a token that names another is refused, whatever the key could do."""
LOOK_EVERY_S = 1.0
ADDRESSES_EVERY_S = 300.0
_ASK_AGAIN_S = 1.0
"""Between two looks that unknown keys cause: whoever invents key ids must not make us read all day."""
_RSA_BITS = 2048
_FETCH_S = 5.0
_FETCH_BYTES = 1 << 20

Fetch = Callable[[str], bytes]


class KeySet:
    """The keys of some sources. `find` never waits; `watch` keeps them current."""

    def __init__(self, sources: Sequence[str], clock: Clock, log: FilteringBoundLogger, fetch: Fetch) -> None:
        self._files = [Path(each) for each in sources if not each.startswith("https://")]
        self._addresses = [each for each in sources if each.startswith("https://")]
        self._clock = clock
        self._log = log
        self._fetch = fetch
        self._by_source: dict[str, dict[str, PyJWK]] = {}
        self._seen: dict[str, bytes] = {}
        self._keys: dict[str, PyJWK] = {}
        self._look_again_at = 0.0
        self.fetching = False
        """Whether a key that is not known may be about to come."""
        self._changed: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the keys have changed."""
        self._changed.append(listener)

    def find(self, key_id: str) -> PyJWK | None:
        """The key of this id; looks into the files again for one that is not known."""
        found = self._keys.get(key_id)
        now = self._clock.monotonic()
        if found is None and now >= self._look_again_at:
            self._look_again_at = now + _ASK_AGAIN_S
            self.read_files()
            self.fetching = bool(self._addresses)
            found = self._keys.get(key_id)
        return found

    def read_files(self) -> None:
        """Take in what the files hold now."""
        for path in self._files:
            try:
                self._take(str(path), path.read_bytes())
            except OSError as trouble:
                self._complain(str(path), trouble.strerror or type(trouble).__name__)

    async def fetch(self) -> None:
        """Take in what the addresses answer, each in a thread of its own."""
        for address in self._addresses:
            try:
                self._take(address, await asyncio.to_thread(self._fetch, address))
            except OSError as trouble:  # of urllib and ssl, too
                self._complain(address, str(trouble))
        self.fetching = False

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        fetch_at = 0.0
        while True:
            self.read_files()
            if self._addresses and (self.fetching or self._clock.monotonic() >= fetch_at):
                await self.fetch()
                fetch_at = self._clock.monotonic() + ADDRESSES_EVERY_S
            await self._clock.sleep(LOOK_EVERY_S)

    def _take(self, source: str, text: bytes) -> None:
        if self._seen.get(source) == text:
            return
        self._seen[source] = text
        try:
            self._by_source[source] = usable(text)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            self._complain(source, f"is no key set ({type(wrong).__name__})")
            return
        self._keys = {key_id: key for keys in self._by_source.values() for key_id, key in keys.items()}
        self._log.info("identity.keys_read", source=source, key_ids=sorted(self._by_source[source]))
        for changed in self._changed:
            changed()

    def _complain(self, source: str, why: str) -> None:
        if self._seen.get(source) != b"":
            self._log.warning("identity.keys_unreadable", source=source, error=why)
        self._seen[source] = b""  # once, until it can be read again


def usable(text: bytes) -> dict[str, PyJWK]:
    """The keys of a set that tokens may be checked with, by id. Raises what json and dict raise."""
    found: dict[str, PyJWK] = {}
    for each in json.loads(text)["keys"]:
        kind = str(each.get("kty", ""))
        algorithm = ALGORITHMS.get((kind, str(each.get("crv", ""))))
        fits = (
            algorithm is not None
            and each.get("alg", algorithm) == algorithm
            and each.get("use", "sig") == "sig"
        )
        if not fits or not each.get("kid"):
            continue
        try:
            key = PyJWK(each, algorithm)
        except PyJWTError:
            continue
        if kind != "RSA" or key.key.key_size >= _RSA_BITS:
            found[str(each["kid"])] = key
    return found


def fetcher(authority: Path | None, token_file: Path | None) -> Fetch:
    """Fetches over https: trusts `authority` (else the system's), shows the token in `token_file`."""
    try:
        trusted = ssl.create_default_context(cafile=str(authority) if authority else None)
    except OSError as wrong:
        raise FatalError(f"FXMESH_JWKS_CA is {str(authority)!r}: {wrong}") from wrong

    def fetch(address: str) -> bytes:
        headers = {"Accept": "application/json"}
        if token_file is not None:
            headers["Authorization"] = f"Bearer {token_file.read_text(encoding='utf-8').strip()}"
        request = urllib.request.Request(address, headers=headers)  # noqa: S310  https only, by KeySet
        opened: Any = urllib.request.urlopen(request, timeout=_FETCH_S, context=trusted)  # noqa: S310
        with opened as answer:
            content: bytes = answer.read(_FETCH_BYTES)
        return content

    return fetch
