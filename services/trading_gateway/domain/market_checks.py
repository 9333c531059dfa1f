"""Pre-trade checks of the market and of the order's price: for every order, whatever its effect on the
position.
"""

from __future__ import annotations

from services.market.calendar import calendar
from services.market.freshness import over_age
from services.trading_gateway.domain.feeds import Flaw
from services.trading_gateway.domain.situations import Refusal, Situation
from services.trading_gateway.domain.values import OrderType, Side, TradingState


def trading_state(case: Situation) -> Refusal | None:
    """HALTED takes no order, REDUCING only such as reduce."""
    state, why = case.account.trading_state, case.account.state_reason or "no reason given"
    if state is TradingState.HALTED:
        return Refusal("TRADING_HALTED", f"trading of {case.account.account_id} is halted: {why}")
    if state is TradingState.REDUCING and not case.reducing:
        return Refusal("TRADING_REDUCING", f"only orders that reduce a position are taken: {why}")
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
    """A buy stop lies above the ask, a sell stop below the bid; else it would fire at once."""
    stop, quote = case.terms.stop, case.quote
    if stop is None or quote is None:
        return None
    if case.terms.side is Side.BUY and stop <= quote.ask:
        return Refusal("STOP_WRONG_SIDE", f"a buy stop lies above the ask {case.price_text(quote.ask)}")
    if case.terms.side is Side.SELL and stop >= quote.bid:
        return Refusal("STOP_WRONG_SIDE", f"a sell stop lies below the bid {case.price_text(quote.bid)}")
    return None


def collar(case: Situation) -> Refusal | None:
    """A price far from the market is a typing error."""
    quote = case.quote
    if case.terms.type is OrderType.MARKET or quote is None:
        return None
    reference = quote.ask if case.terms.side is Side.BUY else quote.bid
    limit = case.limits.price_collar
    if abs(case.price - reference) <= limit * reference:
        return None
    return Refusal(
        "PRICE_COLLAR",
        f"{case.price_text(case.price)} is more than {float(limit):.2%} from {case.price_text(reference)}",
    )


def convertible(case: Situation) -> Refusal | None:
    """Profit and notional in the quote currency can be brought into the account currency."""
    if case.factor is not None:
        return None
    return Refusal(
        "NO_CONVERSION_RATE", f"no tradable quote leads from {case.of.quote} to {case.account.currency}"
    )
