"""Builds the `fxmesh` application and turns every failure into one sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli.commands import (
    accounts,
    analysis,
    database,
    decisions,
    dlq,
    keys,
    logs,
    market,
    models,
    monitoring,
    orders,
    platform,
    policy,
    replay,
    storage,
)
from services.cli.output import EXIT_CODES, CliError, ExitCode, from_service, print_error
from services.errors import FxError

app = typer.Typer(
    name="fxmesh",
    help=f"The fxmesh trading platform.\n\n\b\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: rich would triple the time that `--help` takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for topic in (
    platform,
    logs,
    replay,
    storage,
    market,
    analysis,
    orders,
    accounts,
    database,
    decisions,
    models,
    monitoring,
    keys,
    policy,
    dlq,
):
    topic.register(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fxmesh {version('fxmesh')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that go before any command."""


def main() -> int:
    """Runs the command in `sys.argv`; gives its exit code."""
    # Known before the options are parsed, since wrong options are reported in the same shape.
    as_json = "--json" in sys.argv[1:]
    try:
        # Standing alone, typer prints what is wrong with the options and exits with 2 itself.
        return int(app(standalone_mode=not as_json) or ExitCode.OK)
    except typer.TyperException as wrong:
        # format_message names the option at fault; the public base class has no such method.
        message = wrong.format_message() if isinstance(wrong, typer.BadParameter) else str(wrong)
        error = CliError("USAGE", message, "See `fxmesh --help`.", ExitCode.USAGE)
    except CliError as failed:
        error = failed
    except FxError as refused:
        error = from_service(refused)
    except BrokenPipeError:  # `fxmesh logs | head`: whoever read has enough
        sys.stdout = None
        return ExitCode.OK
    print_error(error, as_json)
    return error.exit_code
