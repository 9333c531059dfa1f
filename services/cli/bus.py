"""A connection to NATS for the commands that look at the bus itself, where no service stands between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import typer
from nats import errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.cli import nats_users
from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import state
from services.runtime.settings import without_credentials

_CONNECT_S = 3


def run(home: Path, url: str, work: Callable[[Client], Awaitable[ExitCode | None]]) -> None:
    """Do `work` on a connection to `url`, else to the NATS of the platform that runs in `home`; exits with
    what it returns. Raises CliError.
    """
    where, options = access(Home.at(home), url)
    try:
        code = asyncio.run(_connected(where, options, work))
    except KeyboardInterrupt:
        raise CliError("INTERRUPTED", "Interrupted.", "", ExitCode.INTERRUPTED) from None
    if code:
        raise typer.Exit(code)


def access(home: Home, url: str) -> tuple[str, dict[str, Any]]:
    """Where to connect, and nats-py's options that say as whom: the operator at the platform that runs in
    `home`, nobody at another `url`, which could be anybody's. Raises CliError.
    """
    try:
        running = state.load(home)
    except CliError:
        if url:
            return url, {}
        raise
    if url not in ("", running.nats_url):
        return url, {}
    operator = nats_users.operator(home)
    return running.nats_url, dict(operator.options()) if operator else {}


async def _connected(
    url: str, options: dict[str, Any], work: Callable[[Client], Awaitable[ExitCode | None]]
) -> ExitCode | None:
    shown = without_credentials(url)
    try:
        # The library's own time-outs are of one attempt, and it makes sixty.
        async with asyncio.timeout(_CONNECT_S):
            client = await nats.connect(url, allow_reconnect=False, error_cb=_quiet, name="fxmesh", **options)
    except (OSError, errors.Error, TimeoutError) as refused:
        raise _away(shown) from refused
    try:
        return await work(client)
    except NotFoundError as missing:
        raise CliError(
            "NO_BUS",
            f"NATS at {shown} has no stream of dead letters.",
            "No service of the platform has run there yet.",
            ExitCode.PLATFORM_STATE,
        ) from missing
    except (errors.Error, TimeoutError) as trouble:
        raise _away(shown) from trouble
    finally:
        await client.close()


def _away(shown: str) -> CliError:
    return CliError(
        "BUS_UNAVAILABLE",
        f"NATS at {shown} does not answer.",
        "See `fxmesh status`, or name another with --nats.",
        ExitCode.UNAVAILABLE,
    )


async def _quiet(_: Exception) -> None:
    """What goes wrong is raised where it is waited for."""
