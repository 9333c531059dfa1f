"""The keys and revocations of a platform, as the operator changes them: in NATS, where every process follows.

Each change is one write that holds only if nobody wrote meanwhile, so two people cannot undo each other's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import nats
from nats import errors
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from services.cli.output import CliError, ExitCode
from services.runtime.identity import bucket
from services.runtime.identity.keys import KeyRecord, new_secret
from services.runtime.identity.snapshot import KEYS, Denial, Snapshot, snapshot
from services.runtime.settings import without_credentials

_CONNECT_S = 5


class KeyStore:
    """What the commands `keys …` do. Every method raises CliError."""

    def __init__(self, jetstream: Any, entries: KeyValue) -> None:
        self._jetstream = jetstream
        self._entries = entries

    async def all(self) -> Snapshot:
        """What every process of the platform knows."""
        return snapshot(await bucket.entries(self._jetstream))[0]

    async def create(
        self, name: str, scopes: tuple[str, ...], expires_at: float | None
    ) -> tuple[KeyRecord, str]:
        """A new key, and the text to be handed over: nobody can show it again."""
        now = time.time()
        secret, shown = new_secret(now)
        record = KeyRecord(name, scopes, now, expires_at, None, (secret,))
        try:
            await self._entries.create(f"{KEYS}.{name}", record.to_json())
        except KeyWrongLastSequenceError as taken:
            raise CliError(
                "KEY_EXISTS",
                f"There is a key {name} already.",
                f"`fxmesh keys rotate {name}` gives it a new secret while it is valid; another name makes "
                "another key.",
                ExitCode.REFUSED,
            ) from taken
        return record, shown

    async def rotate(self, name: str, overlap_s: float) -> tuple[KeyRecord, str]:
        """A new secret for a key; those before it go on for `overlap_s`."""
        record, revision = await self._read(name)
        if record.revoked_at is not None:
            message = f"The key {name} has been revoked."
            raise CliError("KEY_REVOKED", message, "Create one with another name.", ExitCode.REFUSED)
        now = time.time()
        if record.expires_at is not None and record.expires_at <= now:
            message = f"The key {name} has expired, and a new secret of it would have too."
            raise CliError("KEY_EXPIRED", message, "Create one with another name.", ExitCode.REFUSED)
        secret, shown = new_secret(now)
        rotated = record.rotated(secret, now + overlap_s)
        await self._write(rotated, revision)
        return rotated, shown

    async def revoke(self, name: str) -> KeyRecord:
        """Refuse a key from now on. One that is revoked already stays as it is."""
        record, revision = await self._read(name)
        if record.revoked_at is None:
            record = replace(record, revoked_at=time.time())
            await self._write(record, revision)
        return record

    async def deny(self, denial: Denial) -> None:
        """Refuse a token by its id, or all tokens of a service."""
        await self._entries.put(denial.entry, denial.to_json())

    async def allow(self, denial: Denial) -> bool:
        """Take a denial back; False where there was none. That is written all the same: processes may keep
        one that NATS has lost.
        """
        try:
            await self._entries.get(denial.entry)
        except KeyNotFoundError:
            there_was = False
        else:
            there_was = True
        await self._entries.delete(denial.entry)
        return there_was

    async def _read(self, name: str) -> tuple[KeyRecord, int]:
        try:
            entry = await self._entries.get(f"{KEYS}.{name}")
        except KeyNotFoundError as missing:
            hint = "`fxmesh keys list` shows them."
            raise CliError("UNKNOWN_KEY", f"There is no key {name}.", hint, ExitCode.REFUSED) from missing
        assert entry.value is not None and entry.revision is not None
        return KeyRecord.from_json(entry.value), entry.revision

    async def _write(self, record: KeyRecord, revision: int) -> None:
        try:
            await self._entries.update(f"{KEYS}.{record.name}", record.to_json(), last=revision)
        except KeyWrongLastSequenceError as raced:
            message = f"Somebody else has just changed the key {record.name}: nothing was done."
            raise CliError("CONFLICT", message, "Look with `fxmesh keys list`.", ExitCode.REFUSED) from raced


@asynccontextmanager
async def opened(url: str, options: dict[str, Any]) -> AsyncIterator[KeyStore]:
    """The store of the platform whose NATS is at `url`; `options` go to nats-py's connect.

    Raises CliError BUS_UNAVAILABLE, exit code 5.
    """

    async def quiet(_: Exception) -> None:
        """What matters is raised where it is waited for."""

    client: Any = None
    try:
        client = await nats.connect(
            url.split(","),
            name="fxmesh keys",
            connect_timeout=_CONNECT_S,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of the first connection as well: a person waits
            reconnect_time_wait=0,
            error_cb=quiet,
            **options,
        )
        jetstream = client.jetstream()
        try:
            await jetstream.stream_info(bucket.STREAM)
        except nats.js.errors.NotFoundError:
            await bucket.make_bucket(jetstream, replicas=1)
        yield KeyStore(jetstream, await jetstream.key_value(bucket.BUCKET))
    except (errors.Error, OSError, TimeoutError) as trouble:
        why = str(trouble) or type(trouble).__name__
        raise CliError(
            "BUS_UNAVAILABLE",
            f"NATS at {without_credentials(url)} does not answer ({why}).",
            "See `fxmesh status`; --nats names another address.",
            ExitCode.UNAVAILABLE,
        ) from trouble
    finally:
        if client is not None:
            with suppress(errors.Error, OSError, TimeoutError):
                await client.close()
