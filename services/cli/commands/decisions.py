"""`decisions`: what auto-trading made of signals."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AccountOption,
    AddressOption,
    HomeOption,
    JsonOption,
    NumberOption,
    SymbolsArgument,
)


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh decisions", "fxmesh decisions EURUSD --ordered -n 5", "fxmesh decisions --explain -n 1"
        )
    )(decisions)


def decisions(
    symbol: SymbolsArgument = None,
    account: AccountOption = "demo",
    ordered: Annotated[bool, typer.Option("--ordered", help="Only those that led to an order.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Each from the signal to the fills, with its correlation id.")
    ] = False,
    number: NumberOption = 20,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show what auto-trading made of signals, newest first, and why."""
    from services.cli.requests import decisions as requests

    Caller(home, address, json).run(
        lambda link: requests.decisions(link, account, symbol or [], ordered, explain, number)
    )
