"""The users of a platform's nats-server: their permissions as its configuration has them, and a new password
for each at every start.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import secret_files
from services.cli.home import Home

if TYPE_CHECKING:
    from services.runtime.bus.credentials import Credentials
    from services.runtime.bus.permissions import Permissions
    from services.runtime.policy import ServicePolicy

_PASSWORD_BYTES = 32


def authorization(known: Mapping[str, Permissions], password: Callable[[str], str]) -> str:
    """The block `authorization` of nats-server's configuration. `password` gives a user's as it is to stand
    there: text in quotes, or the name of a variable.
    """
    entries = [_user(name, password(name), permissions) for name, permissions in known.items()]
    return "\n".join(("authorization {", "  users = [", *entries, "  ]", "}", ""))


def issue(home: Home, services: Iterable[ServicePolicy]) -> None:
    """Write new passwords, one file a user, and what nats-server is told of all of them."""
    from services.runtime.bus.permissions import users

    known = users(services)
    # A letter first: what looks like a number would be one to nats-server.
    words = {name: f"p{secrets.token_urlsafe(_PASSWORD_BYTES)}" for name in known}
    for name, word in words.items():
        secret_files.write(_password_file(home, name), word)
    secret_files.write(home.nats_users, authorization(known, lambda name: _quoted(words[name])))


def operator(home: Home) -> Credentials | None:
    """As whom a command connects; None where the platform's server asks nobody."""
    from services.runtime.bus.credentials import Credentials
    from services.runtime.bus.permissions import OPERATOR

    password = _password_file(home, OPERATOR)
    return Credentials(OPERATOR, password) if password.exists() else None


def login(home: Home) -> dict[str, str]:
    """User and password of the operator, for a greeting; empty where there is none (yet)."""
    try:
        return {
            "user": "operator",
            "pass": _password_file(home, "operator").read_text(encoding="utf-8").strip(),
        }
    except OSError:
        return {}


def environment(home: Home, user: str) -> dict[str, str]:
    """What a process is told of its user."""
    return {"FXMESH_NATS_USER": user, "FXMESH_NATS_PASSWORD_FILE": str(_password_file(home, user))}


def _password_file(home: Home, user: str) -> Path:
    return home.nats_secrets / f"{user}.password"


def _user(name: str, password: str, permissions: Permissions) -> str:
    lines = (
        f"    {{ user: {_quoted(name)}, password: {password}, permissions: {{",
        f"      publish: {{ allow: [{_listed(permissions.publish)}] }}",
        f"      subscribe: {{ allow: [{_listed(permissions.subscribe)}] }}",
        "    } }",
    )
    return "\n".join(lines)


def _listed(subjects: Iterable[str]) -> str:
    return "".join(f"\n        {_quoted(each)}" for each in subjects) + "\n      "


def _quoted(text: str) -> str:
    return json.dumps(text)
