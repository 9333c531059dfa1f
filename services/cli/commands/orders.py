"""`order` (buy, sell, cancel, amend, show, find), `orders`, `fills`, `positions`, `close`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AccountOption,
    AddressOption,
    AnyAccountOption,
    HomeOption,
    JsonOption,
    NumberOption,
    RequestIdOption,
    SymbolArgument,
    SymbolsArgument,
    WatchJsonOption,
    WatchOption,
)

_CODES = "0 accepted, 3 not running, 4 refused, 5 outcome unknown: ask before trying again."


class TimeInForce(StrEnum):
    """How long an order works."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"
    DAY = "day"


class Trigger(StrEnum):
    """Which price of the quote triggers."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"


SizeArgument = Annotated[
    str, typer.Argument(metavar="SIZE", help="Units of the base currency, or lots as 0.1lot.")
]
LimitOption = Annotated[str, typer.Option("--limit", metavar="PRICE", help="Fill at this price or better.")]
StopOption = Annotated[
    str,
    typer.Option(
        "--stop", metavar="PRICE", help="Becomes a market order, with --limit a limit order, here or beyond."
    ),
]
TouchOption = Annotated[
    str, typer.Option("--touch", metavar="PRICE", help="Becomes a market order at this price or better.")
]
TrailOption = Annotated[
    str, typer.Option("--trail", metavar="DISTANCE", help="A stop that follows the market at this distance.")
]
TriggerOption = Annotated[
    Trigger | None,
    typer.Option("--trigger", help="Price that --stop, --touch and --trail watch. Default: the one you pay."),
]
PostOnlyOption = Annotated[
    bool, typer.Option("--post-only", help="With --limit: refuse it rather than fill it at once.")
]
ReduceOnlyOption = Annotated[bool, typer.Option("--reduce-only", help="Never open or turn a position.")]
PositionOption = Annotated[
    str,
    typer.Option("--position", metavar="ID", help="In a hedging account: reduce this position, open none."),
]
TakeProfitOption = Annotated[
    str,
    typer.Option(
        "--take-profit", metavar="PRICE", help="Attach a limit order here, or at +0.0050 from the fill."
    ),
]
StopLossOption = Annotated[
    str,
    typer.Option("--stop-loss", metavar="PRICE", help="Attach a stop here, or at +0.0020 from the fill."),
]
StopLossTrailOption = Annotated[
    str,
    typer.Option("--stop-loss-trail", metavar="DISTANCE", help="Attach a trailing stop at this distance."),
]
LinkOption = Annotated[
    str,
    typer.Option("--link", metavar="ID", help="One cancels the other: orders of one link share one size."),
]
AfterOption = Annotated[
    str,
    typer.Option("--after", metavar="ORDER", help="One triggers the other: works for what ORDER has filled."),
]
TifOption = Annotated[
    TimeInForce | None,
    typer.Option("--tif", help="Time in force. Default: ioc for a market order, gtc for the others."),
]
ExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help="Market time, as 2026-05-01T17:00Z; means --tif gtd.")
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--client-order-id", metavar="ID", help="Your key: the same one never doubles. Default: a new one."
    ),
]
OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="Order id, as `fxmesh orders` shows it.")]


def register(app: typer.Typer) -> None:
    order = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    order.command(
        epilog=output.examples(
            "fxmesh order buy EURUSD 10000",
            "fxmesh order buy EURUSD 0.1lot --limit 1.0850",
            "fxmesh order buy EURUSD 10000 --stop 1.0990 --tif day",
            "fxmesh order buy EURUSD 10000 --stop 1.0990 --limit 1.0995",
            "fxmesh order buy EURUSD 10000 --touch 1.0850 --trigger mid",
            "fxmesh order buy EURUSD 10000 --limit 1.0850 --post-only",
            "fxmesh order buy EURUSD 10000 --take-profit 1.0990 --stop-loss +0.0020",
            "fxmesh order buy EURUSD 10000 --stop 1.0990 --link breakout",
            "fxmesh order buy EURUSD 10000 --limit 1.0850 --after ORDER",
            "fxmesh order buy EURUSD 10000 --client-order-id morning-1 --json",
            codes=_CODES,
        )
    )(buy)
    order.command(
        epilog=output.examples(
            "fxmesh order sell USDJPY 10000",
            "fxmesh order sell EURUSD 1lot --limit 1.0990",
            "fxmesh order sell EURUSD 10000 --trail 0.0020 --reduce-only",
            codes=_CODES,
        )
    )(sell)
    order.command(
        epilog=output.examples(
            "fxmesh order cancel ORDER",
            "fxmesh order cancel --all --account demo",
            "fxmesh order cancel --all --symbol EURUSD",
        )
    )(cancel)
    order.command(
        epilog=output.examples(
            "fxmesh order amend ORDER --limit 1.0840", "fxmesh order amend ORDER --size 5000 --revision 2"
        )
    )(amend)
    order.command(epilog=output.examples("fxmesh order show ORDER"))(show)
    order.command(epilog=output.examples("fxmesh order find morning-1 --account demo"))(find)
    app.add_typer(
        order,
        name="order",
        help="Place, cancel, amend and look up an order.",
        epilog=output.examples(
            "fxmesh order buy EURUSD 10000", "fxmesh order cancel ORDER", "fxmesh order buy --help"
        ),
    )
    app.command(
        epilog=output.examples(
            "fxmesh orders", "fxmesh orders --open --account demo", "fxmesh orders EURUSD --watch"
        )
    )(orders)
    app.command(epilog=output.examples("fxmesh fills", "fxmesh fills EURUSD -n 5 --json"))(fills)
    app.command(epilog=output.examples("fxmesh positions", "fxmesh positions --account demo --flat"))(
        positions
    )
    app.command(
        epilog=output.examples(
            "fxmesh close EURUSD",
            "fxmesh close EURUSD --size 5000",
            "fxmesh close EURUSD --account hedged --position o-abc",
            codes=_CODES,
        )
    )(close)


def buy(
    symbol: SymbolArgument,
    size: SizeArgument,
    limit: LimitOption = "",
    stop: StopOption = "",
    touch: TouchOption = "",
    trail: TrailOption = "",
    trigger: TriggerOption = None,
    post_only: PostOnlyOption = False,
    reduce_only: ReduceOnlyOption = False,
    position: PositionOption = "",
    take_profit: TakeProfitOption = "",
    stop_loss: StopLossOption = "",
    stop_loss_trail: StopLossTrailOption = "",
    link: LinkOption = "",
    after: AfterOption = "",
    tif: TifOption = None,
    expires: ExpiresOption = "",
    account: AccountOption = "demo",
    client_order_id: KeyOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Buy at the market, at a limit, or once the market is at a price."""
    from services.cli.requests import tickets, trading

    conditions = tickets.Conditions(
        limit, stop, touch, trail, trigger or "", post_only, reduce_only, position
    )
    family = tickets.Family(take_profit, stop_loss, stop_loss_trail, link, after)
    timing = tickets.Timing(tif or "", expires)
    ticket = tickets.Ticket("buy", symbol, size, account, conditions, family, timing, client_order_id)
    Caller(home, address, json).run(lambda to: trading.place(to, ticket))


