"""Pre-trade checks: each looks at one thing and has a reason of its own.

They run in the order of the tables, what concerns the market first, then the account; the first that objects
decides. How many orders come is looked at last, in `storms`. An order that only brings a position nearer to
flat passes those that guard against new risk, and where one of them would have refused it otherwise it may do
nothing else from then on: the position may be gone when it fills. What the gateway itself sends to take risk
away, an exit that a fill releases among it, is held up by nothing; to amend such an exit is a caller's doing,
which a halt stops, and a price that makes no sense.
What flattens an account, by the hand that could lift a halt, is held up by all of the market's but that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from services.trading_gateway.domain import market_checks, risk_checks
from services.trading_gateway.domain.situations import Refusal, Situation

Check: TypeAlias = Callable[[Situation], Refusal | None]

MARKET: tuple[Check, ...] = (
    market_checks.trading_state,
    market_checks.venue_agrees,
    market_checks.tradable,
    market_checks.market_open,
    market_checks.feed_alive,
    market_checks.quoted,
    market_checks.reducible,
    market_checks.stop_side,
    market_checks.post_only,
    market_checks.attached,
    market_checks.exit_side,
    market_checks.collar,
    market_checks.convertible,
)
"""For every order."""
RISK: tuple[Check, ...] = (
    risk_checks.backlog,
    risk_checks.order_size,
    risk_checks.order_notional,
    risk_checks.position_limit,
    risk_checks.exposure_limit,
    risk_checks.margin,
    risk_checks.daily_loss,
    risk_checks.drawdown,
)
"""For orders that may add risk."""


_HALT: tuple[Check, ...] = (market_checks.trading_state,)
_PRICE: tuple[Check, ...] = (
    market_checks.feed_alive,
    market_checks.quoted,
    market_checks.stop_side,
    market_checks.exit_side,
    market_checks.collar,
)
_FLATTENING = tuple(check for check in MARKET if check not in _HALT)
_ALL = MARKET + RISK


def refusal(case: Situation, *, through_halt: bool = False) -> Refusal | None:
    """The first objection; None when the order may go."""
    if through_halt:
        checks = _FLATTENING
    elif case.forced:
        return None
    elif case.protective:
        checks = _HALT + _PRICE if case.repriced else _HALT
    else:
        checks = MARKET if case.reducing else _ALL
    for check in checks:
        objection = check(case)
        if objection is not None:
            return objection
    return None


def needs_position(case: Situation) -> bool:
    """True for an order that goes only because a position is there, which it then may never open or turn."""
    if case.terms.reduce_only or not case.reducing:
        return case.terms.reduce_only
    return refusal(case.without_position()) is not None
