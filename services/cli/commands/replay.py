"""`replay`, `replays`: tick files played through the running platform."""

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
    RequestIdOption,
    StrictOption,
    SymbolOption,
)
from services.cli.output import CliError, ExitCode

SpeedOption = Annotated[
    float | None,
    typer.Option("--speed", metavar="N", min=0.001, max=100_000, help="N market seconds a second."),
]
UnpacedOption = Annotated[
    bool, typer.Option("--unpaced", help="As fast as the services keep up. The default.")
]
LockstepOption = Annotated[
    bool, typer.Option("--lockstep", help="Batch by batch, each handled before the next: repeatable.")
]
SessionIdOption = Annotated[
    str, typer.Option("--session-id", metavar="ID", help="Name of the feed session. Default: made for it.")
]
DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="Return once it runs; `fxmesh replays` shows it.")
]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh replay ticks.csv.gz",
            "fxmesh replay ticks.csv.gz --speed 60",
            "fxmesh replay ticks.csv.gz --lockstep --session-id may-2014",
            "fxmesh replay histdata.csv --symbol EURUSD --strict",
            "fxmesh replay dukascopy/EURUSD/2019/01/04",
            "fxmesh replay ticks.csv.gz --json | jq .data.account.realisedProfit",
            codes="0 played to its end, 1 it failed, 2 no such file, 3 not running, "
            "4 refused (the file is at fault, or another replay of the symbol runs), "
            "6 played, but not all of it was seen stored, analysed and traded, 130 stopped by Ctrl-C.",
        )
    )(replay)
    app.command(
        epilog=output.examples("fxmesh replays", "fxmesh replays --stop ID", "fxmesh replays --pause ID")
    )(replays)


def replay(
    file: FileArgument,
    speed: SpeedOption = None,
    unpaced: UnpacedOption = False,
    lockstep: LockstepOption = False,
    symbol: SymbolOption = "",
    format: FormatOption = "",
    strict: StrictOption = False,
    session_id: SessionIdOption = "",
    detach: DetachOption = False,
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Play a tick file through the platform: TrueFX, HistData, OANDA JSON lines or plain CSV, gzip or not.

    Dukascopy's .bi5 hours are played as one file: give the folder that holds them, SYMBOL/YYYY/MM/DD with
    months from 00, or a .zip of it.

    It trades on an account of its own, replay-<session>; the synthetic feed of its symbol rests meanwhile.
    Ends with what came of it. Ctrl-C stops the replay.
    """
    if (speed is not None) + unpaced + lockstep > 1:
        raise CliError("USAGE", "Choose one of --speed, --unpaced and --lockstep.", "", ExitCode.USAGE)
    from services.cli.requests import replay as requests

    order = requests.ReplayOrder(
        path=file,
        pace="paced" if speed is not None else "lockstep" if lockstep else "unpaced",
        speed=speed or 0.0,
        symbol=symbol,
        format=format,
        strict=strict,
        session_id=session_id,
        request_id=request_id,
    )
    Caller(home, address, json).run(lambda link: requests.replay(link, order, detach))


def replays(
    stop: Annotated[str, typer.Option("--stop", metavar="ID", help="End a replay.")] = "",
    pause: Annotated[str, typer.Option("--pause", metavar="ID", help="Hold a replay.")] = "",
    resume: Annotated[str, typer.Option("--resume", metavar="ID", help="Let a held one go on.")] = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show the replays, newest first; or stop, pause, resume one."""
    asked = [(name, each) for name, each in (("stop", stop), ("pause", pause), ("resume", resume)) if each]
    if len(asked) > 1:
        raise CliError("USAGE", "Choose one of --stop, --pause and --resume.", "", ExitCode.USAGE)
    from services.cli.requests import replay as requests

    caller = Caller(home, address, json)
    if asked:
        action, replay_id = asked[0]
        caller.run(lambda link: requests.control(link, replay_id, action, request_id))
    else:
        caller.run(requests.replays)
