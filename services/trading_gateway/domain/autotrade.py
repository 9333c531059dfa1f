"""What auto-trading makes of a signal: one simple policy whose every step can be read back from its decision.

    score  = strength × probability            (× `unpredicted` where no model answered)
    size   = equity × risk share / (true range × stop ranges), at most equity × leverage, in micro lots
    order  = market, for the size plus what closes an opposite position; a stop follows at the same distance

In a hedging account opposite positions are closed each by an order of its own, and the entry opens another.

A signal is left alone when auto-trading of the account or its symbol is off, when it is older than one bar,
weaker than the threshold, contradicted on its own bar by a stronger one, or when the position is on its side
already. Sizes and prices are whole numbers throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from services.errors import FxError
from services.market.instruments import Instrument, instrument
from services.money.conversion import ExactAmount, Way, convert
from services.money.currencies import currency
from services.money.decimals import format_decimal
from services.money.rounding import Rounding, divide, quantise
from services.trading_gateway.domain import bookkeeping, placing, valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Decision
from services.trading_gateway.domain.ids import signal_client_order_id
from services.trading_gateway.domain.inputs import Advice, PlaceOrder, Signal, SignalDecided
from services.trading_gateway.domain.matching import takes_from
from services.trading_gateway.domain.orders import Leg, Order, Terms, closing
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, TimeInForce

PPM = 1_000_000
ORDERED = "ORDERED"
"""Reason of a decision that led to an order."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How auto-trading decides. Shares in millionths or as exact fractions."""

    threshold_ppm: int = 200_000
    unpredicted_ppm: int = 500_000
    """Stands for the probability of a signal without a prediction: a coin's."""
    risk_share: Fraction = Fraction(5, 1000)
    """Share of the equity lost when the stop is hit."""
    stop_ranges: Fraction = Fraction(2)
    """Distance of the stop in average true ranges."""
    leverage: Fraction = Fraction(3)
    """Largest notional of one entry as a multiple of the equity."""
    flip: bool = True
    """Turn an opposite position; else only close it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Why nothing is done about a signal."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done about a signal."""

    orders: tuple[Terms, ...]
    """The entry last."""
    score_ppm: int
    risked: int = 0
    """Minor units that the entry loses when its stop is hit, as it would be posted; none without a stop."""
    distance: int = 0

    def words(self, account: Account) -> str:
        """Where the size comes from."""
        score, of = f"score {self.score_ppm / PPM:.3f}", instrument(self.orders[-1].symbol)
        if not self.distance:
            return f"{score}: closes what is open on the other side"
        unit = currency(account.currency)
        risked = f"{format_decimal(self.risked, unit.digits)} {unit.code}"
        return f"{score}: risks {risked} over a stop of {of.price_text(self.distance)}"


def decide(book: Book, policy: Policy, asked: SignalDecided) -> Decision:
    """Act on a signal for one account; the decision says what was done and why."""
    account, signal = book.account(asked.account_id), asked.signal
    plan = _plan(book, policy, account, asked)
    decision = Decision(
        signal.signal_id,
        account.account_id,
        plan.reason if isinstance(plan, Skip) else ORDERED,
        plan.detail if isinstance(plan, Skip) else plan.words(account),
        "",
        asked.time_ns,
        signal.symbol,
        signal.side,
        signal.strategy,
        signal.timeframe,
        signal.strength_ppm,
        signal.probability_ppm,
        None if asked.advice is Advice.UNAVAILABLE else _score(policy, signal),
    )
    if isinstance(plan, Skip):
        return decision
    order = [_place(book, asked, each) for each in plan.orders][-1]
    decision = replace(
        decision,
        order_id=order.order_id,
        risked=plan.risked if plan.distance else None,
        stop_distance=plan.distance or None,
    )
    if order.status is OrderStatus.REJECTED:
        return replace(decision, reason=order.reason, detail=order.reason_detail)
    return decision


def _place(book: Book, asked: SignalDecided, terms: Terms) -> Order:
    signal_id = asked.signal.signal_id
    key = signal_client_order_id(signal_id, terms.position_id)
    facts, origin = asked.facts, OrderOrigin.SIGNAL
    return placing.place(
        book, PlaceOrder(asked.time_ns, asked.account_id, key, terms, origin, facts, signal_id)
    )


