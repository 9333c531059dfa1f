"""`policy show` and `policy list`: what the mesh does to calls of a method, and who says so.

Reads the contracts and the settings of this shell; no platform need run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import output
from services.cli.options import JsonOption
from services.cli.output import CliError, ExitCode

if TYPE_CHECKING:
    from services.runtime.policy import MethodPolicy

_WHOSE = (
    "Settings are those of this shell. What runs may have been started with others; a drill that is on\n"
    "shows as `fxmesh_fault_rules` at /metrics of each service."
)
MethodArgument = Annotated[
    str,
    typer.Argument(metavar="METHOD", help="As fxmesh.trading.v1.TradingService/PlaceOrder, or PlaceOrder."),
]
ServiceArgument = Annotated[
    str, typer.Argument(metavar="[SERVICE]", help="As fxmesh.trading.v1.TradingService or trading_gateway.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="What the mesh does to calls, by the contracts.",
        epilog=output.examples("fxmesh policy show PlaceOrder", "fxmesh policy list"),
    )
    group.command(
        epilog=output.examples(
            "fxmesh policy show PlaceOrder",
            "fxmesh policy show fxmesh.trading.v1.TradingService/PlaceOrder",
            "fxmesh policy show grpc.health.v1.Health/Check",
            "fxmesh policy show PlaceOrder --json | jq '.data.concerns[] | {concern, applies}'",
            codes="0 shown, 2 no such method or not unique.",
        )
    )(show)
    group.command(
        "list",
        epilog=output.examples(
            "fxmesh policy list",
            "fxmesh policy list trading_gateway",
            "fxmesh policy list --json | jq '.data[] | select(.bulkhead == \"cancels\") | .method'",
            codes="0 shown, 2 no such service.",
        ),
    )(list_)
    app.add_typer(group, name="policy")


def show(method: MethodArgument, json: JsonOption = False) -> None:
    """Show what happens to calls of one method, concern by concern, and where each comes from."""
    from services.runtime import policy_report, settings
    from services.runtime.fatal import FatalError
    from services.runtime.policy import all_methods

    try:
        found = policy_report.find(method, all_methods())
    except FatalError as unknown:
        raise _unknown("UNKNOWN_METHOD", str(unknown)) from None
    try:
        # As a process started from this shell would have them; of what runs nobody is asked.
        runtime = settings.load(settings.RuntimeSettings)
        drill = runtime.faults if runtime.drills else ""
        lines = policy_report.report(found, runtime.limits, drill)
    except FatalError as wrong:
        raise CliError("WRONG_SETTINGS", f"{wrong}.", exit_code=ExitCode.USAGE) from None
    if json:
        concerns = [
            {"concern": each.concern, "applies": each.applies, "source": each.source} for each in lines
        ]
        output.print_json({"method": found.path[1:], "concerns": concerns})
        return
    print(found.path[1:])
    rows = [(each.concern, each.applies, each.source) for each in lines]
    print(output.text_table(("CONCERN", "APPLIES", "FROM"), rows))
    print(f"\n{_WHOSE}")


def list_(service: ServiceArgument = "", json: JsonOption = False) -> None:
    """List the methods with their policies, of one service or all."""
    from services.runtime.policy import all_methods

    methods = _of(service, all_methods())
    if json:
        output.print_json([_as_json(each) for each in methods])
        return
    headers = ("METHOD", "DEADLINE", "SCOPE", "REPEAT", "COST", "BULKHEAD")
    rows = [
        (
            each.path[1:],
            f"{each.default_deadline_s:g} s",
            each.scope or "-",
            each.idempotency_key or ("yes" if each.repeatable else "no"),
            str(each.cost),
            each.bulkhead,
        )
        for each in methods
    ]
    print(output.text_table(headers, rows, frozenset({1, 4})))


def _of(name: str, methods: tuple[MethodPolicy, ...]) -> list[MethodPolicy]:
    from services.runtime.policy import service_policies

    folders = {each.name: each.full_name for each in service_policies()}
    full = folders.get(name, name)
    found = [each for each in methods if not name or each.service == full]
    if not found:
        known = ", ".join(dict.fromkeys(each.service for each in methods))
        raise _unknown("UNKNOWN_SERVICE", f"no contract has a service {name}; known: {known}")
    return found


def _as_json(method: MethodPolicy) -> dict[str, object]:
    return {
        "method": method.path[1:],
        "shape": method.shape.value,
        "deadlineSeconds": method.default_deadline_s,
        "scope": method.scope,
        "repeatable": method.repeatable,
        "idempotencyKey": method.idempotency_key,
        "cost": method.cost,
        "bulkhead": method.bulkhead,
        "cacheSeconds": method.cache_lifetime_s,
        "maxRequestBytes": method.max_request_bytes,
        "traced": method.traced,
    }


def _unknown(reason: str, sentence: str) -> CliError:
    return CliError(reason, f"{sentence}.", "See `fxmesh policy list`.", ExitCode.USAGE)
