"""`up`, `down` and `status`: the platform as a whole."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli import output
from services.cli.home import Home
from services.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from services.cli.output import CliError, ExitCode

_AUTO = "auto"

DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="Return once all is ready; the platform keeps running.")
]
OffsetOption = Annotated[
    str,
    typer.Option(
        "--port-offset",
        metavar="N|auto",
        help="Added to every default port; auto finds one where all are free.",
    ),
]
NatsPortOption = Annotated[
    int | None,
    typer.Option("--nats-port", min=1, max=65535, help="Port of nats-server. Default: 4222 plus the offset."),
]
SymbolsOption = Annotated[
    str,
    typer.Option(
        "--symbols",
        metavar="LIST",
        help="Symbols of the synthetic feed, as EURUSD,XAUUSD. Default: all pairs.",
    ),
]
NoFeedOption = Annotated[
    bool, typer.Option("--no-feed", help="Start without the synthetic feed: prices come from replays only.")
]
OtlpOption = Annotated[
    str,
    typer.Option(
        "--otlp", metavar="HOST:PORT", help="Send traces to this OTLP collector, such as Jaeger's port 4317."
    ),
]
NoEdgeOption = Annotated[
    bool, typer.Option("--no-edge", help="Start without Envoy: gRPC on the services' own ports only.")
]
EdgePortOption = Annotated[
    int | None,
    typer.Option("--edge-port", min=1, max=65535, help="Port of REST. Default: 8080 plus the offset."),
]
TlsOption = Annotated[
    bool,
    typer.Option("--tls", help="Have the services ask each other, the edge and you for certificates (mTLS)."),
]
InstancesOption = Annotated[
    str,
    typer.Option(
        "--instances",
        metavar="SERVICE=N",
        help="Several processes of a service, as market_data=3. Default: one of each.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", min=1.0, help="Seconds a process may take to be ready before `up` gives up."),
]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh up",
            "fxmesh up --detach",
            "fxmesh up --symbols EURUSD,USDJPY",
            "fxmesh up --otlp localhost:4317",
            "fxmesh up --tls",
            "fxmesh up --instances market_data=3",
            "fxmesh up --home /tmp/second --port-offset auto",
            "fxmesh up -d --json | jq .data.nats_url",
            codes="0 stopped when asked (with --detach: ready), 1 could not start, "
            "3 already running there, 130 stopped before all were ready.",
        )
    )(up)
    app.command(
        epilog=output.examples(
            "fxmesh down",
            "fxmesh down --home /tmp/second",
            codes="0 stopped, 1 something would not end, 3 nothing was running.",
        )
    )(down)
    app.command(
        epilog=output.examples(
            "fxmesh status",
            "fxmesh status --json | jq '.data.processes[] | {name, condition, restarts}'",
            "watch fxmesh status",
            codes="0 all serve (degraded counts as serving), 1 one or more do not, 3 nothing is running.",
        )
    )(status)


def up(
    home: HomeOption = DEFAULT_HOME,
    detach: DetachOption = False,
    port_offset: OffsetOption = "0",
    nats_port: NatsPortOption = None,
    symbols: SymbolsOption = "",
    no_feed: NoFeedOption = False,
    otlp: OtlpOption = "",
    no_edge: NoEdgeOption = False,
    edge_port: EdgePortOption = None,
    tls: TlsOption = False,
    instances: InstancesOption = "",
    timeout: TimeoutOption = 120.0,
    json: JsonOption = False,
) -> None:
    """Start NATS, the seven services and the edge, wait until all are ready, and keep them running.

    Stays in the foreground until Ctrl-C, restarting what crashes; with --detach a daemon does that. A second
    Ctrl-C stops at once instead of letting work in flight finish.
    """
    from services.cli.supervisor.plan import Choices
    from services.cli.supervisor.process import Timings
    from services.cli.supervisor.start import platform_plan
    from services.cli.supervisor.start import up as start
    from services.cli.supervisor.view import view_for

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    choices = Choices(
        _offset(port_offset),
        nats_port,
        _symbols(symbols),
        feed=not no_feed,
        otlp=_collector(otlp),
        edge=not no_edge,
        edge_port=edge_port,
        tls=tls,
        instances=chosen_instances(instances),
    )
    make = platform_plan(choices, port_offset == _AUTO, say)
    reached = start(Home.at(home), make, view_for(json), detach, say, Timings(start_limit=timeout))
    if reached.ready_at is None:
        raise typer.Exit(ExitCode.INTERRUPTED)


def down(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Stop the platform: work in flight finishes, then every process ends. Waits until that is done."""
    from services.cli.supervisor.stop import down as stop
    from services.cli.supervisor.view import LineView, QuietView

    view = QuietView() if json else LineView(sys.stdout)
    last = stop(Home.at(home), view.update)
    if json:
        output.print_json({"phase": last.phase, "home": last.home})
    else:
        print(f"fxmesh is down; its data stays in {last.home}")


