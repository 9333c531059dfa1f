"""Pre-trade checks of the market and of the order's price: for every order, whatever its effect on the
position.
"""

from __future__ import annotations

from dataclasses import replace

from services.market.calendar import calendar
from services.market.freshness import over_age
from services.trading_gateway.domain.feeds import Feed, Flaw
from services.trading_gateway.domain.matching import (
    acceptable,
    rises_to_stop,
    takes_from,
    trigger_side,
    twice_watched,
)
from services.trading_gateway.domain.orders import Leg
from services.trading_gateway.domain.situations import Refusal, Situation, order_price
from services.trading_gateway.domain.valuation import bought
from services.trading_gateway.domain.values import OrderType, TradingState, VenueState


def trading_state(case: Situation) -> Refusal | None:
    """HALTED takes no order, REDUCING only such as reduce."""
    state, why = case.account.trading_state, case.account.state_reason or "no reason given"
    if state is TradingState.HALTED:
        return Refusal("TRADING_HALTED", f"trading of {case.account.account_id} is halted: {why}")
    if state is TradingState.REDUCING and not case.reducing:
        return Refusal("TRADING_REDUCING", f"only orders that reduce a position are taken: {why}")
    return None


def venue_agrees(case: Situation) -> Refusal | None:
    """The books are those of the venue. Before they were compared no order is taken, since what reduces in
    the books may add risk in truth; where they differ, only such as reduce.
    """
    state, why = case.account.venue_state, case.account.venue_detail
    if case.terms.parent_id and not case.held:
        return None  # its parent filled, and was taken when they agreed
    if state is VenueState.RECONCILING:
        return Refusal("VENUE_RECONCILING", f"the books are being compared with {case.account.venue}: {why}")
    if state is VenueState.DIFFERS and not case.reducing:
        return Refusal("VENUE_DIFFERS", f"only orders that reduce a position are taken: {why}")
    return None


def tradable(case: Situation) -> Refusal | None:
    """The instrument may be traded, on a session of this account that still runs."""
    symbol = case.terms.symbol
    if not case.limits.tradable:
        return Refusal("INSTRUMENT_NOT_TRADABLE", f"{symbol} is not traded here")
    if case.feed is not None and case.feed.state.ended:
        return Refusal("INSTRUMENT_NOT_TRADABLE", f"session {case.feed.state.session_id} of {symbol} is over")
    if case.account.session_id and case.feed is None:
        return Refusal("INSTRUMENT_NOT_TRADABLE", f"{symbol} is not part of replay {case.account.session_id}")
    return None


def market_open(case: Situation) -> Refusal | None:
    """By the instrument's calendar at market time; the synthetic market is always open."""
    name = case.of.calendar if case.feed is None else case.feed.calendar_name
    if calendar(name).is_open(case.time_ns):
        return None
    return Refusal("MARKET_CLOSED", f"the market of {case.terms.symbol} is closed")


def feed_alive(case: Situation) -> Refusal | None:
    """A feed without ticks and heartbeats says nothing about the price."""
    if case.feed is not None and case.feed.state.resting:
        return Refusal("FEED_STALE", f"the live feed of {case.terms.symbol} rests while a replay of it runs")
    if case.facts.feed_alive:
        return None
    return Refusal("FEED_STALE", f"neither tick nor heartbeat of {case.terms.symbol} came lately")


def quoted(case: Situation) -> Refusal | None:
    """There is a quote, not older in market time than the instrument allows, and without a flaw."""
    quote = case.quote
    if quote is None:
        return Refusal("NO_QUOTE", f"no quote of {case.terms.symbol} yet")
    if quote.flaw is Flaw.CROSSED:
        return Refusal(
            "QUOTE_CROSSED", f"bid {case.price_text(quote.bid)} is above ask {case.price_text(quote.ask)}"
        )
    if quote.flaw is Flaw.GAPPED:
        return Refusal("QUOTE_GAPPED", "the last quote follows a gap; the next one counts")
    if over_age(quote.time_ns, case.time_ns, case.limits.price_age_ns):
        age = (case.time_ns - quote.time_ns) // 1_000_000_000
        return Refusal("QUOTE_OVER_AGE", f"the last quote is {age} s old in market time")
    return None


def stop_side(case: Situation) -> Refusal | None:
    """A buyer's stop lies above the market and its market-if-touched below, a seller's the other way round;
    else it would fire at once. A trailing stop begins where the market is.
    """
    terms, quote = case.terms, case.quote
    if terms.stop is None or quote is None or case.held or terms.type is OrderType.TRAILING_STOP:
        return None
    at = trigger_side(terms.side, terms.trigger)
    above = rises_to_stop(terms.type, terms.side)
    away = 2 * terms.stop - twice_watched(at, quote)
    if (away > 0) if above else (away < 0):
        return None
    words = f"a {terms.side.value} {terms.type.words} lies {'above' if above else 'below'} the {at.value}"
    market = f"{case.price_text(quote.bid)}/{case.price_text(quote.ask)}"
    return Refusal("STOP_WRONG_SIDE", f"{words}; the market is {market}")


