"""What `fxmesh keys` asks of the store, and how the answers read."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import jwt

from services.cli import bus, inputs, key_store
from services.cli.home import Home
from services.cli.key_store import KeyStore
from services.cli.output import CliError, ExitCode
from services.cli.render import Printer, Table
from services.runtime.identity.keys import NAME, KeyRecord
from services.runtime.identity.rights import matching, rights
from services.runtime.identity.snapshot import Denial
from services.runtime.policy import method_policies, service_policies

_TOKEN_ID = re.compile(r"[A-Za-z0-9-]{16,64}").fullmatch  # ours are 32 hex digits, Kubernetes' are UUIDs

Work: TypeAlias = Callable[[KeyStore, Printer], Awaitable[None]]


def run(home: Home, url: str, as_json: bool, work: Work) -> None:
    """Do `work` on the store of the platform in `home`, or of the NATS at `url`. Raises CliError."""

    async def body() -> None:
        async with key_store.opened(*bus.access(home, url)) as store:
            await work(store, Printer(as_json))

    asyncio.run(body())


def create(name: str, granted: tuple[str, ...], everything: bool, expires: str) -> Work:
    """Raises CliError BAD_OPTION for a name or scope that cannot be."""
    if not NAME.fullmatch(name):
        raise _wrong(f"{name} is no name of a key.", "Use letters, digits, - and _, at most 64.")
    if bool(granted) == everything:
        raise _wrong("A key needs --scope, or --all-scopes.", "`fxmesh keys scopes` lists them.")
    wanted = ("*",) if everything else granted
    for each in wanted:
        if not matching(each, rights().scopes):
            raise _wrong(f"--scope {each} stands for no scope there is.", "`fxmesh keys scopes` lists them.")
    life = inputs.duration(expires).seconds if expires else None
    if life == 0:
        raise _wrong("--expires 0 makes a key that is over already.", "Write it as 8h or 30d.")

    async def work(store: KeyStore, out: Printer) -> None:
        ends = None if life is None else time.time() + life
        _handed_over(out, *await store.create(name, wanted, ends))

    return work


def rotate(name: str, overlap: str) -> Work:
    """Raises CliError BAD_OPTION for an overlap that is no time."""
    seconds = float(inputs.duration(overlap).seconds) if overlap else 0.0

    async def work(store: KeyStore, out: Printer) -> None:
        _handed_over(out, *await store.rotate(name, seconds))

    return work


def revoke(name: str, token: str, service: str) -> Work:
    """Raises CliError BAD_OPTION unless exactly one is named."""
    _one_of(name, token, service)
    token = _token_id(token)
    denial = Denial(token, _known(service), time.time())

    async def work(store: KeyStore, out: Printer) -> None:
        if name:
            out.answer(_document(await store.revoke(name)), f"The key {name} is revoked.")
            return
        await store.deny(denial)
        what = f"Every token of {service}" if service else f"The token {token}"
        out.answer({"tokenId": token, "service": service}, f"{what} is refused from now on.")

    return work


def allow(token: str, service: str) -> Work:
    """Raises CliError BAD_OPTION unless exactly one is named."""
    _one_of(token, service)
    token = _token_id(token)
    denial = Denial(token, _known(service))

    async def work(store: KeyStore, out: Printer) -> None:
        there_was = await store.allow(denial)
        said = (
            "It is taken again."
            if there_was
            else "NATS knew of no refusal; a process that kept one that was lost takes it again."
        )
        out.answer({"tokenId": token, "service": service, "allowed": there_was}, said)

    return work


async def show(store: KeyStore, out: Printer) -> None:
    """All keys, and below them what else is refused."""
    known = await store.all()
    document = {
        "keys": [_document(each) for each in known.keys],
        "denials": [
            {"tokenId": each.token_id, "service": each.service, "since": _clock(each.since)}
            for each in known.denials
        ],
    }
    rows = [
        (each.name, _state(each), " ".join(each.scopes), _clock(each.created_at), _clock(each.expires_at))
        for each in known.keys
    ]
    shown: list[Table | str] = [
        Table(
            ("NAME", "STATE", "SCOPES", "CREATED (UTC)", "EXPIRES (UTC)"),
            rows,
            empty="No keys yet: `fxmesh keys create NAME --scope …` makes one.",
        )
    ]
    if known.denials:
        refused = [(each.service or f"token {each.token_id}", _clock(each.since)) for each in known.denials]
        shown.append(Table(("REFUSED", "SINCE (UTC)"), refused))
    out.answer(document, *shown)


def show_scopes(as_json: bool) -> None:
    """Every scope with the methods that need it."""
    needed: dict[str, list[str]] = {}
    for service in service_policies():
        for method in method_policies(service.full_name):
            needed.setdefault(method.scope, []).append(method.path[1:])
    rows = [(scope, ", ".join(path.partition("/")[2] for path in needed[scope])) for scope in sorted(needed)]
    Printer(as_json).answer({"scopes": dict(sorted(needed.items()))}, Table(("SCOPE", "METHODS"), rows))


def _handed_over(out: Printer, record: KeyRecord, shown: str) -> None:
    out.answer({**_document(record), "key": shown}, shown)
    out.note(f"this is the key {record.name}; it is not shown again. FXMESH_KEY hands it to `fxmesh`")


def _document(record: KeyRecord) -> Mapping[str, Any]:
    """What may be shown of a key: no hash, so that nothing needs to be thought about."""
    return {
        "name": record.name,
        "state": _state(record),
        "scopes": list(record.scopes),
        "createdAt": _clock(record.created_at),
        "expiresAt": _clock(record.expires_at),
        "revokedAt": _clock(record.revoked_at),
        "secrets": [
            {"id": each.id, "createdAt": _clock(each.created_at), "expiresAt": _clock(record.expiry(each))}
            for each in record.secrets
        ],
    }


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return "revoked"
    now = time.time()
    living = [each for each in record.secrets if (record.expiry(each) or now + 1) > now]
    if not living:
        return "expired"
    return "rotating" if len(living) > 1 else "valid"


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _one_of(*given: str) -> None:
    if sum(map(bool, given)) != 1:
        raise _wrong("Name one thing: a key, --token or --service.", "`fxmesh keys list` shows the keys.")


def _token_id(token: str) -> str:
    """The id (jti) of a token that is given whole or by its id; the token itself is a secret, and not kept.
    Raises CliError BAD_OPTION.
    """
    if token.count(".") == 2:
        try:
            token = str(jwt.decode(token, options={"verify_signature": False})["jti"])
        except (jwt.InvalidTokenError, KeyError) as wrong:
            raise _wrong("--token is no token with an id.", "Give a whole token, or its id (jti).") from wrong
    if token and not _TOKEN_ID(token):
        raise _wrong("--token is neither a token nor the id of one.", "Give a whole token, or its id (jti).")
    return token


def _known(service: str) -> str:
    if service and service not in rights().services:
        raise _wrong(
            f"--service {service}: there is none.", f"Known: {', '.join(sorted(rights().services))}."
        )
    return service


def _wrong(message: str, hint: str) -> CliError:
    return CliError("BAD_OPTION", message, hint, ExitCode.USAGE)
