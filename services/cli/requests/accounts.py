"""Accounts, their risk and the kill switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli import inputs
from services.cli import paint as colours
from services.cli.link import Link
from services.cli.output import CliError, ExitCode
from services.cli.render import Table, clock, count, pairs, percent, plain, word
from services.cli.requests.trading import entries
from services.errors import FxError

_PAINT = {
    "UNREALISED": colours.gain,
    "REALISED": colours.gain,
    "LEVEL": colours.level,
    "TRADING": colours.state,
}
_LIMITS = trading.RiskLimitName.items()
STATES = {
    "active": trading.TRADING_STATE_ACTIVE,
    "reducing": trading.TRADING_STATE_REDUCING,
    "halted": trading.TRADING_STATE_HALTED,
}


async def account(link: Link, account_id: str, reconcile: bool) -> ExitCode | None:
    """With `reconcile` also whether the books equal what fills and postings alone give."""
    answer = await link.trading.GetAccount(pb.GetAccountRequest(account_id=account_id))
    about = about_account(answer.account)
    if not reconcile:
        link.out.answer(answer, about, *differences(answer.account))
        return None
    books = await link.trading.ReconcileAccount(pb.ReconcileAccountRequest(account_id=account_id))
    rows = [
        (each.name, each.booked, each.recomputed, "" if each.equal else "differs") for each in books.lines
    ]
    headers = ("FIGURE", "BOOKED", "RECOMPUTED", "")
    verdict = "equal" if books.reconciled else "DIFFERENT"
    title = (
        f"The books, the fills ({count(books.fills)}) and the postings ({count(books.transactions)} "
        f"transactions) are {verdict}:"
    )
    balances = [(each.ledger_account, each.amount, each.currency) for each in books.balances]
    link.out.answer(
        {"account": answer.account, "reconciliation": books},
        about,
        Table(headers, rows, right=headers[1:3], title=title),
        Table(("LEDGER ACCOUNT", "BALANCE", "CUR"), balances, right=("BALANCE",), title="Trial balance:"),
    )
    return None if books.reconciled else ExitCode.FAILED


async def accounts(link: Link) -> None:
    answer = await link.trading.ListAccounts(pb.ListAccountsRequest())
    link.out.answer(answer, account_table(answer.accounts))


async def open_account(
    link: Link,
    account_id: str,
    currency: str,
    deposit: str,
    auto_trade: bool,
    hedging: bool,
    venue: str,
    request_id: str,
) -> None:
    request_id = request_id or link.new_id()
    request = pb.OpenAccountRequest(
        request_id=request_id,
        account_id=account_id,
        currency=currency.upper(),
        deposit=deposit,
        auto_trade=auto_trade,
        position_mode=trading.POSITION_MODE_HEDGING if hedging else trading.POSITION_MODE_UNSPECIFIED,
        venue=venue,
    )
    answer = await link.mutate(
        link.trading.OpenAccount(request),
        f"account {account_id} was opened",
        f"Ask with `fxmesh account {account_id}`, or repeat it with --request-id {request_id}.",
    )
    link.out.answer(answer, about_account(answer.account), f"request id  {request_id}")


async def set_auto_trade(
    link: Link, account_id: str, on: bool, symbol: str, reason: str, request_id: str
) -> None:
    """Of the account, or of one symbol of it."""
    request_id = request_id or link.new_id()
    request = pb.SetAutoTradeRequest(
        request_id=request_id,
        account_id=account_id,
        auto_trade=on,
        symbol=inputs.symbol(symbol) if symbol else "",
        reason=reason,
    )
    answer = await link.mutate(
        link.trading.SetAutoTrade(request),
        f"auto-trading of {account_id} was set",
        f"Ask with `fxmesh account {account_id}`; setting it again does no harm.",
    )
    link.out.answer(answer, account_table([answer.account]), f"request id  {request_id}")


async def set_state(
    link: Link,
    account_id: str,
    state: str,
    reason: str,
    request_id: str,
    *,
    cancel_entries: bool = False,
) -> None:
    """The kill switch, for one account or (empty) for all."""
    request_id = request_id or link.new_id()
    request = pb.SetTradingStateRequest(
        request_id=request_id,
        account_id=account_id,
        trading_state=STATES[state],
        reason=reason,
        cancel_entries=cancel_entries,
    )
    answer = await link.mutate(
        link.trading.SetTradingState(request),
        f"trading is {state}",
        "Ask with `fxmesh accounts`; saying it again does no harm.",
    )
    shown: list[Table | str] = [account_table(answer.accounts), f"request id  {request_id}"]
    if cancel_entries:
        shown.append(_withdrawn(answer.cancelled_entries))
    if state == "active":
        link.out.answer(answer, *shown)
        return
    try:
        left = await entries(link, account_id)
    except FxError as failed:  # the switch is thrown all the same, and that is what was asked for
        unknown = (
            f"It is unknown which entry orders still work ({failed.detail}): see `fxmesh orders --open`."
        )
        link.out.answer({**plain(answer), "workingEntries": None}, *shown, unknown)
        return
    link.out.answer({**plain(answer), "workingEntries": left}, *shown, _left_working(left))


def _left_working(entries_by_account: Mapping[str, int]) -> str:
    """What the kill switch leaves at the venue, and how to withdraw it."""
    if not entries_by_account:
        return "No entry order is working."
    where = _counted(entries_by_account)
    named = next(iter(entries_by_account)) if len(entries_by_account) == 1 else "ACCOUNT"
    return (
        f"Entry orders that still work and may fill: {where}. `fxmesh order cancel ORDER` withdraws one, "
        f"`fxmesh order cancel --all --account {named}` all, protective stops too."
    )


def _withdrawn(entries_by_account: Mapping[str, int]) -> str:
    """What the kill switch took back itself."""
    found = _counted(entries_by_account) or "none"
    return f"Entry orders withdrawn: {found}. What goes against a position with all of its size stays."


def _counted(by_account: Mapping[str, int]) -> str:
    return ", ".join(f"{number} in {account}" for account, number in sorted(by_account.items()))


async def risk(link: Link, account_id: str) -> None:
    answer = await link.trading.GetRiskState(pb.GetRiskStateRequest(account_id=account_id))
    state = answer.risk_state
    about = pairs(
        [
            ("account", state.account_id),
            ("trading", word(state, "trading_state")),
            ("because", state.state_reason),
        ]
    )
    limits = [
        (each.name, each.symbol, each.used, each.limit, each.unit, "set" if each.set_at_run_time else "")
        for each in state.limits
    ]
    exposure = sorted(state.currency_exposure.items())
    refusals = [(reason, count(number)) for reason, number in sorted(state.refusals.items())]
    link.out.answer(
        answer,
        about,
        Table(("LIMIT", "SYMBOL", "USED", "OF", "UNIT", ""), limits, right=("USED", "OF")),
        Table(("CURRENCY", "EXPOSURE"), exposure, right=("EXPOSURE",), empty="No exposure."),
        Table(("REFUSED BECAUSE", "ORDERS"), refusals, right=("ORDERS",), empty="Nothing was refused."),
    )


async def set_limits(
    link: Link, account_id: str, symbol: str, limits: Sequence[str], reason: str, request_id: str
) -> None:
    """Limits as "name=value"; no value gives back the settings' own."""
    request_id = request_id or link.new_id()
    request = pb.SetRiskLimitsRequest(
        request_id=request_id,
        account_id=account_id,
        symbol=inputs.symbol(symbol) if symbol else "",
        limits=[_limit(each) for each in limits],
        reason=reason,
    )
    answer = await link.mutate(
        link.trading.SetRiskLimits(request),
        f"limits of {account_id} were set",
        f"Ask with `fxmesh risk {account_id}`; setting them again does no harm.",
    )
    link.out.answer(answer, _changes(answer.changes, "Nothing changed."), f"request id  {request_id}")


