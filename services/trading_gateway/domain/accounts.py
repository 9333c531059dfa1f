"""An account: cash in minor units of its currency, its settings, and the marks of the daily and overall
limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.trading_gateway.domain.values import PAPER, PositionMode, TradingState, VenueState


@dataclass(frozen=True, slots=True)
class Standing:
    """What was last said of trading on all accounts at once: those opened later begin with it."""

    state: TradingState
    reason: str


NOTHING_SAID = Standing(TradingState.ACTIVE, "")


@dataclass(frozen=True, slots=True)
class Account:
    """`session_id` is also its scope: empty trades on the live market, else only on that replay."""

    account_id: str
    currency: str
    session_id: str
    auto_trade: bool
    balance: int
    deposited: int
    realised: int
    commission: int
    """Paid so far, above zero."""
    trading_state: TradingState
    state_reason: str
    day_start_equity: int
    """Equity when the trading day began (17:00 New York)."""
    day_roll_ns: int
    """When it ends; 0 until the market time is known."""
    peak_equity: int
    """Highest equity seen at a fill, an order or the start of a day."""
    ledger_entries: int
    created_ns: int
    updated_ns: int
    revision: int = 1
    transactions: int = 0
    """Double-entry transactions written so far."""
    margin_called: bool = False
    """Equity is below the margin call level, and the account was told."""
    financing: int = 0
    """Received so far, below zero paid."""
    venue: str = PAPER
    """Where its orders are worked."""
    venue_state: VenueState = VenueState.AGREED
    """Of an account on another venue than paper; the paper venue has no books of its own."""
    venue_detail: str = ""
    """What differs, or what is waited for."""
    mode: PositionMode = PositionMode.NETTING
    """Chosen when it is opened, for good."""
    transferred: int = 0
    """Paid in at its venue since it was opened, below zero paid out."""
    adjusted: int = 0
    """Received by adjustments, its venue's and those that adopted its venue's figure; below zero paid."""
    fraction: str = "0"
    """Exact text of what its venue told of cash beyond `balance`: less than a minor unit either way."""
    venue_differences: tuple[tuple[str, str, str], ...] = ()
    """(symbol, "" for the balance or an execution; figure at the venue; figure here) of the differences that
    `venue_detail` tells and that one may adopt.
    """
    busts: tuple[tuple[str, str], ...] = ()
    """(execution, report as JSON text) of executions that its venue busted and never told: should one be told
    after all, it is booked and taken back.
    """

    @property
    def on_paper(self) -> bool:
        """True where the engine's own venue works its orders."""
        return self.venue == PAPER

    @property
    def hedging(self) -> bool:
        """True where each order that opens something opens a position of its own."""
        return self.mode is PositionMode.HEDGING