def status(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show each process: state, restarts, uptime, memory, and what it says of its dependencies."""
    from services.cli.supervisor import inspect

    report = inspect.take(Home.at(home))
    if json:
        output.print_json(report.to_json())
    else:
        print(inspect.as_text(report))
    if not report.well:
        raise typer.Exit(ExitCode.FAILED)


def _symbols(text: str) -> tuple[str, ...]:
    from services.cli import inputs
    from services.market.instruments import INSTRUMENTS

    chosen = inputs.symbols([text])
    if unknown := [each for each in chosen if each not in INSTRUMENTS]:
        raise CliError(
            "BAD_OPTION",
            f"--symbols {', '.join(unknown)}: there is no such instrument.",
            f"Known: {', '.join(sorted(INSTRUMENTS))}.",
            ExitCode.USAGE,
        )
    return tuple(chosen)


def _collector(text: str) -> str:
    from services.runtime.settings import otlp_endpoint

    try:
        return otlp_endpoint(text) if text else ""
    except ValueError as wrong:
        raise CliError(
            "BAD_OPTION", f"--otlp {text} {wrong}.", "See `fxmesh up --help`.", ExitCode.USAGE
        ) from None


def chosen_instances(text: str) -> dict[str, int]:
    """Processes of a service by its name, from `market_data=3,...`. Raises CliError BAD_OPTION."""
    from services.cli.config import inherited_environment
    from services.cli.supervisor.plan import MOST_INSTANCES
    from services.runtime.policy import service_policies

    services = {each.name: each for each in service_policies()}
    chosen = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.partition("=")
        if name not in services:
            raise _wrong_instances(part, "there is no such service", f"Known: {', '.join(services)}.")
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_INSTANCES):
            raise _wrong_instances(
                part, f"the number must be from 1 to {MOST_INSTANCES}", f"As {name}=3 or leave it out."
            )
        if int(number) > 1 and (why := services[name].single_because):
            setting = services[name].several_with
            if not (setting and inherited_environment().get(setting)):
                several = ", ".join(each.name for each in services.values() if not each.single_because)
                hint = f"Several: {several}." + (f" Or set {setting}." if setting else "")
                raise _wrong_instances(part, f"it runs as one process, because {why}", hint)
        chosen[name] = int(number)
    return chosen


def _wrong_instances(part: str, why: str, hint: str) -> CliError:
    return CliError("BAD_OPTION", f"--instances {part}: {why}.", hint, ExitCode.USAGE)


def _offset(text: str) -> int:
    from services.cli.supervisor.preflight import MAX_OFFSET

    if text == _AUTO:
        return 0
    if text.isascii() and text.isdigit() and int(text) <= MAX_OFFSET:
        return int(text)
    raise CliError(
        "BAD_OPTION",
        f"--port-offset {text} is neither a number from 0 to {MAX_OFFSET} nor auto.",
        "See `fxmesh up --help`.",
        ExitCode.USAGE,
    )
