"""Pre-trade checks of the account: for orders that may add risk. Amounts in the account currency."""

from __future__ import annotations

from services.trading_gateway.domain import valuation
from services.trading_gateway.domain.situations import Refusal, Situation


def backlog(case: Situation) -> Refusal | None:
    """Events pile up or find no room: nobody outside would see what is traded."""
    if case.facts.bus_full:
        return Refusal("STREAM_FULL", "the bus has no room for the events of trading")
    waiting, limit = case.facts.outbox_backlog, case.book.rules.outbox_backlog
    if waiting <= limit:
        return None
    return Refusal("OUTBOX_BACKLOG", f"{waiting} events wait for the bus, {limit} may")


def order_size(case: Situation) -> Refusal | None:
    """Units of one order."""
    limit = case.limits.order_size
    if case.terms.size <= limit:
        return None
    most = f"{case.of.size_text(limit)} {case.of.base}"
    return Refusal("SIZE_ABOVE_MAXIMUM", f"{case.of.size_text(case.terms.size)} is above {most}")


def order_notional(case: Situation) -> Refusal | None:
    """What this order trades."""
    limit = case.limits.order_notional
    amount = _reserve(case, case.terms.size)
    if amount <= limit:
        return None
    return Refusal("NOTIONAL_LIMIT", f"notional {case.money_text(amount)} is above {case.money_text(limit)}")


def position_limit(case: Situation) -> Refusal | None:
    """The position if this and all that works on its side fills."""
    limit = case.limits.position_notional
    amount = _reserve(case, case.size_then)
    if amount <= limit:
        return None
    return Refusal(
        "POSITION_LIMIT",
        f"the position could become {case.money_text(amount)}, {case.money_text(limit)} is the limit",
    )


def exposure_limit(case: Situation) -> Refusal | None:
    """Net exposure to each of the two currencies, where this order makes it larger; to others it changes
    nothing.
    """
    limit = case.limits.currency_exposure
    for code in (case.of.base, case.of.quote):
        before = case.valued.exposures.get(code)
        after = valuation.exposure_with(
            case.book, case.account, before, case.of, code, case.terms.signed_size, case.position
        )
        amount = valuation.worth(case.book, case.account, case.valued, after) or 0
        if amount <= limit:
            continue
        if before is None or amount > (valuation.worth(case.book, case.account, case.valued, before) or 0):
            return Refusal(
                "EXPOSURE_LIMIT",
                f"{code} exposure would be {case.money_text(amount)}, {case.money_text(limit)} is the limit",
            )
    return None


def margin(case: Situation) -> Refusal | None:
    """Equity covers the margin of all positions with this order and all that works on its side filled; of a
    symbol that is held on both sides, that of the larger.
    """
    view, held = case.valued.view, max(case.valued.margins.of(case.terms.symbol))
    rate = case.limits.margin_rate
    needed = _reserve(case, case.size_then * rate.numerator, rate.denominator)
    total = view.margin - held + max(needed, case.opposite_margin)
    if total <= view.equity:
        return None
    return Refusal(
        "INSUFFICIENT_MARGIN",
        f"margin of {case.money_text(total)} is needed, equity is {case.money_text(view.equity)}",
    )


def daily_loss(case: Situation) -> Refusal | None:
    """Lost since 17:00 New York, open positions included."""
    start, limit = case.account.day_start_equity, case.limits.daily_loss
    lost = start - case.valued.view.equity
    if lost <= 0 or lost * limit.denominator < limit.numerator * start:
        return None
    return Refusal(
        "DAILY_LOSS_LIMIT",
        f"{case.money_text(lost)} lost today; {float(limit):.0%} of {case.money_text(start)} is the limit",
    )


def drawdown(case: Situation) -> Refusal | None:
    """Lost from the highest equity."""
    peak, limit = case.account.peak_equity, case.limits.drawdown
    lost = peak - case.valued.view.equity
    if lost <= 0 or lost * limit.denominator < limit.numerator * peak:
        return None
    return Refusal(
        "DRAWDOWN_LIMIT",
        f"{case.money_text(lost)} below the peak of {case.money_text(peak)}; {float(limit):.0%} is the limit",
    )


def _reserve(case: Situation, size: int, share: int = 1) -> int:
    """Minor units that `size` / `share` costs at the order's price; `convertible` ran before."""
    factor = case.factor
    if factor is None:
        return 0
    digits = valuation.cost_digits(case.of)
    return valuation.reserve(case.account, size * case.price, digits, (factor[0], factor[1] * share))