async def limit_changes(link: Link, account_id: str, limit: int) -> None:
    """The audit, newest first."""
    request = pb.ListRiskLimitChangesRequest(account_id=account_id, page_size=limit)
    answer = await link.trading.ListRiskLimitChanges(request)
    link.out.answer(answer, _changes(answer.changes, "No limit was ever set."))


def _limit(text: str) -> trading.RiskLimitSetting:
    name, sign, value = text.partition("=")
    known = {each.lower().removeprefix("risk_limit_name_"): number for each, number in _LIMITS if number}
    if not sign or name not in known:
        names = ", ".join(sorted(known))
        hint = f"Say NAME=VALUE, NAME one of: {names}."
        raise CliError("USAGE", f"{text!r} is no limit", hint, ExitCode.USAGE)
    return trading.RiskLimitSetting(name=known[name], value=value)


def _changes(changes: Sequence[trading.RiskLimitChange], empty: str) -> Table:
    rows = [
        (
            clock(each.changed_at),
            each.changed_by,
            word(each, "name"),
            each.symbol,
            each.old_value or "default",
            each.new_value or "default",
            each.reason,
        )
        for each in changes
    ]
    headers = ("CHANGED (UTC)", "BY", "LIMIT", "SYMBOL", "FROM", "TO", "BECAUSE")
    return Table(headers, rows, right=("FROM", "TO"), empty=empty)


