"""`account`, `accounts` (open, auto-trade, adopt), `ledger`, `risk`, `halt`, `resume`, `flatten`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    AnyAccountOption,
    HomeOption,
    JsonOption,
    NumberOption,
    RequestIdOption,
)
from services.cli.output import CliError, ExitCode


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


IdArgument = Annotated[str, typer.Argument(metavar="[ACCOUNT]", help="Account id.")]
NewIdArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account id.")]
ReconcileOption = Annotated[
    bool, typer.Option("--reconcile", help="Compare the books with what fills and postings alone give.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever asks later.")]
_ANYTHING = {"allow_extra_args": True}
"""The command itself says what is wrong with an argument."""
SwitchOption = Annotated[bool, typer.Option("--auto-trade", help="Trade signals by itself.")]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh account",
            "fxmesh account demo --reconcile",
            "fxmesh account --json | jq -r .data.account.equity",
            codes="0 shown, 1 the books do not reconcile, 3 not running, 4 no such account.",
        )
    )(account)
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback(epilog=output.examples("fxmesh accounts", "fxmesh accounts open mine --deposit 5000"))(
        accounts
    )
    group.command(
        "open",
        epilog=output.examples(
            "fxmesh accounts open mine --currency EUR --deposit 5000", "fxmesh accounts open hedged --hedging"
        ),
    )(open_account)
    group.command(
        "auto-trade",
        epilog=output.examples(
            "fxmesh accounts auto-trade demo off",
            "fxmesh accounts auto-trade demo off --symbol USDJPY --reason 'intervention'",
        ),
    )(auto_trade)
    group.command(
        "adopt",
        epilog=output.examples(
            "fxmesh account mine   # what differs",
            "fxmesh accounts adopt mine balance --venue-figure 1012.5 --books-figure 1000 --reason interest",
            "fxmesh accounts adopt mine EURUSD --venue-figure 0 --books-figure 10000 --price 1.1005 "
            "--reason 'closed by telephone'",
        ),
    )(adopt)
    app.add_typer(group, name="accounts")
    app.command(epilog=output.examples("fxmesh ledger", "fxmesh ledger demo --postings -n 5"))(ledger)
    app.command(
        epilog=output.examples(
            "fxmesh risk",
            "fxmesh risk demo --set order_notional=250000 --set daily_loss=0.02 --reason 'new desk'",
            "fxmesh risk demo --symbol GBPJPY --set leverage=10",
            "fxmesh risk demo --set order_notional=   # as the settings say, again",
            "fxmesh risk demo --changes",
        )
    )(risk)
    app.command(
        context_settings=_ANYTHING,
        epilog=output.examples(
            "fxmesh halt",
            "fxmesh halt --account demo --reason 'news'",
            "fxmesh halt --cancel-entries",
            "fxmesh halt --reducing",
        ),
    )(halt)
    app.command(
        context_settings=_ANYTHING,
        epilog=output.examples("fxmesh resume", "fxmesh resume --account demo"),
    )(resume)
    app.command(
        epilog=output.examples(
            "fxmesh flatten demo",
            "fxmesh flatten demo --symbol EURUSD",
            codes="0 flat, 1 something is still open, 3 not running, 4 refused, 5 outcome unknown.",
        )
    )(flatten)


def account(
    account_id: IdArgument = "demo",
    reconcile: ReconcileOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show an account: balance, equity, profit, margin."""
    from services.cli.requests import accounts as requests

    Caller(home, address, json).run(lambda link: requests.account(link, account_id, reconcile))


