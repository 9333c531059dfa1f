"""`database copy`: the books of trading from their file into PostgreSQL, while no gateway runs."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import output
from services.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Where the books of trading are kept.",
        epilog=output.examples("fxmesh database copy --to postgresql://fxmesh@db.example/books"),
    )
    group.command(
        epilog=output.examples(
            "fxmesh database copy --to postgresql://fxmesh@db.example/books",
            "fxmesh database copy --from sqlite:////var/lib/fxmesh/trading.db --to postgresql://fxmesh@/books",
            "fxmesh database copy --undo   # the file is a gateway's again, as it is",
            codes="0 copied and compared, 1 it failed, 2 wrong address, 4 refused: in use, moved, not empty.",
        )
    )(copy)
    app.add_typer(group, name="database")


def copy(
    target: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            envvar="FXMESH_TRADING_GATEWAY_DATABASE_URL",
            help="postgresql://USER@HOST:PORT/DATABASE, an empty one. Required, but for --undo.",
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", help="sqlite:///FILE. Default: the books of the platform in --home."
        ),
    ] = "",
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Let a gateway work on the file again; nothing is copied back into it."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Copy the books of a stopped platform into an empty PostgreSQL database, and compare the two.

    All or nothing: one transaction, committed once every table has the same rows in both. The file stays, and
    no gateway works on it any more: it would not know what is traded in the database. A password can come
    from PGPASSWORD or ~/.pgpass.
    """
    import asyncio

    from services.cli.requests import database as requests

    if undo:
        asyncio.run(requests.take_back(home, source, as_json=json))
    else:
        asyncio.run(requests.copy(home, source, target, as_json=json))
