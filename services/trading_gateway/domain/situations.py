"""An order against the state of everything it touches: what pre-trade checks look at and may say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.market.instruments import Instrument, instrument
from services.money.currencies import currency
from services.money.decimals import format_decimal
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.feeds import Feed, Quote
from services.trading_gateway.domain.inputs import Facts
from services.trading_gateway.domain.limits import Limits
from services.trading_gateway.domain.orders import Amendment, Terms
from services.trading_gateway.domain.positions import reduces
from services.trading_gateway.domain.valuation import Valued, bought, valued
from services.trading_gateway.domain.values import OrderOrigin, PositionMode, Side
from services.trading_gateway.domain.working import adds


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order is not taken."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Situation:
    """An order against the state of everything it touches. `resting` is what works on its side besides it."""

    book: Book
    account: Account
    terms: Terms
    facts: Facts
    time_ns: int
    of: Instrument
    feed: Feed | None
    quote: Quote | None
    """The last quote of the symbol, good or not."""
    price: int
    """What the order would cost: its own price, or the side of the quote it takes from."""
    limits: Limits
    valued: Valued
    factor: tuple[int, int] | None
    """What a unit of the quote currency costs in the account's; None where no quote leads there."""
    position: int
    resting: int
    size_then: int
    """Size of the position if this order and all that works on its side fills; in a hedging account, of all
    positions on its side together.
    """
    opposite_margin: int
    """Held for positions on the other side that an order on this one would not close."""
    reducing: bool
    protective: bool
    """An exit at work that is amended: only a halt and its own new price stand in the way."""
    repriced: bool
    """An amendment gives it another price."""
    forced: bool
    """The gateway itself takes risk away, by a stop-out or with the exits of a fill: nothing stops it."""
    held: bool
    """Waits for its parent's fills: where the market and the position are now says nothing yet."""

    def without_position(self) -> Situation:
        """The same where nothing is there to reduce: what the order would add by itself."""
        alone = abs(self.resting + self.terms.signed_size)
        return replace(self, reducing=False, size_then=max(self.size_then, alone))

    def money_text(self, raw: int) -> str:
        """An amount in the account currency."""
        unit = currency(self.account.currency)
        return f"{format_decimal(raw, unit.digits)} {unit.code}"

    def price_text(self, raw: int) -> str:
        """A price of the symbol."""
        return self.of.price_text(raw)


def situation(
    book: Book,
    account: Account,
    terms: Terms,
    facts: Facts,
    time_ns: int,
    *,
    besides: str = "",
    amendment: Amendment | None = None,
    origin: OrderOrigin = OrderOrigin.USER,
    held: bool = False,
    released: bool = False,
) -> Situation:
    """What the checks look at. `besides` names an order not to be counted as working (one being amended, by
    `amendment`); `released`: its parent's fill sends it on its way.
    """
    resting = book.adding(account.account_id, terms.symbol, terms.side)
    if besides:
        resting -= adds(book.order(besides))
    resting *= terms.side.sign
    of = instrument(terms.symbol)
    position = book.position(account.account_id, terms.symbol, terms.position_id).size
    worth, beside, opposite = valued(book, account), 0, 0
    if account.mode is PositionMode.HEDGING:
        beside = sum(
            each.size
            for each in book.holdings.standing(account.account_id)
            if each.symbol == terms.symbol and each.size * terms.side.sign > 0
        )
        opposite = worth.margins.of(terms.symbol)[terms.side is Side.SELL]
    feed = book.markets.feed(account.session_id, terms.symbol)
    by_gateway = origin is OrderOrigin.RISK
    quote, added = None if feed is None else feed.state.quote, resting + terms.signed_size
    return Situation(
        book,
        account,
        terms,
        facts,
        time_ns,
        of,
        feed,
        quote,
        order_price(terms, quote),
        book.limits.of(account.account_id, terms.symbol),
        worth,
        bought(book, account, worth, of.quote).factor,
        position,
        resting,
        abs(position + beside + added),
        opposite,
        terms.reduce_only or reduces(position, added),
        terms.reduce_only and not held and amendment is not None and (by_gateway or bool(terms.parent_id)),
        amendment is not None and amendment != Amendment(size=amendment.size),
        terms.reduce_only and amendment is None and (released or by_gateway),
        held,
    )


def order_price(terms: Terms, quote: Quote | None) -> int:
    """The price of an order itself, or the side of the quote it takes from."""
    asked = terms.limit or terms.stop
    if asked is not None or quote is None:
        return asked or 0
    return quote.ask if terms.side is Side.BUY else quote.bid
