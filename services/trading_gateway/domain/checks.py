"""Pre-trade checks: each looks at one thing and has a reason of its own.

They run in the order of the tables, what concerns the market first, then the account; the first that objects
decides. An order that only brings a position nearer to flat passes those that guard against new risk; a stop
that the gateway places to limit a loss is held up by a halt only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from services.trading_gateway.domain import market_checks, risk_checks
from services.trading_gateway.domain.situations import Refusal, Situation

Check: TypeAlias = Callable[[Situation], Refusal | None]

MARKET: tuple[Check, ...] = (
    market_checks.trading_state,
    market_checks.tradable,
    market_checks.market_open,
    market_checks.feed_alive,
    market_checks.quoted,
    market_checks.reducible,
    market_checks.stop_side,
    market_checks.post_only,
    market_checks.attached,
    market_checks.collar,
    market_checks.convertible,
)
"""For every order."""
RISK: tuple[Check, ...] = (
    risk_checks.backlog,
    risk_checks.order_notional,
    risk_checks.position_limit,
    risk_checks.exposure_limit,
    risk_checks.margin,
    risk_checks.daily_loss,
    risk_checks.drawdown,
    risk_checks.order_rate,
)
"""For orders that may add risk."""


def refusal(case: Situation) -> Refusal | None:
    """The first objection; None when the order may go."""
    checks: tuple[Check, ...] = (market_checks.trading_state,)
    if not case.protective:
        checks = MARKET if case.reducing else MARKET + RISK
    objections = (check(case) for check in checks)
    return next((found for found in objections if found is not None), None)
