"""The kill switch, and the entry orders that it withdraws where that is asked for.

The switch is a step and a commit of its own, ahead of the withdrawals, however many there are.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass

from services.errors import VALIDATION_FAILED, invalid_field
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.entries import entries
from services.trading_gateway.domain.events import AccountView
from services.trading_gateway.domain.inputs import CancelOrder
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.values import TradingState
from services.trading_gateway.handlers.accounts import Accounts
from services.trading_gateway.handlers.desk import Desk

AT_ONCE = 100
"""Orders withdrawn in one step: some 25 ms in which nothing else happens."""


@dataclass(frozen=True, slots=True)
class Halted:
    """The accounts as they stand, and how many entry orders of each a cancel was asked for."""

    accounts: list[AccountView]
    cancelled: dict[str, int]


class Halting:
    """Use cases of the kill switch."""

    def __init__(self, desk: Desk, accounts: Accounts) -> None:
        self._desk = desk
        self._accounts = accounts
        self._working: set[asyncio.Task[Counter[str]]] = set()

    async def set(
        self, request_id: str, account_id: str, state: TradingState, reason: str, *, cancel_entries: bool
    ) -> Halted:
        """Set the state of an account or (no id) of all, then withdraw what may add risk.

        Raises FxError: INVALID_ARGUMENT `VALIDATION_FAILED` for withdrawals from accounts that trade,
        NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        if cancel_entries and state is TradingState.ACTIVE:
            raise invalid_field(VALIDATION_FAILED, "cancel_entries", "goes with a halt, not with its end")
        also = ("cancel_entries",) if cancel_entries else ()
        views = await self._accounts.set_trading_state(request_id, account_id, state, reason, also)
        if not cancel_entries:
            return Halted(views, {})
        ids = frozenset(each.account.account_id for each in views)
        work = asyncio.create_task(self._withdraw(request_id, ids, state, reason))
        self._working.add(work)  # goes on when the caller's time is over
        work.add_done_callback(self._worked)
        return Halted(views, dict(await asyncio.shield(work)))

    async def _withdraw(
        self, request_id: str, accounts: frozenset[str], state: TradingState, reason: str
    ) -> Counter[str]:
        """How many by account, some at once: in between, others are served, another halt among them."""
        total: Counter[str] = Counter()
        asked: set[str] = set()

        def act(engine: Engine) -> list[str]:
            """Accounts and counts as text; nothing of accounts that were set to another state since."""
            book = engine.book
            halted = {each for each in accounts if book.account(each).trading_state is state}
            left = (each for each in entries(book, halted) if each.order_id not in asked)
            found = list(itertools.islice(left, AT_ONCE))
            for each in found:
                asked.add(each.order_id)  # once, though a venue may refuse it
                self._cancel(engine, each, state, reason)
            return [f"{each}:{count}" for each, count in Counter(each.account_id for each in found).items()]

        for number in itertools.count(1):
            # No request has such an id. Sent again after a crash, it goes on behind what was stored.
            part = f"{request_id}:entries:{number}"
            done = await self._desk.once(part, ("entries", state.value, reason), act)
            counts = {account: int(count) for account, _, count in (each.partition(":") for each in done)}
            total.update(counts)
            if sum(counts.values()) < AT_ONCE:
                break
        return total

    def _cancel(self, engine: Engine, order: Order, state: TradingState, reason: str) -> None:
        if not engine.book.order(order.order_id).final:  # it may have gone with one before
            time_ns, code = self._desk.time(order.scope), f"TRADING_{state.name}"
            why = f"withdrawn with the halt: {reason or 'no reason given'}"
            engine.cancel(CancelOrder(time_ns, order.order_id, code, why))

    def _worked(self, work: asyncio.Task[Counter[str]]) -> None:
        self._working.discard(work)
        failure = None if work.cancelled() else work.exception()
        if failure is not None:
            self._desk.log.warning("entries.not_withdrawn", error=str(failure))
