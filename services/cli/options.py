"""Options that several commands share, so that each reads the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HOME = "FXMESH_HOME"
HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar=HOME, help="Folder that holds the state, logs and data of a platform."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

AddressOption = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        envvar="FXMESH_ADDRESS",
        metavar="SERVICE=HOST:PORT",
        help="Where a service answers, or all=HOST:PORT. Default: the platform that runs in --home.",
    ),
]
RequestIdOption = Annotated[
    str,
    typer.Option(
        "--request-id",
        metavar="ID",
        help="Repeat an earlier invocation under its id: it happens once. Default: a new one.",
    ),
]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Go on with what changes until Ctrl-C.")]
WatchJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; with --watch one object a line.")
]
SymbolsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="As EURUSD. Default: all.")
]
SymbolArgument = Annotated[str, typer.Argument(metavar="SYMBOL", help="As EURUSD.")]

SymbolOption = Annotated[
    str, typer.Option("--symbol", metavar="SYMBOL", help="Needed when the file's lines name none.")
]
TimeframeOption = Annotated[
    str, typer.Option("--timeframe", "-t", metavar="TF", help="1s to 30s, 1m to 30m, 1h, 4h, 1d.")
]
NumberOption = Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="At most this many.")]
AccountOption = Annotated[str, typer.Option("--account", "-a", metavar="ACCOUNT", help="Account id.")]
AnyAccountOption = Annotated[
    str, typer.Option("--account", "-a", metavar="ACCOUNT", help="Account id. Default: all.")
]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file, or a folder of Dukascopy's hours.")
]
FORMAT_NAMES = "truefx, histdata, bi5, oanda-json, csv-ticks, csv-bars, csv-bars-one-side"
FormatOption = Annotated[
    str,
    typer.Option("--format", metavar="NAME", help=f"One of {FORMAT_NAMES}. Default: recognised."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")]

DEFAULT_HOME = Path(".fxmesh")
