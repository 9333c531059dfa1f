"""Runs what a command asks of the platform, and says in one sentence why it did not work.

Light to import: grpc and the contracts come with `link`, when a command runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from services.cli import addresses
from services.cli.home import Home
from services.cli.output import CliError, ExitCode

if TYPE_CHECKING:
    from services.cli.link import Link


@dataclass(frozen=True, slots=True)
class Caller:
    """One invocation: which platform, and in which form the answer is wanted."""

    home: Path
    address: Sequence[str] | None
    json: bool

    def run(self, work: Callable[[Link], Awaitable[ExitCode | None]], *, endless: bool = False) -> None:
        """Do `work` on a connection of its own; exits with what it returns.

        Ctrl-C is the way to end `endless` work and a failure of any other. Raises CliError.
        """
        import asyncio

        from services.cli import link
        from services.cli.render import Printer

        given = addresses.parse(self.address, link.services()) if self.address else {}
        where = addresses.Addresses(Home.at(self.home), given)
        try:
            code = asyncio.run(link.connected(where, Printer(self.json), work))
        except KeyboardInterrupt:
            if not endless:
                raise CliError("INTERRUPTED", "Interrupted.", "", ExitCode.INTERRUPTED) from None
            code = ExitCode.OK
        if code:
            raise typer.Exit(code)
