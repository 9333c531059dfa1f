"""A person settles a difference between the books and a venue outside."""

from __future__ import annotations

from services.errors import FxError, Kind
from services.market.instruments import instrument, require_known
from services.trading_gateway.domain import busting, valuation
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.events import AccountView
from services.trading_gateway.domain.inputs import VenueAdopted
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.venues import VenueLinks


class Adopting:
    """Use case of differences."""

    def __init__(self, desk: Desk, links: VenueLinks) -> None:
        self._desk = desk
        self._links = links

    async def adopt(
        self,
        request_id: str,
        account_id: str,
        difference: tuple[str, str, str],
        price: str,
        reason: str,
        changed_by: str,
    ) -> AccountView:
        """The account with the venue's figure for one that differs: (symbol, none for the balance, or an
        execution that it busted and never told; its figure; ours). Both sides are compared before and after.

        Raises FxError: NOT_FOUND `UNKNOWN_ACCOUNT`, ABORTED `DIFFERENCE_CHANGED`, INVALID_ARGUMENT for symbol
        or price, FAILED_PRECONDITION `NO_VENUE`, UNAVAILABLE `VENUE_AWAY`.
        """
        desk = self._desk
        account = desk.engine.book.account(account_id)
        if account.on_paper:
            detail = f"{account_id} is on paper, which has no books of its own to differ from"
            raise FxError(Kind.FAILED_PRECONDITION, "NO_VENUE", detail)
        symbol, theirs, ours = difference
        bust = busting.awaited(account, symbol)
        require_known([symbol] if symbol and not bust else [])
        raw = instrument(symbol).price(price).raw if symbol and price and not bust else None

        def act(engine: Engine) -> list[str]:
            wall_ns = desk.clock.now_ns()
            engine.link(
                VenueAdopted(
                    desk.time(LIVE),
                    account_id,
                    symbol,
                    theirs,
                    ours,
                    raw,
                    request_id,
                    changed_by,
                    reason,
                    wall_ns,
                )
            )
            return [account_id]

        use = ("adopt", account_id, difference, price, reason)
        if await desk.store.answer(request_id) is not None:
            await desk.once(request_id, use, act)
        else:
            async with self._links.compared(account.venue):
                await desk.once(request_id, use, act)
        book = desk.engine.book
        view = valuation.account_view(book, book.account(account_id))
        await desk.durable()
        return view
