"""`dlq`: events that a service could not handle, and what waits behind them."""

from __future__ import annotations

from math import inf, nan
from typing import Annotated

import typer

from services.cli import output
from services.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from services.cli.output import CliError, ExitCode


def _number(given: str | int) -> int:
    """The number of a letter; 0 is what no argument gives."""
    if given == 0 or (str(given).isdecimal() and int(given)):
        return int(given)
    raise typer.BadParameter(f"{given!r} is no letter: give a number that `fxmesh dlq list` shows.")


def _seconds(given: str | float) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = nan
    if not 0 <= seconds < inf:
        raise typer.BadParameter(f"{given!r} is no time: give seconds, as 20 or 0.5.")
    return seconds


NatsOption = Annotated[
    str,
    typer.Option("--nats", metavar="URL", help="NATS to look at. Default: that of the platform in --home."),
]
ConsumerOption = Annotated[str, typer.Option("--consumer", metavar="SERVICE", help="As data_pipeline.")]
EventOption = Annotated[str, typer.Option("--event", metavar="NAME", help="As OrderPlaced.")]
KeyOption = Annotated[str, typer.Option("--key", metavar="KEY", help="As EURUSD, or an account.")]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", parser=_seconds, help="For the service to do it.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="WORD", help="The first word of the reason, as EVENT_UNFIT.")
]
LetterArgument = Annotated[
    int, typer.Argument(metavar="ID", parser=_number, help="As `fxmesh dlq list` shows it.")
]
_CODES = "0 done, 1 it failed again, 2 no such letter, 3 not running, 6 the service has still to do it."


def register(app: typer.Typer) -> None:
    dlq = typer.Typer(
        help="Events that a service could not handle (dead letters), and what waits behind them.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    dlq.command(
        "list",
        epilog=output.examples(
            "fxmesh dlq list",
            "fxmesh dlq list --consumer data_pipeline --key EURUSD",
            "fxmesh dlq list --event OrderPlaced --reason EVENT_UNFIT",
            "fxmesh dlq list --advisories",
        ),
    )(list_letters)
    dlq.command(epilog=output.examples("fxmesh dlq show 7", "fxmesh dlq show 7 --json"))(show)
    dlq.command(
        epilog=output.examples(
            "fxmesh dlq redrive 7", "fxmesh dlq redrive --consumer data_pipeline --key demo", codes=_CODES
        )
    )(redrive)
    dlq.command(epilog=output.examples("fxmesh dlq drop 7", codes=_CODES))(drop)
    app.add_typer(dlq, name="dlq")


def list_letters(
    consumer: ConsumerOption = "",
    event: EventOption = "",
    key: KeyOption = "",
    reason: ReasonOption = "",
    advisories: Annotated[
        bool, typer.Option("--advisories", help="Show NATS's own words on ended messages instead.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    nats: NatsOption = "",
    json: JsonOption = False,
) -> None:
    """List dead letters with what waits behind each, oldest first."""
    from services.cli import bus
    from services.cli.requests import dlq
    from services.cli.requests.wanted_letters import Wanted

    wanted = Wanted(consumer, event, key, reason)
    bus.run(
        home,
        nats,
        lambda client: dlq.advisories(client, json) if advisories else dlq.show_all(client, wanted, json),
    )


def show(
    letter: LetterArgument, home: HomeOption = DEFAULT_HOME, nats: NatsOption = "", json: JsonOption = False
) -> None:
    """Show one dead letter whole: why, its headers, and its payload as JSON.

    Fields that this version does not know are named; a redrive keeps them.
    """
    from services.cli import bus
    from services.cli.requests import dlq

    bus.run(home, nats, lambda client: dlq.show(client, letter, json))


def redrive(
    letter: Annotated[int, typer.Argument(metavar="[ID]", parser=_number, help="One letter.")] = 0,
    consumer: ConsumerOption = "",
    key: KeyOption = "",
    wait: WaitOption = 20.0,
    home: HomeOption = DEFAULT_HOME,
    nats: NatsOption = "",
    json: JsonOption = False,
) -> None:
    """Let the service handle a dead letter again, then what waits behind it, in order.

    Only the service that gave it up gets it. With --consumer (and --key) all its letters (of that key).
    """
    if bool(letter) == bool(consumer):
        raise CliError(
            "USAGE", "Name one letter by its ID, or a service with --consumer.", "", ExitCode.USAGE
        )
    from services.cli import bus
    from services.cli.requests import dlq
    from services.cli.requests.wanted_letters import Wanted

    wanted = Wanted(consumer, "", key)
    bus.run(home, nats, lambda client: dlq.redrive(client, letter, wanted, wait, json))


def drop(
    letter: LetterArgument,
    wait: WaitOption = 20.0,
    home: HomeOption = DEFAULT_HOME,
    nats: NatsOption = "",
    json: JsonOption = False,
) -> None:
    """Delete a dead letter for good; what waits behind it goes on without it."""
    from services.cli import bus
    from services.cli.requests import dlq

    bus.run(home, nats, lambda client: dlq.drop(client, letter, wait, json))
