"""Flattening: out of an account, or of one symbol of it, by one request.

Cancels go ahead of the orders that close, in one step, so the venue hears of both in that order and after
they are durable. What a position was and which order closes it are the answer that is kept under the
request's id: sent again, the same orders are looked up as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.market.instruments import require_known
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.ids import flatten_client_order_id
from services.trading_gateway.domain.inputs import CancelOrder, Facts, PlaceOrder
from services.trading_gateway.domain.orders import Order, closing
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import OrderOrigin
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.orders import Orders


@dataclass(frozen=True, slots=True)
class Closed:
    """A position as it was, and the order that closes it as it stands."""

    symbol: str
    position_id: str
    size: int
    order: Order


@dataclass(frozen=True, slots=True)
class Flattened:
    """What was done."""

    cancelled: tuple[Order, ...]
    """Orders that were working, as they stand."""
    closed: tuple[Closed, ...]
    flat: bool
    """Now nothing works and nothing is open."""


class Flattening:
    """The way out of an account."""

    def __init__(self, desk: Desk, orders: Orders) -> None:
        self._desk = desk
        self._orders = orders

    async def flatten(self, request_id: str, account_id: str, symbol: str) -> Flattened:
        """Cancel what works and close what is open, of an account or of one symbol of it.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        require_known([symbol] if symbol else [])
        account = self._desk.engine.book.account(account_id)
        facts = await self._facts(account, symbol)

        def act(engine: Engine) -> list[str]:
            cancelled = [self._cancel(engine, each) for each in engine.book.working(account_id, symbol)]
            standing = self._orders.standing_facts(account)
            closed = [
                self._close(engine, request_id, each, facts.get(each.symbol, standing))
                for each in _open(engine.book, account_id, symbol)
            ]
            return cancelled + closed

        done = await self._desk.once(request_id, ("flatten", account_id, symbol), act)
        cancelled = [each for each in done if ":" not in each]
        closed = [each.split(":") for each in done if ":" in each]
        book = self._desk.engine.book
        return Flattened(
            tuple([await self._orders.get(each) for each in cancelled]),
            tuple(
                [
                    Closed(of, held, int(size), await self._orders.get(order))
                    for of, held, size, order in closed
                ]
            ),
            not (book.working(account_id, symbol) or _open(book, account_id, symbol)),
        )

    async def _facts(self, account: Account, symbol: str) -> dict[str, Facts]:
        """By symbol; what a position opened in between needs is known without asking."""
        held = _open(self._desk.engine.book, account.account_id, symbol)
        return {each.symbol: await self._orders.facts(account, closing(each)) for each in held}

    def _cancel(self, engine: Engine, order: Order) -> str:
        if not engine.book.order(order.order_id).final:  # it may have gone with one before
            time_ns = self._desk.time(order.scope)
            engine.cancel(CancelOrder(time_ns, order.order_id, "FLATTENED", "the account is flattened"))
        return order.order_id

    def _close(self, engine: Engine, request_id: str, position: Position, facts: Facts) -> str:
        """Symbol, position, size and closing order as text."""
        scope = engine.book.account(position.account_id).session_id
        key = flatten_client_order_id(request_id, position.symbol, position.position_id)
        order = engine.place(
            PlaceOrder(
                self._desk.time(scope),
                position.account_id,
                key,
                closing(position),
                OrderOrigin.RISK,
                facts,
                through_halt=True,
            )
        )
        return f"{position.symbol}:{position.position_id}:{position.size}:{order.order_id}"


def _open(book: Book, account_id: str, symbol: str) -> list[Position]:
    return [each for each in book.holdings.open(account_id) if not symbol or each.symbol == symbol]