def post_only(case: Situation) -> Refusal | None:
    """An order that is to add liquidity only must not be marketable."""
    terms, quote = case.terms, case.quote
    if not terms.post_only or quote is None or case.held:
        return None
    price, _ = takes_from(terms.side, quote)
    if not acceptable(terms.side, terms.limit, price):
        return None
    return Refusal("POST_ONLY_WOULD_TAKE", f"it would fill at {case.price_text(price)}")


def reducible(case: Situation) -> Refusal | None:
    """A reduce-only order needs a position against it; in a hedging account it says which."""
    terms = case.terms
    if not terms.reduce_only:
        return None
    hedging = case.account.hedging
    if hedging and not terms.position_id:
        return Refusal("POSITION_REQUIRED", "in a hedging account an order that reduces names its position")
    if terms.position_id and not hedging:
        return Refusal("POSITION_NOT_ALLOWED", "a netting account has one position a symbol, without an id")
    if case.held or case.position * terms.side.sign < 0:
        return None
    which = f" of {terms.position_id}" if terms.position_id else ""
    return Refusal(
        "NOTHING_TO_REDUCE", f"there is nothing{which} that a {terms.side.value} order would reduce"
    )


def collar(case: Situation) -> Refusal | None:
    """A price or distance far from the market is a typing error."""
    quote, terms = case.quote, case.terms
    if quote is None or not (terms.limit or terms.stop or terms.trail or terms.attached):
        return None
    reference, _ = takes_from(terms.side, quote)
    limit = case.limits.price_collar
    legs = [leg for leg in (terms.take_profit, terms.stop_loss) if leg is not None]
    asked = [terms.limit, terms.stop, *(leg.price for leg in legs)]
    away = [terms.trail, *(leg.trail or leg.distance for leg in legs)]
    prices = [price for price in asked if price is not None]
    prices += [reference + terms.side.sign * distance for distance in away if distance]
    far = next((price for price in prices if abs(price - reference) > limit * reference), None)
    if far is None:
        return None
    return Refusal(
        "PRICE_COLLAR",
        f"{case.price_text(far)} is more than {float(limit):.2%} from {case.price_text(reference)}",
    )


def attached(case: Situation) -> Refusal | None:
    """A take-profit lies where the order's position wins, a stop-loss where it loses."""
    terms, sign = case.terms, case.terms.side.sign
    if not terms.attached:
        return None
    entry = case.price_text(case.price)
    win = None if terms.take_profit is None else terms.take_profit.price
    loss = None if terms.stop_loss is None else terms.stop_loss.price
    if win is not None and (win - case.price) * sign <= 0:
        where = "above" if sign > 0 else "below"
        return Refusal("TAKE_PROFIT_WRONG_SIDE", f"the take-profit lies {where} the order's price {entry}")
    if loss is not None and (case.price - loss) * sign <= 0:
        where = "below" if sign > 0 else "above"
        return Refusal("STOP_LOSS_WRONG_SIDE", f"the stop-loss lies {where} the order's price {entry}")
    return None


def exit_side(case: Situation) -> Refusal | None:
    """The new price of a take-profit or stop-loss. While its entry waits, it lies where that one's position
    wins or loses; at work a take-profit must not be what the market gives already, and of a stop-loss
    `stop_side` says so.
    """
    terms, quote = case.terms, case.quote
    of_its_parent = bool(terms.parent_id) and terms.link_id == terms.parent_id
    if not (case.repriced and of_its_parent) or quote is None:
        return None
    wins = terms.type is OrderType.LIMIT
    if case.held:
        leg, entry = Leg(terms.limit if wins else terms.stop), case.book.order(terms.parent_id).terms
        entry = replace(entry, take_profit=leg) if wins else replace(entry, stop_loss=leg)
        return attached(replace(case, terms=entry, price=order_price(entry, quote)))
    price, _ = takes_from(terms.side, quote)
    if not wins or not acceptable(terms.side, terms.limit, price):
        return None
    return Refusal("TAKE_PROFIT_WRONG_SIDE", f"it would fill at once, at {case.price_text(price)}")


def convertible(case: Situation) -> Refusal | None:
    """Profit, notional and margin in the quote currency can be brought into the account currency. For new
    risk at quotes as fresh as those it is traded on, in the market of the account; so is exposure in the base
    currency.
    """
    source, to = case.of.quote, case.account.currency
    if case.factor is None:
        return Refusal("NO_CONVERSION_RATE", f"no tradable quote leads from {source} to {to}")
    if case.reducing:
        return None
    for code in (source, case.of.base) if case.facts.both_currencies else (source,):
        for feed, age_ns in bought(case.book, case.account, case.valued, code).feeds:
            if feed is not case.feed:  # `quoted` looked at that one
                objection = _stale(case, feed, age_ns, code)
                if objection is not None:
                    return objection
    return None


def _stale(case: Situation, feed: Feed, age_ns: int, code: str) -> Refusal | None:
    """Why the last good quote of a feed is none to convert a currency at."""
    state = feed.state
    good = state.good
    if state.resting:
        reason, why = "FEED_STALE", "live feed rests while a replay of it runs"
    elif good is not None and over_age(good.time_ns, case.time_ns, age_ns):
        age = (case.time_ns - good.time_ns) // 1_000_000_000
        reason, why = "QUOTE_OVER_AGE", f"last good quote is {age} s old in market time"
    else:
        return None
    return Refusal(reason, f"{code} is converted to {case.account.currency} at {state.symbol}, whose {why}")