def _level(account: trading.Account) -> str:
    called = ", below the margin call" if account.margin_called else ""
    return f"{percent(account.margin_level)}{called}" if account.margin_level else ""


def _auto(account: trading.Account) -> str:
    """`on`, `off`, or `on but USDJPY`."""
    but = f" but {' '.join(account.auto_trade_off)}" if account.auto_trade_off else ""
    return f"on{but}" if account.auto_trade else "off"


def _moved(amount: str) -> str:
    """Nothing where nothing moved: most accounts have neither."""
    return amount if amount.strip("0.") else ""


def about_account(account: trading.Account) -> Table:
    """One account, a figure a row."""
    return pairs(
        [
            ("account", account.account_id),
            ("balance", f"{account.balance} {account.currency}"),
            ("equity", account.equity),
            ("unrealised", account.unrealised_profit),
            ("realised", account.realised_profit),
            ("commission", account.commission_paid),
            ("financing", account.financing),
            ("transferred", _moved(account.transferred)),
            ("adjusted", _moved(account.adjusted)),
            ("margin used", account.margin_used),
            ("available", account.margin_available),
            ("level", _level(account)),
            ("trading", word(account, "trading_state")),
            ("auto-trade", _auto(account)),
            ("positions", word(account, "position_mode")),
            ("replay", account.session_id),
            ("venue", account.venue),
            ("books", word(account, "venue_state")),
            ("because", account.venue_detail),
            ("updated", clock(account.updated_at)),
        ]
    )


def differences(account: trading.Account) -> list[Table]:
    """What `fxmesh accounts adopt` settles; nothing where nothing differs."""
    rows = [
        (each.symbol or "balance", each.venue_figure, each.books_figure) for each in account.venue_differences
    ]
    headers = ("DIFFERS", "AT THE VENUE", "IN THE BOOKS")
    return [Table(headers, rows, right=headers[1:])] if rows else []


def account_table(accounts: Sequence[trading.Account]) -> Table:
    """Accounts, one a row."""
    rows = [
        (
            each.account_id,
            each.currency,
            each.balance,
            each.equity,
            each.unrealised_profit,
            each.realised_profit,
            each.margin_used,
            percent(each.margin_level),
            word(each, "trading_state"),
            _auto(each),
        )
        for each in accounts
    ]
    points = ("BALANCE", "EQUITY", "UNREALISED", "REALISED", "MARGIN")
    return Table(
        ("ACCOUNT", "CUR", *points, "LEVEL", "TRADING", "AUTO"),
        rows,
        right=("LEVEL",),
        empty="No accounts.",
        points=points,
        paint=_PAINT,
    )
