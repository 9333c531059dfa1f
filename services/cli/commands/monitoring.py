"""`alerts` (ack, silence, silences, rules), `services`, `metrics`."""

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
    NumberOption,
    RequestIdOption,
    WatchJsonOption,
    WatchOption,
)

CommentOption = Annotated[str, typer.Option("--comment", metavar="TEXT", help="For whoever looks next.")]
ServiceOption = Annotated[str, typer.Option("--service", metavar="NAME", help="Folder name. Default: all.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback(
        epilog=output.examples(
            "fxmesh alerts", "fxmesh alerts --all", "fxmesh alerts --watch", "fxmesh alerts ack ALERT"
        )
    )(alerts)
    group.command("ack", epilog=output.examples("fxmesh alerts ack ALERT --by ann --comment 'on it'"))(ack)
    group.command(
        epilog=output.examples(
            "fxmesh alerts silence --rule service-down --for 2h",
            "fxmesh alerts silence --label service=ml_workbench --for 30m --comment upgrade",
        )
    )(silence)
    group.command(epilog=output.examples("fxmesh alerts silences"))(silences)
    group.command(epilog=output.examples("fxmesh alerts rules"))(rules)
    app.add_typer(group, name="alerts")
    app.command("services", epilog=output.examples("fxmesh services", "fxmesh services market_data --json"))(
        list_services
    )
    app.command(
        epilog=output.examples(
            "fxmesh metrics",
            "fxmesh metrics --prefix fxmesh_",
            "fxmesh metrics grpc_server_handled_total --service trading_gateway --window 10m",
        )
    )(metrics)


def alerts(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="Only of this rule.")] = "",
    number: NumberOption = 50,
    watch: WatchOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show what is wrong now, newest first; with --watch each change."""
    if context.invoked_subcommand is not None:
        return
    from services.cli.requests import monitoring

    caller = Caller(home, address, json)
    if watch:
        caller.run(monitoring.watch_alerts, endless=True)
    else:
        caller.run(lambda link: monitoring.alerts(link, every, rule, number))


def ack(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Alert id, as `fxmesh alerts` shows it.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who has seen it.")] = "",
    comment: CommentOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Say that somebody has seen an alert."""
    from services.cli.requests import monitoring

    Caller(home, address, json).run(lambda link: monitoring.acknowledge(link, alert, by, comment, request_id))


def silence(
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="Rule. Default: any.")] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Only alerts with this label.")
    ] = None,
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="As 30m, 2h, 1d.")] = "1h",
    comment: CommentOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Keep alerts quiet for a while, of a rule, with given labels, or all."""
    from services.cli.requests import monitoring

    Caller(home, address, json).run(
        lambda link: monitoring.silence(link, rule, label or [], length, comment, request_id)
    )


def silences(
    home: HomeOption = DEFAULT_HOME, address: AddressOption = None, json: JsonOption = False
) -> None:
    """Show the silences that still hold."""
    from services.cli.requests import monitoring

    Caller(home, address, json).run(monitoring.silences)


def rules(home: HomeOption = DEFAULT_HOME, address: AddressOption = None, json: JsonOption = False) -> None:
    """Show the rules that raise alerts."""
    from services.cli.requests import monitoring

    Caller(home, address, json).run(monitoring.rules)


def list_services(
    service: Annotated[str, typer.Argument(metavar="[SERVICE]", help="Folder name. Default: all.")] = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show the health of each service as monitoring sees it (`fxmesh status` asks the processes)."""
    from services.cli.requests import monitoring

    Caller(home, address, json).run(lambda link: monitoring.services(link, service))


def metrics(
    metric: Annotated[str, typer.Argument(metavar="[METRIC]", help="Default: the names of all.")] = "",
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin with this.")] = "",
    service: ServiceOption = "",
    window: Annotated[str, typer.Option("--window", metavar="LENGTH", help="How far back, up to 1h.")] = "5m",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show the metrics that are held, or one metric's values over the last minutes."""
    from services.cli.requests import monitoring

    caller = Caller(home, address, json)
    if metric:
        caller.run(lambda link: monitoring.metric(link, metric, service, window))
    else:
        caller.run(lambda link: monitoring.metrics(link, prefix))