def sell(
    symbol: SymbolArgument,
    size: SizeArgument,
    limit: LimitOption = "",
    stop: StopOption = "",
    touch: TouchOption = "",
    trail: TrailOption = "",
    trigger: TriggerOption = None,
    post_only: PostOnlyOption = False,
    reduce_only: ReduceOnlyOption = False,
    position: PositionOption = "",
    take_profit: TakeProfitOption = "",
    stop_loss: StopLossOption = "",
    stop_loss_trail: StopLossTrailOption = "",
    link: LinkOption = "",
    after: AfterOption = "",
    tif: TifOption = None,
    expires: ExpiresOption = "",
    account: AccountOption = "demo",
    client_order_id: KeyOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Sell at the market, at a limit, or once the market is at a price."""
    from services.cli.requests import tickets, trading

    conditions = tickets.Conditions(
        limit, stop, touch, trail, trigger or "", post_only, reduce_only, position
    )
    family = tickets.Family(take_profit, stop_loss, stop_loss_trail, link, after)
    timing = tickets.Timing(tif or "", expires)
    ticket = tickets.Ticket("sell", symbol, size, account, conditions, family, timing, client_order_id)
    Caller(home, address, json).run(lambda to: trading.place(to, ticket))


def cancel(
    order: Annotated[str, typer.Argument(metavar="[ORDER]", help="Order id.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All working orders of the account.")] = False,
    symbol: Annotated[str, typer.Option("--symbol", help="With --all: only of this symbol.")] = "",
    account: AccountOption = "demo",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Cancel a working order, or all of an account."""
    if bool(order) == every:
        raise output.CliError(
            "USAGE", "Name an order, or --all.", "See `fxmesh orders --open`.", output.ExitCode.USAGE
        )
    from services.cli.requests import trading

    caller = Caller(home, address, json)
    if every:
        caller.run(lambda link: trading.cancel_all(link, account, symbol, request_id))
    else:
        caller.run(lambda link: trading.cancel(link, order, request_id))


def amend(
    order: OrderArgument,
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="New total size, in units.")] = "",
    limit: Annotated[str, typer.Option("--limit", metavar="PRICE", help="New limit price.")] = "",
    stop: Annotated[str, typer.Option("--stop", metavar="PRICE", help="New stop or touch price.")] = "",
    trail: Annotated[
        str, typer.Option("--trail", metavar="DISTANCE", help="New distance of a trailing stop.")
    ] = "",
    revision: Annotated[
        int,
        typer.Option("--revision", min=0, help="Only if this is the order's revision. 0: whatever it is."),
    ] = 0,
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Change size or prices of a working order."""
    from services.cli.requests import trading

    change = trading.Change(size, limit, stop, revision, trail)
    Caller(home, address, json).run(lambda link: trading.amend(link, order, change, request_id))


def show(
    order: OrderArgument,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show one order by its id."""
    from services.cli.requests import trading

    Caller(home, address, json).run(lambda link: trading.show(link, order))