def _plan(book: Book, policy: Policy, account: Account, asked: SignalDecided) -> Plan | Skip:
    signal, of = asked.signal, instrument(asked.signal.symbol)
    skip = _off(book, account, signal) or _unfit(policy, asked)
    skip = skip or _contradicted(policy, asked) or _engaged(book, account, signal)
    if skip is not None:
        return skip
    feed = book.markets.feed(account.session_id, signal.symbol)
    quote = None if feed is None else feed.state.quote
    if quote is None:
        return Skip("NO_QUOTE", f"no quote of {signal.symbol} yet")
    distance = max(int(Fraction(asked.average_range or 0) * policy.stop_ranges), of.tick)
    units = _units(book, policy, account, of, takes_from(signal.side, quote)[0], distance)
    if isinstance(units, Skip):
        return units
    opposite = _held(book, account, signal)
    exits = [closing(each) for each in opposite] if account.hedging else []
    if opposite and not policy.flip:
        return Plan(tuple(exits or [_market(signal, abs(opposite[0].size))]), _score(policy, signal))
    turned = 0 if account.hedging else sum(abs(each.size) for each in opposite)
    entry = replace(_market(signal, units + turned), stop_loss=Leg(distance=distance))
    lost = bookkeeping.converted(book, account, -units * distance, valuation.cost_digits(of), of.quote)
    return Plan((*exits, entry), _score(policy, signal), -lost.money.raw, distance)


def _off(book: Book, account: Account, signal: Signal) -> Skip | None:
    """Both switches as they are now: either may have been turned while analysis was asked."""
    if not account.auto_trade:
        return Skip("AUTO_TRADE_OFF", f"auto-trading of {account.account_id} is switched off")
    if book.limits.of(account.account_id, signal.symbol).auto_trade:
        return None
    return Skip("AUTO_TRADE_OFF", f"auto-trading of {signal.symbol} is switched off")


def _unfit(policy: Policy, asked: SignalDecided) -> Skip | None:
    age = asked.time_ns - asked.signal.time_ns
    if age > asked.signal.timeframe_ns:
        return Skip("SIGNAL_TOO_OLD", f"{age // 1_000_000_000} s old, a bar is {asked.signal.timeframe}")
    if asked.advice is Advice.UNAVAILABLE:
        return Skip("PEER_UNAVAILABLE", asked.advice_detail)
    if not asked.average_range:
        return Skip("NOT_ENOUGH_BARS", "no average true range yet")
    score = _score(policy, asked.signal)
    if score < policy.threshold_ppm:
        return Skip("WEAK_SIGNAL", f"score {score / PPM:.3f} is below {policy.threshold_ppm / PPM:.3f}")
    return None


def _contradicted(policy: Policy, asked: SignalDecided) -> Skip | None:
    for each in asked.opinions:
        if each.side is not asked.signal.side and each.strength_ppm > asked.signal.strength_ppm:
            return Skip(
                "CONTRADICTED", f"{each.strategy} says {each.side.value} on the same bar, and stronger"
            )
    return None


def _engaged(book: Book, account: Account, signal: Signal) -> Skip | None:
    if any(each.size * signal.side.sign > 0 for each in _held(book, account, signal)):
        return Skip("ALREADY_IN_POSITION", f"the position is {signal.side.value} already")
    if any(not each.reduce_only for each in book.working(account.account_id, signal.symbol)):
        return Skip("ORDER_WORKING", f"an order for {signal.symbol} is working")
    return None


def _score(policy: Policy, signal: Signal) -> int:
    probability = policy.unpredicted_ppm if signal.probability_ppm is None else signal.probability_ppm
    return signal.strength_ppm * probability // PPM


def _units(
    book: Book, policy: Policy, account: Account, of: Instrument, price: int, distance: int
) -> int | Skip:
    """Raw size whose loss over `distance` is the risk share of the equity, within the cap, in micro lots."""
    equity = valuation.account_view(book, account).equity
    if equity <= 0:
        return Skip("INSUFFICIENT_MARGIN", "no equity left")
    amount = ExactAmount(equity, currency(account.currency).digits, account.currency)
    try:
        in_quote = convert(amount, of.quote, book.markets.rates(account.session_id), Way.SELL).exact
    except FxError as failure:
        return Skip(failure.reason, failure.detail)
    scale = 10 ** valuation.cost_digits(of)
    risked = divide(*_ratio(in_quote * policy.risk_share * scale, distance), Rounding.FLOOR)
    capped = divide(*_ratio(in_quote * policy.leverage * scale, price), Rounding.FLOOR)
    most = book.limits.of(account.account_id, of.symbol).order_size
    micro_lot = max(of.lot_units * 10**of.size_digits // 100, of.size_step)
    units = quantise(min(risked, capped, most), int(micro_lot), Rounding.FLOOR)
    if units < of.size_min:
        return Skip("SIZE_TOO_SMALL", "the risk share of the equity buys less than a micro lot")
    return units


def _held(book: Book, account: Account, signal: Signal) -> list[Position]:
    """What is open in the symbol of a signal."""
    return [each for each in book.holdings.open(account.account_id) if each.symbol == signal.symbol]


def _market(signal: Signal, size: int) -> Terms:
    return Terms(signal.symbol, signal.side, OrderType.MARKET, TimeInForce.IOC, size)


def _ratio(numerator: Fraction, denominator: int) -> tuple[int, int]:
    return numerator.numerator, numerator.denominator * denominator
