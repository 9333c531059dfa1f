"""What a command calls with: the API key in FXMESH_KEY, else the operator's token in the platform's folder.
A program on the stubs gets the same from `channel_credentials`.

Whoever may read that folder is the operator. The token goes to this machine only: an address elsewhere, given
with --address, could be anybody's.
"""

from __future__ import annotations

import ipaddress
import time
from base64 import urlsafe_b64decode
from json import loads
from typing import TYPE_CHECKING

from services.cli.config import api_key, home_folder
from services.cli.home import Home
from services.cli.output import CliError, ExitCode

if TYPE_CHECKING:
    from grpc import ChannelCredentials

OPERATOR = "operator"


def bearer(home: Home, address: str) -> str:
    """Credentials for a call to `host:port`; empty where there are none, and the service will say so."""
    key = api_key()
    if key or not _is_here(address):
        return key
    try:
        return home.token(OPERATOR).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def operator_token(home: Home) -> str:
    """The operator's token, good for most of an hour. Raises CliError NO_TOKEN."""
    try:
        token = home.token(OPERATOR).read_text(encoding="ascii").strip()
        until = float(loads(_decoded(token.split(".")[1]))["exp"])
    except (OSError, ValueError, IndexError, KeyError) as missing:
        raise _none(home, "has no token that you can read") from missing
    if until < time.time():
        raise _none(home, "has only a token that has expired")
    return token


def channel_credentials() -> ChannelCredentials:
    """For `grpc.secure_channel` and `grpc.aio.secure_channel` to a port of this machine without TLS.

    gRPC itself refuses them for any other address. Raises CliError NO_TOKEN where there is neither key nor
    token. A token is good for most of an hour: a program that runs longer is for a key.
    """
    import grpc

    token = api_key() or operator_token(Home.at(home_folder()))
    return grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.access_token_call_credentials(token)
    )


def _none(home: Home, why: str) -> CliError:
    return CliError(
        "NO_TOKEN",
        f"The platform in {home.root} {why}.",
        "`fxmesh up` issues one while it runs (another folder: --home or FXMESH_HOME).",
        ExitCode.PLATFORM_STATE,
    )


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _is_here(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
