"""Orders: place, amend, cancel, close a position, and what one can ask about them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from services.errors import VALIDATION_FAILED, FxError, Kind, invalid_field
from services.market.instruments import instrument, require_known
from services.trading_gateway.domain import amending, placing, valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.ids import (
    order_id,
    stop_loss_client_order_id,
    take_profit_client_order_id,
)
from services.trading_gateway.domain.inputs import AmendOrder, CancelOrder, Facts, PlaceOrder, QuoteSeen
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.domain.orders import Amendment, Order, Terms, closing
from services.trading_gateway.domain.terms import not_expired, price_of, size_of
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.ports import FillQuery, MarketData, OrderQuery

_OURS = re.compile(r"[smf]-[a-z2-7]{26}|[pt]-o-[a-z2-7]{26}(-[0-9]+)?")
"""Keys of automatic orders; nobody else may take them."""
BOOK_AGE_NS = 2_000_000_000
"""A book further in market time from the quote than this is not walked."""


@dataclass(frozen=True, slots=True)
class Change:
    """What to change, as typed: empty text leaves as it is, revision 0 asks for none in particular."""

    size: str = ""
    limit_price: str = ""
    stop_price: str = ""
    revision: int = 0
    trail_distance: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A fill with the currency of its account; `busted`: another takes it back."""

    fill: Fill
    currency: str
    busted: bool


