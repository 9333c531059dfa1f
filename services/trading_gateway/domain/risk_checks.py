"""Pre-trade checks of the account: for orders that may add risk. Amounts in the account currency."""

from __future__ import annotations

from services.trading_gateway.domain import valuation
from services.trading_gateway.domain.positions import filled
from services.trading_gateway.domain.situations import Refusal, Situation


def backlog(case: Situation) -> Refusal | None:
    """Events pile up or find no room: nobody outside would see what is traded."""
    if case.facts.bus_full:
        return Refusal("STREAM_FULL", "the bus has no room for the events of trading")
    waiting, limit = case.facts.outbox_backlog, case.book.rules.outbox_backlog
    if waiting <= limit:
        return None
    return Refusal("OUTBOX_BACKLOG", f"{waiting} events wait for the bus, {limit} may")


def order_notional(case: Situation) -> Refusal | None:
    """What this order trades."""
    limit = case.book.rules.order_notional
    amount = _notional(case, case.terms.size)
    if amount <= limit:
        return None
    return Refusal("NOTIONAL_LIMIT", f"notional {case.money_text(amount)} is above {case.money_text(limit)}")


def position_limit(case: Situation) -> Refusal | None:
    """The position if this and all that works on its side fills."""
    limit = case.book.rules.position_notional
    amount = _notional(case, abs(case.position + case.resting + case.terms.signed_size))
    if amount <= limit:
        return None
    return Refusal(
        "POSITION_LIMIT",
        f"the position could become {case.money_text(amount)}, {case.money_text(limit)} is the limit",
    )


def exposure_limit(case: Situation) -> Refusal | None:
    """Net exposure to each of the two currencies, where this order makes it larger."""
    held = case.book.positions_of(case.account.account_id)
    scope, limit = case.account.session_id, case.book.rules.currency_exposure
    after = filled(
        case.book.position(case.account.account_id, case.terms.symbol), case.terms.signed_size, case.price, 0
    )
    others = [each for each in held if each.symbol != case.terms.symbol]
    before = valuation.exposures(case.book, held, scope)
    for code, exposure in valuation.exposures(case.book, [*others, after.position], scope).items():
        amount = valuation.worth(case.book, case.account, exposure) or 0
        was = valuation.worth(case.book, case.account, before[code]) or 0 if code in before else 0
        if amount > limit and amount > was:
            return Refusal(
                "EXPOSURE_LIMIT",
                f"{code} exposure would be {case.money_text(amount)}, {case.money_text(limit)} is the limit",
            )
    return None


def margin(case: Situation) -> Refusal | None:
    """Equity covers the margin of all positions with this order and all that works on its side filled."""
    view = valuation.account_view(case.book, case.account)
    held = valuation.position_view(case.book, case.book.position(case.account.account_id, case.terms.symbol))
    size = abs(case.position + case.resting + case.terms.signed_size)
    needed = valuation.margin(case.book, case.account, case.of, size, case.price) or 0
    total = view.margin - (held.margin or 0) + needed
    if total <= view.equity:
        return None
    return Refusal(
        "INSUFFICIENT_MARGIN",
        f"margin of {case.money_text(total)} is needed, equity is {case.money_text(view.equity)}",
    )


def daily_loss(case: Situation) -> Refusal | None:
    """Lost since 17:00 New York, open positions included."""
    start, limit = case.account.day_start_equity, case.book.rules.daily_loss
    lost = start - valuation.account_view(case.book, case.account).equity
    if lost < limit * start or lost <= 0:
        return None
    return Refusal(
        "DAILY_LOSS_LIMIT",
        f"{case.money_text(lost)} lost today; {float(limit):.0%} of {case.money_text(start)} is the limit",
    )


def drawdown(case: Situation) -> Refusal | None:
    """Lost from the highest equity."""
    peak, limit = case.account.peak_equity, case.book.rules.drawdown
    lost = peak - valuation.account_view(case.book, case.account).equity
    if lost < limit * peak or lost <= 0:
        return None
    return Refusal(
        "DRAWDOWN_LIMIT",
        f"{case.money_text(lost)} below the peak of {case.money_text(peak)}; {float(limit):.0%} is the limit",
    )


def order_rate(case: Situation) -> Refusal | None:
    """Orders of the account in the last second of market time."""
    limit = case.book.rules.orders_per_second
    lately = case.book.placed_lately(case.account.account_id, case.time_ns)
    case.book.count_placed(case.account.account_id, case.time_ns)
    if lately < limit:
        return None
    return Refusal("ORDER_RATE", f"{limit} orders a second are the limit")


def _notional(case: Situation, size: int) -> int:
    """Minor units; `convertible` ran before, so there is a rate."""
    return valuation.notional(case.book, case.account, case.of, size, case.price) or 0