def accounts(
    context: typer.Context,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show all accounts; open one, or switch its auto-trading."""
    if context.invoked_subcommand is None:
        from services.cli.requests import accounts as requests

        Caller(home, address, json).run(requests.accounts)


def open_account(
    account_id: NewIdArgument,
    currency: Annotated[str, typer.Option("--currency", metavar="CODE", help="ISO 4217.")] = "USD",
    deposit: Annotated[str, typer.Option("--deposit", metavar="AMOUNT", help="In its currency.")] = "100000",
    auto: SwitchOption = False,
    venue: Annotated[str, typer.Option("--venue", metavar="NAME", help="Where it trades.")] = "paper",
    hedging: Annotated[
        bool,
        typer.Option("--hedging", help="Each order opens a position of its own, on both sides. For good."),
    ] = False,
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Open an account, on paper unless a venue is named."""
    from services.cli.requests import accounts as requests

    Caller(home, address, json).run(
        lambda link: requests.open_account(
            link, account_id, currency, deposit, auto, hedging, venue, request_id
        )
    )


def auto_trade(
    account_id: NewIdArgument,
    switch: Annotated[Switch, typer.Argument(metavar="on|off", help="Whether it trades signals by itself.")],
    symbol: Annotated[str, typer.Option("--symbol", metavar="SYMBOL", help="Only this one.")] = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Let an account trade signals by itself, or stop it; with --symbol those of one symbol.

    A symbol is traded while the account's switch and its own are on. `fxmesh risk ID --changes` says who set
    which.
    """
    from services.cli.requests import accounts as requests

    on = switch is Switch.ON
    Caller(home, address, json).run(
        lambda link: requests.set_auto_trade(link, account_id, on, symbol, reason, request_id)
    )


def adopt(
    account_id: NewIdArgument,
    what: Annotated[str, typer.Argument(metavar="balance|SYMBOL|EXECUTION", help="Whose figure differs.")],
    venue_figure: Annotated[str, typer.Option("--venue-figure", metavar="N", help="As shown, at the venue.")],
    books_figure: Annotated[str, typer.Option("--books-figure", metavar="N", help="As shown, in the books.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever asks later.")],
    price: Annotated[
        str, typer.Option("--price", metavar="PRICE", help="Of a position: what the units were traded at.")
    ] = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Take a venue's figure for one that differs, by a posting of the difference.

    `fxmesh account ID` shows what differs. It is refused when other figures differ by now. Who did it and why
    stays: `fxmesh ledger ID`. An execution that the venue busted and never told is waited for no more, and
    nothing is posted.
    """
    from services.cli.requests import adopting as requests

    difference = (what, venue_figure, books_figure)
    Caller(home, address, json).run(
        lambda link: requests.adopt(link, account_id, difference, price, reason, request_id)
    )


def risk(
    account_id: IdArgument = "demo",
    limits: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set a limit; may be given several times."),
    ] = None,
    symbol: Annotated[
        str, typer.Option("--symbol", metavar="SYMBOL", help="With --set: for this symbol only.")
    ] = "",
    reason: ReasonOption = "",
    changes: Annotated[
        bool, typer.Option("--changes", help="Who changed which limit, when and why.")
    ] = False,
    number: NumberOption = 50,
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show an account's limits and their use, its exposure, and why orders were refused; or set limits.

    Names: tradable, order_size, order_notional, position_notional, price_collar, price_age, leverage, for an
    account or a symbol; order_size and auto_trade for a symbol; currency_exposure, orders_per_second,
    daily_loss, drawdown, margin_call, stop_out for an account.
    """
    from services.cli.requests import accounts as requests

    caller = Caller(home, address, json)
    if limits:
        caller.run(lambda link: requests.set_limits(link, account_id, symbol, limits, reason, request_id))
    elif changes:
        caller.run(lambda link: requests.limit_changes(link, account_id, number))
    else:
        caller.run(lambda link: requests.risk(link, account_id))


def ledger(
    account_id: IdArgument = "demo",
    postings: Annotated[
        bool, typer.Option("--postings", help="The double entry: every posting of each transaction.")
    ] = False,
    number: NumberOption = 50,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show what moved an account's cash, oldest first: deposits, profit, commission, financing."""
    from services.cli.requests import ledger as requests

    show = requests.postings if postings else requests.ledger
    Caller(home, address, json).run(lambda link: show(link, account_id, number))


def halt(
    given: typer.Context,
    account: AnyAccountOption = "",
    reducing: Annotated[
        bool, typer.Option("--reducing", help="Let through what reduces a position.")
    ] = False,
    cancel_entries: Annotated[
        bool, typer.Option("--cancel-entries", help="Withdraw orders that could open or enlarge a position.")
    ] = False,
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """The kill switch: no new order from now on, in one account or all; cancels pass. Survives a restart.

    Orders that wait at the venue stay there and may fill, into a new position too: the answer says how many.
    --cancel-entries withdraws them, but for those that only reduce a position, as its stops; fxmesh order
    cancel withdraws any, and fxmesh flatten closes what is open as well. All accounts are also
    those that are opened later, by a replay too, until fxmesh resume.
    """
    from services.cli.requests import accounts as requests

    _refuse_arguments("halt", given)
    state = "reducing" if reducing else "halted"
    Caller(home, address, json).run(
        lambda link: requests.set_state(
            link, account, state, reason, request_id, cancel_entries=cancel_entries
        )
    )


def resume(
    given: typer.Context,
    account: AnyAccountOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Trade again after `halt`, in one account or all."""
    from services.cli.requests import accounts as requests

    _refuse_arguments("resume", given)
    Caller(home, address, json).run(
        lambda link: requests.set_state(link, account, "active", reason, request_id)
    )


def flatten(
    account_id: NewIdArgument,
    symbol: Annotated[str, typer.Option("--symbol", metavar="SYMBOL", help="Only this one.")] = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """The way out: cancel what works and close what is open, at market, of an account or a symbol of it.

    It passes a halt, and leaves the account in the state that it trades in: halt it first to stay out.
    """
    from services.cli.requests import flattening as requests

    Caller(home, address, json).run(lambda link: requests.flatten(link, account_id, symbol, request_id))


def _refuse_arguments(command: str, given: typer.Context) -> None:
    """An account where an option is wanted: neither that one nor all are meant for sure."""
    if given.args:
        message = f"fxmesh {command} takes the account as an option, and without one all; nothing was sent."
        hint = f"Did you mean `fxmesh {command} --account {given.args[0]}`?"
        raise CliError("USAGE", message, hint, ExitCode.USAGE)