class Orders:
    """Use cases of orders."""

    def __init__(self, desk: Desk, market: MarketData) -> None:
        self._desk = desk
        self._market = market

    async def place(self, account_id: str, client_order_id: str, terms: Terms) -> Order:
        """Check, make durable and send an order; as far as it came.

        Raises FxError: NOT_FOUND `UNKNOWN_ACCOUNT`, ALREADY_EXISTS `DUPLICATE_CLIENT_ORDER_ID`,
        FAILED_PRECONDITION with the reason of the check that refused it.
        """
        if _OURS.fullmatch(client_order_id):
            raise invalid_field("VALIDATION_FAILED", "client_order_id", "is kept for automatic orders")
        desk = self._desk
        account = desk.engine.book.account(account_id)
        while True:
            generation = desk.generation
            first = await self._first(account_id, client_order_id)
            if first is not None:
                break
            not_expired(terms, desk.time(account.session_id))
            facts = await self.facts(account, terms)
            first = desk.engine.book.find(account_id, client_order_id)  # it may have come twice at once
            if first is not None:
                break
            if desk.generation == generation:
                return await self._place(account, client_order_id, terms, facts)
            # Books that were built anew meanwhile do not have an order in memory that is over: look again.
        return await self._again(first, terms)

    async def close_position(
        self, account_id: str, symbol: str, client_order_id: str, position_id: str = "", size: str = ""
    ) -> Order:
        """Place the market order that closes a position, or `size` of it.

        Raises FxError: FAILED_PRECONDITION `NO_POSITION`, `SIZE_ABOVE_MAXIMUM`, and as `place`.
        """
        require_known([symbol])
        part = size_of(instrument(symbol), size) if size else 0
        first = await self._first(account_id, client_order_id)
        if first is not None:
            wanted = (symbol, OrderType.MARKET, True, position_id, part or first.size)
            if (first.symbol, first.type, first.reduce_only, first.position_id, first.size) != wanted:
                raise placing.reused(first)
            return await self._again(first, None)
        book = self._desk.engine.book
        position = book.position(account_id, symbol, position_id)
        if book.account(account_id).hedging and not position_id:
            raise FxError(Kind.FAILED_PRECONDITION, "POSITION_REQUIRED", "say which position is to be closed")
        if position.flat:
            raise FxError(Kind.FAILED_PRECONDITION, "NO_POSITION", f"no open position {position.name}")
        if part > abs(position.size):
            held = instrument(symbol).size_text(abs(position.size))
            raise FxError(Kind.FAILED_PRECONDITION, "SIZE_ABOVE_MAXIMUM", f"the position holds {held}")
        return await self.place(account_id, client_order_id, closing(position, part))

    async def amend(self, request_id: str, wanted: str, change: Change) -> Order:
        """Change size or prices of a working order; with the values it has, it stays as it is.

        Raises FxError: NOT_FOUND `UNKNOWN_ORDER`, FAILED_PRECONDITION `ORDER_FINAL`, `ORDER_PENDING`,
        `SIZE_ABOVE_MAXIMUM` or a check's reason, ABORTED `REVISION_MISMATCH`, INVALID_ARGUMENT for the shape.
        """
        if not (change.size or change.limit_price or change.stop_price or change.trail_distance):
            detail = "nothing to change: give size, limit_price, stop_price or trail_distance"
            raise FxError(Kind.INVALID_ARGUMENT, VALIDATION_FAILED, detail)
        order = await self.get(wanted)
        of = instrument(order.symbol)
        amendment = Amendment(
            size_of(of, change.size) if change.size else None,
            price_of(of, change.limit_price, "limit_price"),
            price_of(of, change.stop_price, "stop_price"),
            price_of(of, change.trail_distance, "trail_distance"),
        )
        account = self._desk.engine.book.account(order.account_id)
        facts = self.standing_facts(account)

        def act(engine: Engine) -> list[str]:
            current = _working(engine, wanted)
            if change.revision and current.revision != change.revision:
                raise FxError(
                    Kind.ABORTED,
                    "REVISION_MISMATCH",
                    f"order {wanted} is at revision {current.revision}, not {change.revision}: read it again",
                )
            if not amending.already(current, amendment):
                whole = amending.require_room(engine.book, current, amendment)
                engine.amend(AmendOrder(self._desk.time(current.scope), wanted, amendment, facts, whole))
            return [wanted]

        await self._desk.once(request_id, ("amend", wanted, change), act)
        return await self.get(wanted)

    async def cancel(self, request_id: str, wanted: str) -> Order:
        """Cancel a working order. Raises FxError `UNKNOWN_ORDER`, `ORDER_FINAL`."""
        if wanted not in self._desk.engine.book.orders:
            await self.get(wanted)

        def act(engine: Engine) -> list[str]:
            self._cancel(engine, _working(engine, wanted))
            return [wanted]

        await self._desk.once(request_id, ("cancel", wanted), act)
        return await self.get(wanted)

    async def cancel_all(self, request_id: str, account_id: str, symbol: str) -> list[Order]:
        """Cancel all working orders of an account, or of one symbol of it; those it concerned.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        require_known([symbol] if symbol else [])
        self._desk.engine.book.account(account_id)

        def act(engine: Engine) -> list[str]:
            working = engine.book.working(account_id, symbol)
            for each in working:
                if not engine.book.order(each.order_id).final:  # it may have gone with one before
                    self._cancel(engine, each)
            return [each.order_id for each in working]

        ids = await self._desk.once(request_id, ("cancel_all", account_id, symbol), act)
        return [await self.get(each) for each in ids]

    async def get(self, wanted: str) -> Order:
        """One order as committed. Raises FxError NOT_FOUND `UNKNOWN_ORDER`."""
        found = await self._desk.store.order(wanted)
        if found is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_ORDER", f"no order {wanted}")
        return found

    async def attached(self, order: Order, asked: Terms) -> list[Order]:
        """The take-profit and stop-loss that were placed with an order, which was asked for so."""
        keys = (
            (asked.take_profit, take_profit_client_order_id),
            (asked.stop_loss, stop_loss_client_order_id),
        )
        ids = [order_id(order.account_id, key(order.order_id)) for leg, key in keys if leg is not None]
        found = [await self._desk.store.order(each) for each in ids]
        return [each for each in found if each is not None]

    async def find(self, account_id: str, client_order_id: str) -> Order:
        """The order an account placed under a key. Raises FxError NOT_FOUND `UNKNOWN_ORDER`."""
        found = await self._desk.store.order(order_id(account_id, client_order_id))
        if found is None:
            detail = f"account {account_id} placed no order under the key {client_order_id}"
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_ORDER", detail)
        return found

    async def page(self, query: OrderQuery) -> list[Order]:
        """A page of orders, newest first.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        self._require(query)
        return await self._desk.store.orders(query)

    async def fills(self, query: FillQuery) -> list[Shown]:
        """A page of fills, newest first. Raises FxError as `page`."""
        self._require(query)
        accounts, store = self._desk.engine.book.accounts, self._desk.store
        found = await store.fills(query)
        busted = await store.busted([each.execution_id for each in found])
        return [
            Shown(each, accounts[each.account_id].currency, each.execution_id in busted) for each in found
        ]

    def stream(self, account_id: str, symbols: Collection[str]) -> AsyncIterator[Order | None]:
        """Working orders, then every change as it is committed; None when nothing came for a second.

        The account may be one that is opened later. Raises FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`.
        """
        require_known(symbols)
        wanted = frozenset(symbols)

        def match(order: Order) -> bool:
            return (not account_id or order.account_id == account_id) and (
                not wanted or order.symbol in wanted
            )

        return self._desk.orders.subscribe(match, first=self._desk.engine.book.working())

    async def facts(self, account: Account, terms: Terms) -> Facts:
        """What checks and venue need to know; asks market data for quotes or depth where they matter."""
        scope, book = account.session_id, self._desk.engine.book
        feed = book.markets.feed(scope, terms.symbol)
        if (
            feed is None
            or feed.state.quote is None
            or not valuation.convertible(book, account, feed.instrument)
        ):
            await self.ask_quotes()
        if terms.type is OrderType.MARKET or terms.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            depth = await self.depth(account, terms.symbol, terms.side, terms.size)
            return self.standing_facts(account, depth)
        return self.standing_facts(account)

    async def depth(
        self, account: Account, symbol: str, side: Side, size: int
    ) -> tuple[tuple[int, int], ...]:
        """Levels an order could walk, when it is larger than the top of the book is known to be."""
        feed = self._desk.engine.book.markets.feed(account.session_id, symbol)
        quote = None if feed is None else feed.state.quote
        top = None if quote is None else (quote.ask_size if side is Side.BUY else quote.bid_size)
        if quote is None or top is None or size <= top:
            return ()
        try:
            book = await self._market.depth(symbol)
        except FxError:
            return ()  # the top of the book is known, and is what the order gets
        if (
            book is None
            or book.session_id != quote.session_id
            or abs(book.time_ns - quote.time_ns) > BOOK_AGE_NS
        ):
            return ()
        crossed = bool(book.bids and book.asks and book.bids[0][0] > book.asks[0][0])
        return () if crossed else (book.asks if side is Side.BUY else book.bids)

    async def ask_quotes(self) -> None:
        """Take the quotes that market data has, for symbols of which no tick came yet."""
        try:
            quotes = await self._market.quotes()
        except FxError as failure:
            self._desk.log.debug("quotes.not_asked", error=str(failure))
            return
        with self._desk.step() as engine:
            for quote in quotes:
                # A replay is read from its first tick: its quotes are those of its ticks.
                if engine.book.markets.scope_of(quote.session_id) == LIVE:
                    engine.quote_seen(QuoteSeen(quote.time_ns, quote))
        await self._desk.settle()

    def standing_facts(self, account: Account, depth: tuple[tuple[int, int], ...] = ()) -> Facts:
        """What checks need to know without asking anybody."""
        desk = self._desk
        alive = desk.feed_alive(account.session_id)
        return Facts(alive, desk.backlog, depth, desk.bus_full, both_currencies=True)

    # Inside

    def _require(self, query: OrderQuery | FillQuery) -> None:
        require_known(query.symbols)
        if query.account_id:
            self._desk.engine.book.account(query.account_id)

    async def _first(self, account_id: str, client_order_id: str) -> Order | None:
        book = self._desk.engine.book
        return book.find(account_id, client_order_id) or await self._desk.store.order(
            order_id(account_id, client_order_id)
        )

    async def _place(self, account: Account, key: str, terms: Terms, facts: Facts) -> Order:
        risk = self._desk.tracer.start("check risk", account_id=account.account_id, symbol=terms.symbol)
        with risk, self._desk.step() as engine:
            time_ns = self._desk.time(account.session_id)
            asked = PlaceOrder(time_ns, account.account_id, key, terms, facts=facts)
            if (away := engine.turned_away(asked)) is not None:
                risk.note(outcome=away.reason)
                raise FxError(Kind.FAILED_PRECONDITION, away.reason, away.detail)
            placed = engine.place(asked)
            risk.note(outcome=placed.reason or "PASSED")
        orders = await self._desk.settle()
        return _taken(orders[placed.order_id])

    async def _again(self, first: Order, terms: Terms | None) -> Order:
        """The answer to a repeated request: the order it placed, or the refusal it got."""
        if terms is not None:
            placing.same_order(first, terms)
        await self._desk.durable()
        return _taken(await self.get(first.order_id))

    def _cancel(self, engine: Engine, order: Order) -> None:
        time_ns = self._desk.time(order.scope)
        engine.cancel(CancelOrder(time_ns, order.order_id, "CANCELLED_BY_USER", "cancelled on request"))


def _working(engine: Engine, wanted: str) -> Order:
    """The order as the books have it; one that is in the store only is long over."""
    order = engine.book.orders.get(wanted)
    if order is None:
        raise FxError(Kind.FAILED_PRECONDITION, "ORDER_FINAL", f"order {wanted} is over already")
    return order


def _taken(order: Order) -> Order:
    """The order, unless a check refused it."""
    if order.status is OrderStatus.REJECTED and not order.at_venue:
        raise placing.refused(order)
    return order
