"""`bars`, `indicators`, `signals`: what analysis makes of prices."""

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
    SymbolArgument,
    SymbolsArgument,
    TimeframeOption,
    WatchJsonOption,
    WatchOption,
)

CountOption = Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="At most this many.")]
FromOption = Annotated[
    str,
    typer.Option("--from", metavar="TIME", help="First open time, as 2014-05-01T13:30Z. Reads the store."),
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="TIME", help="Open times before this one. Reads the store.")
]
HistoryOption = Annotated[
    bool, typer.Option("--history", help="From the store, imports too, and not from the running session.")
]
SourceOption = Annotated[
    str, typer.Option("--source", metavar="ID", help="Feed session or import. Reads the store.")
]
SessionOption = Annotated[str, typer.Option("--session", metavar="ID", help="Feed session. Default: any.")]
AnyTimeframeOption = Annotated[str, typer.Option("--timeframe", "-t", metavar="TF", help="Default: all.")]
StrategyOption = Annotated[
    str, typer.Option("--strategy", metavar="NAME", help="trend, mean_reversion or breakout. Default: all.")
]
IndicatorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--indicator", "-i", metavar="FORM", help="As ema(20) or macd(12,26,9). Default: the usual series."
    ),
]
DefinitionsOption = Annotated[bool, typer.Option("--list", help="The indicators one can ask for.")]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh bars EURUSD",
            "fxmesh bars EURUSD --timeframe 1h -n 24",
            "fxmesh bars EURUSD --watch",
            "fxmesh bars EURUSD --history --timeframe 1d",
            "fxmesh bars EURUSD --from 2014-05-01 --to 2014-05-02 --json",
        )
    )(bars)
    app.command(
        epilog=output.examples(
            "fxmesh indicators EURUSD",
            "fxmesh indicators EURUSD -t 1h -i 'ema(20)' -i 'rsi(14)' -n 5",
            "fxmesh indicators --list",
        )
    )(indicators)
    app.command(
        epilog=output.examples(
            "fxmesh signals",
            "fxmesh signals EURUSD --strategy trend",
            "fxmesh signals --watch",
            "fxmesh signals --id live:EURUSD:1h:trend:20140501T1300Z",
        )
    )(signals)


def bars(
    symbol: SymbolArgument,
    timeframe: TimeframeOption = "1m",
    number: CountOption = 20,
    watch: WatchOption = False,
    history: HistoryOption = False,
    start: FromOption = "",
    end: ToOption = "",
    source: SourceOption = "",
    session: SessionOption = "",
    closed: Annotated[bool, typer.Option("--closed", help="Without the bar that is still open.")] = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show the latest bars of bid and ask, oldest first; with --watch each as it closes."""
    from services.cli.requests import analysis

    caller = Caller(home, address, json)
    if watch:
        caller.run(lambda link: analysis.watch_bars(link, [symbol], timeframe), endless=True)
    elif history or start or end or source:
        span = analysis.Span(start, end, source)
        caller.run(lambda link: analysis.stored_bars(link, symbol, timeframe, number, span))
    else:
        caller.run(lambda link: analysis.bars(link, symbol, timeframe, number, session, closed))


def indicators(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As EURUSD.")] = "",
    timeframe: TimeframeOption = "1m",
    indicator: IndicatorOption = None,
    number: CountOption = 1,
    definitions: DefinitionsOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show indicators at the close of the latest bars."""
    from services.cli.requests import analysis

    caller = Caller(home, address, json)
    if definitions:
        caller.run(analysis.indicator_definitions)
        return
    if not symbol:
        raise output.CliError(
            "USAGE",
            "Name a symbol.",
            "As `fxmesh indicators EURUSD`; --list shows what there is.",
            output.ExitCode.USAGE,
        )
    caller.run(lambda link: analysis.indicators(link, symbol, timeframe, indicator or [], number))


def signals(
    symbol: SymbolsArgument = None,
    timeframe: AnyTimeframeOption = "",
    strategy: StrategyOption = "",
    session: SessionOption = "",
    number: CountOption = 20,
    signal_id: Annotated[
        str, typer.Option("--id", metavar="SIGNAL", help="One signal, with the data it rests on.")
    ] = "",
    watch: WatchOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show the calls to buy or sell, newest first, with reason and probability; --watch for new ones."""
    from services.cli.requests import analysis

    caller, wanted = Caller(home, address, json), symbol or []
    if signal_id:
        caller.run(lambda link: analysis.signal(link, signal_id))
    elif watch:
        caller.run(lambda link: analysis.watch_signals(link, wanted, timeframe, strategy), endless=True)
    else:
        caller.run(lambda link: analysis.signals(link, wanted, timeframe, strategy, session, number))
