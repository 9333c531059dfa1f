"""Accounts: opening, settings, the kill switch, cash, positions, limits in use, proof of the books."""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import FxError, Kind, invalid_field
from services.market.instruments import account_currency, require_known
from services.money.values import Money
from services.trading_gateway.domain import reconcile, valuation
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.events import AccountView, PositionView
from services.trading_gateway.domain.exposure import RiskState, risk_state
from services.trading_gateway.domain.fills import LedgerEntry
from services.trading_gateway.domain.inputs import OpenAccount, SetAutoTrade, SetStanding, SetTradingState
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.domain.reconcile import Reconciliation
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import PAPER, PositionMode, TradingState
from services.trading_gateway.handlers.desk import Desk


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """The account that exists from the first start; no id: none."""

    account_id: str
    currency: str
    deposit: str


class Accounts:
    """Use cases of accounts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open_first(self, first: FirstAccount) -> None:
        """Open the demo account unless there is one of that name."""
        if first.account_id and first.account_id not in self._desk.engine.book.accounts:
            deposit = Money.parse(first.deposit, first.currency).raw
            with self._desk.step() as engine:
                time_ns = self._desk.time(LIVE)
                engine.open_account(
                    OpenAccount(time_ns, first.account_id, first.currency, deposit, auto_trade=True)
                )
            await self._desk.settle()

    async def open(
        self,
        request_id: str,
        account_id: str,
        code: str,
        deposit: str,
        *,
        auto_trade: bool,
        venue: str = "",
        mode: PositionMode = PositionMode.NETTING,
    ) -> AccountView:
        """A new account on the live market, on paper unless a venue is named.

        Raises FxError: ALREADY_EXISTS `ACCOUNT_EXISTS`, INVALID_ARGUMENT for currency, deposit or venue.
        """
        account_currency(code)
        at = self._desk.outside.require(venue)
        if at != PAPER and mode is PositionMode.HEDGING:
            why = f"hedging is for accounts on {PAPER}: of a venue outside one position a symbol is compared"
            raise invalid_field("VALIDATION_FAILED", "position_mode", why)
        amount = Money.parse(deposit, code, "deposit").raw

        def act(engine: Engine) -> list[str]:
            if account_id.startswith("replay-"):
                detail = f"{account_id}: names that begin with replay- are kept for replays"
                raise FxError(Kind.ALREADY_EXISTS, "ACCOUNT_EXISTS", detail)
            time_ns = self._desk.time(LIVE)
            engine.open_account(
                OpenAccount(time_ns, account_id, code, amount, auto_trade, venue=at, mode=mode)
            )
            return [account_id]

        # A request of an earlier release named neither.
        named = () if at == PAPER else (at,)
        chosen = () if mode is PositionMode.NETTING else (mode.value,)
        use = ("open", account_id, code, deposit, auto_trade, *named, *chosen)
        await self._desk.once(request_id, use, act)
        return await self.get(account_id)

    async def all(self) -> list[AccountView]:
        """All accounts, by id."""
        book = self._desk.engine.book
        views = [valuation.account_view(book, book.accounts[each]) for each in sorted(book.accounts)]
        await self._desk.durable()
        return views

    async def get(self, account_id: str) -> AccountView:
        """One account at the quotes of the moment. Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`."""
        book = self._desk.engine.book
        view = valuation.account_view(book, book.account(account_id))
        await self._desk.durable()
        return view

    async def set_auto_trade(
        self,
        request_id: str,
        account_id: str,
        *,
        auto_trade: bool,
        symbol: str = "",
        reason: str = "",
        changed_by: str = "",
    ) -> AccountView:
        """Auto-trading of an account, or of one symbol of it, on or off.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        require_known([symbol] if symbol else [])

        def act(engine: Engine) -> list[str]:
            time_ns = self._desk.time(engine.book.account(account_id).session_id)
            wall_ns = self._desk.clock.now_ns()
            engine.set_auto_trade(
                SetAutoTrade(time_ns, account_id, auto_trade, symbol, changed_by, reason, wall_ns)
            )
            return [account_id]

        # A use without symbol and reason is one of a release that had none.
        besides = (symbol, reason) if symbol or reason else ()
        await self._desk.once(request_id, ("auto_trade", account_id, auto_trade, *besides), act)
        return await self.get(account_id)

    async def set_trading_state(
        self, request_id: str, account_id: str, state: TradingState, reason: str, also: tuple[str, ...] = ()
    ) -> list[AccountView]:
        """The kill switch, of one account or (no id) of all: those there are, and those opened later. `also`:
        what else the request asks for.

        Raises FxError `UNKNOWN_ACCOUNT`.
        """
        everywhere = not account_id
        views: list[AccountView] = []

        def act(engine: Engine) -> list[str]:
            if everywhere:
                engine.set_standing(SetStanding(self._desk.time(LIVE), state, reason))
            ids = sorted(engine.book.accounts) if everywhere else [account_id]
            for each in ids:
                time_ns = self._desk.time(engine.book.account(each).session_id)
                engine.set_trading_state(SetTradingState(time_ns, each, state, reason, everywhere))
            # As of this step, so durable with it: as of later, the answer would wait for what came since.
            views.extend(valuation.account_view(engine.book, engine.book.account(each)) for each in ids)
            return ids

        ids = await self._desk.once(request_id, ("state", account_id, state.value, reason, *also), act)
        return views or [await self.get(each) for each in ids]

    async def positions(
        self, account_id: str, symbols: frozenset[str], *, include_flat: bool
    ) -> list[PositionView]:
        """Positions of an account (no id: of all), valued at the last quotes, by account, symbol and age.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        require_known(symbols)
        book = self._desk.engine.book
        ids = [book.account(account_id).account_id] if account_id else sorted(book.accounts)
        found = {
            owner: book.positions_of(owner) if include_flat else book.holdings.open(owner) for owner in ids
        }
        views = [valuation.position_view(book, each) for positions in found.values() for each in positions]
        await self._desk.durable()
        if include_flat:
            known = {(each.position.account_id, each.position.name) for each in views}
            for account in (book.accounts[owner] for owner in ids):
                closed = await self._desk.store.closed_tickets(account.account_id) if account.hedging else []
                views += [
                    valuation.position_view(book, each)
                    for each in closed
                    if (each.account_id, each.name) not in known
                ]
            views.sort(key=_by_account_symbol_and_age)
        return [each for each in views if not symbols or each.position.symbol in symbols]

    async def ledger(self, account_id: str, after: int, limit: int) -> tuple[str, list[LedgerEntry]]:
        """Currency and postings of an account after an entry. Raises FxError `UNKNOWN_ACCOUNT`."""
        account = self._desk.engine.book.account(account_id)
        return account.currency, await self._desk.store.ledger(account_id, after, limit)

    async def transactions(self, account_id: str, after: int, limit: int) -> list[Transaction]:
        """Double-entry transactions of an account after a number. Raises FxError `UNKNOWN_ACCOUNT`."""
        self._desk.engine.book.account(account_id)
        return await self._desk.store.transactions(account_id, after, limit)

    async def reconcile(self, account_id: str) -> Reconciliation:
        """The books recomputed from fills and postings alone. Raises FxError `UNKNOWN_ACCOUNT`."""
        book = self._desk.engine.book
        account, last = book.account(account_id), book.fill_number
        positions = {each.name: each for each in book.positions_of(account_id)}
        await self._desk.durable()
        # What was booked since is in the store too, and cut off by its number.
        fills = await self._desk.store.all_fills(account_id)
        fills = [fill for fill in fills if fill.number <= last]
        transactions = await self._desk.store.transactions(account_id, 0)
        booked = {fill.position_id for fill in fills}
        closed = await self._desk.store.closed_tickets(account_id) if account.hedging else []
        older = {each.name: each for each in closed if each.position_id in booked}
        return reconcile.reconcile(
            account,
            older | positions,
            fills,
            [each for each in transactions if each.number <= account.transactions],
            await self._desk.store.misfilled(account_id),
        )

    async def risk_state(self, account_id: str) -> RiskState:
        """Limits and how much of them is used. Raises FxError `UNKNOWN_ACCOUNT`."""
        book = self._desk.engine.book
        state = risk_state(
            book, book.account(account_id), self._desk.time(book.account(account_id).session_id)
        )
        await self._desk.durable()
        return state


def _by_account_symbol_and_age(view: PositionView) -> tuple[str, str, int]:
    position = view.position
    return position.account_id, position.symbol, position.number
