"""The limits that pre-trade checks hold orders to, and what trading costs: exact numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from services.trading_gateway.domain.conditions import PERFECT, Conditions
from services.trading_gateway.domain.financing_table import FinancingTable


@dataclass(frozen=True, slots=True)
class Rules:
    """Money limits are minor units of the account currency (cents; for yen the same number of yen)."""

    commission_per_million: Fraction = Fraction(0)
    """Charged on the notional of each fill, per million, in the account currency."""
    financing: FinancingTable = field(default_factory=FinancingTable)
    """What keeping a position overnight costs or brings."""
    price_collar: Fraction = Fraction(5, 100)
    """Largest distance of a limit or stop price from the quote, as a share of the quote."""
    order_notional: int = 500_000_000
    position_notional: int = 1_000_000_000
    """Per symbol, with everything that works on the same side filled."""
    currency_exposure: int = 2_000_000_000
    """Net, per currency."""
    orders_per_second: int = 20
    """Per account, in market time."""
    leverage: int = 0
    """Largest notional for each unit of margin; 0: what the instruments' margin rates say."""
    margin_call: Fraction = Fraction(1)
    """Equity as a share of the margin held below which the account is told."""
    stop_out: Fraction = Fraction(1, 2)
    """Equity as a share of the margin held below which positions are closed."""
    daily_loss: Fraction = Fraction(10, 100)
    """Share of the equity at the day's start (17:00 New York)."""
    drawdown: Fraction = Fraction(30, 100)
    """Share of the highest equity so far."""
    outbox_backlog: int = 10_000
    """Events waiting for the bus above which no new risk is taken."""
    untradable: frozenset[str] = frozenset()
    """Symbols for which no order is taken."""
    paper: Conditions = PERFECT
    """What the paper venue does to orders."""
