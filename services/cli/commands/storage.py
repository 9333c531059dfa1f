"""`import`, `storage`: files into the store, and what it holds."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    FileArgument,
    FormatOption,
    HomeOption,
    JsonOption,
    StrictOption,
    SymbolOption,
)


def register(app: typer.Typer) -> None:
    app.command(
        "import",
        epilog=output.examples(
            "fxmesh import bars_h1.csv.gz --symbol EURUSD",
            "fxmesh import bars.csv --symbol EURUSD --timeframe 1h --strict",
            "fxmesh import ticks.csv.gz",
            "fxmesh import dukascopy/EURUSD",
            codes="0 imported, 1 it failed, 2 no such file, 3 not running, 4 refused: the file is at fault.",
        ),
    )(import_file)
    app.command(epilog=output.examples("fxmesh storage", "fxmesh storage may-2014 --json"))(storage)


def import_file(
    file: FileArgument,
    symbol: SymbolOption = "",
    timeframe: Annotated[
        str,
        typer.Option("--timeframe", "-t", metavar="TF", help="Of bars. Default: found from their spacing."),
    ] = "",
    format: FormatOption = "",
    strict: StrictOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Read a tick or bar file into the store, for history, features and training.

    TrueFX, HistData, OANDA JSON lines or CSV, gzip or not; a folder or .zip of Dukascopy's .bi5 hours.
    The same content is stored once, however often it is imported.
    """
    from services.cli.requests import storage as requests

    order = requests.ImportOrder(file, symbol, timeframe, format, strict)
    Caller(home, address, json).run(lambda link: requests.import_file(link, order))


def storage(
    source: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="Feed session or import. Default: everything.")
    ] = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show how many ticks, bars and events are stored."""
    from services.cli.requests import storage as requests

    Caller(home, address, json).run(lambda link: requests.storage(link, source))
