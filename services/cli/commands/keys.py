"""`keys` (create, list, rotate, revoke, allow) and `token`: who may call the platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import Signature, signature
from typing import Annotated, ParamSpec, TypeAlias

import typer

from services.cli import output
from services.cli.home import Home
from services.cli.options import DEFAULT_HOME, HomeOption, JsonOption

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the key: letters, digits, - and _.")]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="What it may, as trading:read; again for more. * stands for anything: trading.*, *:read.",
    ),
]
NatsOption = Annotated[
    str,
    typer.Option(
        "--nats",
        envvar="FXMESH_NATS_URL",
        metavar="URL",
        help="NATS of the platform. Default: of the platform that runs in --home.",
    ),
]
AllScopesOption = Annotated[bool, typer.Option("--all-scopes", help="Everything that there is.")]
ExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help="As 8h or 30d. Default: never.")
]
OverlapOption = Annotated[
    str, typer.Option("--overlap", metavar="TIME", help="How long the old secret goes on. Default: not.")
]
AnyNameArgument = Annotated[str, typer.Argument(metavar="[NAME]", help="Name of a key.")]
TokenOption = Annotated[
    str, typer.Option("--token", metavar="TOKEN", help="This token, whole or by its id (jti).")
]
ServiceOption = Annotated[str, typer.Option("--service", metavar="NAME", help="All tokens of this service.")]

P = ParamSpec("P")
Work: TypeAlias = Callable[..., Awaitable[None]]
"""`requests.keys.Work`, which is not imported before a command runs."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="API keys: who may call, and what.")
    group.command(
        epilog=output.examples(
            "fxmesh keys create grafana --scope '*:read'",
            "fxmesh keys create robot --scope trading:read --scope trading.orders:write --expires 30d",
            "fxmesh keys create admin --all-scopes --expires 8h",
            "export FXMESH_KEY=$(fxmesh keys create me --all-scopes --json | jq -r .data.key)",
        )
    )(create)
    group.command("list", epilog=output.examples("fxmesh keys list", "fxmesh keys list --json"))(list_keys)
    group.command(
        epilog=output.examples("fxmesh keys rotate robot", "fxmesh keys rotate robot --overlap 1h")
    )(rotate)
    group.command(
        epilog=output.examples(
            "fxmesh keys revoke robot",
            "fxmesh keys revoke --token 4f1c2a9be8d94c33a1b07f0d7d1b2e55",
            "fxmesh keys revoke --service ml_workbench",
        )
    )(revoke)
    group.command(epilog=output.examples("fxmesh keys allow --service ml_workbench"))(allow)
    group.command(epilog=output.examples("fxmesh keys scopes"))(scopes)
    app.add_typer(group, name="keys")
    app.command(
        epilog=output.examples(
            "fxmesh token",
            'curl -H "authorization: Bearer $(fxmesh token)" '
            "'http://localhost:8080/api/v1/market-data/quotes?symbol=EURUSD'",
        )
    )(token)


def _run(
    work: Work, nats: NatsOption = "", home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    from services.cli.requests import keys

    keys.run(Home.at(home), nats, json, work)


def on_the_store(ask: Callable[P, Work]) -> Callable[..., None]:
    """A command that is given its own options and says what to do. Whose keys they are, and how the answer is
    printed, are options of all these commands: those of `_run`.
    """
    _, *shared = signature(_run, eval_str=True).parameters.values()

    @wraps(ask)
    def command(*own: P.args, **given: P.kwargs) -> None:
        options = {each.name: given.pop(each.name) for each in shared}
        _run(ask(*own, **given), **options)  # type: ignore[arg-type]

    parameters = [*signature(ask, eval_str=True).parameters.values(), *shared]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


@on_the_store
def create(
    name: NameArgument,
    scope: ScopeOption = None,
    all_scopes: AllScopesOption = False,
    expires: ExpiresOption = "",
) -> Work:
    """Make an API key. It is shown once: keep it where secrets are kept."""
    from services.cli.requests import keys

    return keys.create(name, tuple(scope or ()), all_scopes, expires)


@on_the_store
def list_keys() -> Work:
    """Show the keys that there are, what each may, and what is refused."""
    from services.cli.requests import keys

    return keys.show


@on_the_store
def rotate(name: NameArgument, overlap: OverlapOption = "") -> Work:
    """Give a key a new secret, shown once; with --overlap both work for a while."""
    from services.cli.requests import keys

    return keys.rotate(name, overlap)


@on_the_store
def revoke(name: AnyNameArgument = "", token: TokenOption = "", service: ServiceOption = "") -> Work:
    """Refuse a key, a token or a service from now on: within 5 seconds everywhere."""
    from services.cli.requests import keys

    return keys.revoke(name, token, service)


@on_the_store
def allow(token: TokenOption = "", service: ServiceOption = "") -> Work:
    """Take the refusal of a token or service back. A revoked key stays revoked."""
    from services.cli.requests import keys

    return keys.allow(token, service)


def scopes(json: JsonOption = False) -> None:
    """Show every scope there is, and the methods that need it."""
    from services.cli.requests import keys

    keys.show_scopes(json)


def token(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Print the operator's token, for curl and grpcurl. It holds every scope and dies within the hour."""
    from services.cli.credentials import operator_token

    found = operator_token(Home.at(home))
    if json:
        output.print_json({"token": found})
    else:
        print(found)
