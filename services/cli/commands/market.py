"""`quotes`, `books`, `instruments`: prices as they are now, or as they come."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    HomeOption,
    JsonOption,
    SymbolsArgument,
    WatchJsonOption,
    WatchOption,
)

DepthOption = Annotated[int, typer.Option("--depth", min=0, max=50, help="Levels a side; 0: all.")]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh quotes",
            "fxmesh quotes EURUSD USDJPY",
            "fxmesh quotes --watch",
            "fxmesh quotes EURUSD --watch --json | jq -r '.bid'",
        )
    )(quotes)
    app.command(epilog=output.examples("fxmesh books EURUSD", "fxmesh books EURUSD --depth 3 --watch"))(books)
    app.command(
        epilog=output.examples("fxmesh instruments", "fxmesh instruments EURUSD --json"),
    )(instruments)


def quotes(
    symbol: SymbolsArgument = None,
    watch: WatchOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show the last bid and ask of each symbol; with --watch every change."""
    from services.cli.requests import market

    ask = market.watch_quotes if watch else market.quotes
    Caller(home, address, json).run(lambda link: ask(link, symbol or []), endless=watch)


def books(
    symbol: SymbolsArgument = None,
    depth: DepthOption = 0,
    watch: WatchOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show the order book of each symbol, best prices first."""
    from services.cli.requests import market

    ask = market.watch_books if watch else market.books
    Caller(home, address, json).run(lambda link: ask(link, symbol or [], depth), endless=watch)


def instruments(
    symbol: SymbolsArgument = None,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show what can be traded: pip, size step, smallest and largest order, margin, market hours."""
    from services.cli.requests import market

    Caller(home, address, json).run(lambda link: market.instruments(link, symbol or []))