def find(
    client_order_id: Annotated[
        str, typer.Argument(metavar="CLIENT_ORDER_ID", help="The key it was placed under.")
    ],
    account: AccountOption = "demo",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Find an order by the key it was placed under: what to ask when an outcome is unknown."""
    from services.cli.requests import trading

    Caller(home, address, json).run(lambda link: trading.find(link, account, client_order_id))


def orders(
    symbol: SymbolsArgument = None,
    account: AnyAccountOption = "",
    working: Annotated[bool, typer.Option("--open", help="Only orders that still work.")] = False,
    number: NumberOption = 20,
    watch: WatchOption = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: WatchJsonOption = False,
) -> None:
    """Show orders, newest first; with --watch each change of one."""
    from services.cli.requests import trading

    caller, wanted = Caller(home, address, json), symbol or []
    if watch:
        caller.run(lambda link: trading.watch_orders(link, account, wanted), endless=True)
    else:
        caller.run(lambda link: trading.orders(link, account, wanted, working, number))


def fills(
    symbol: SymbolsArgument = None,
    account: AnyAccountOption = "",
    order: Annotated[str, typer.Option("--order", metavar="ORDER", help="Only of this order.")] = "",
    number: NumberOption = 20,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show executions, newest first, with the profit each realised."""
    from services.cli.requests import trading

    Caller(home, address, json).run(lambda link: trading.fills(link, account, symbol or [], order, number))


def positions(
    symbol: SymbolsArgument = None,
    account: AnyAccountOption = "",
    flat: Annotated[bool, typer.Option("--flat", help="Flat ones too.")] = False,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show open positions with profit, margin and age, and the accounts that hold them."""
    from services.cli.requests import positions as requests

    Caller(home, address, json).run(lambda link: requests.positions(link, account, symbol or [], flat))


def close(
    symbol: SymbolArgument,
    position: Annotated[
        str, typer.Option("--position", metavar="ID", help="Which one, in a hedging account.")
    ] = "",
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Units to close. Default: all of it.")
    ] = "",
    account: AccountOption = "demo",
    client_order_id: KeyOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Place the market order that closes a position, or a part of it."""
    from services.cli.requests import trading

    Caller(home, address, json).run(
        lambda link: trading.close(link, symbol, account, position, size, client_order_id)
    )
