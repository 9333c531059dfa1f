"""Trading with everything in it that can happen: the same for processes of all kinds."""

from __future__ import annotations

from services.trading_gateway.config import Settings

SETTINGS = Settings(
    commission_per_million="35",
    feed_stale_seconds=60.0,
    paper_seed=3,
    paper_unanswered="0.1",
    paper_lost="0.05",
    paper_partial_fills="0.3",
    paper_settle_seconds=2,
    max_orders_per_second=1,
    drift_reduces=True,
    simulated_venue="far",
    simulated_accounts=("outside:USD:50000",),
    simulated_financing="0.2",
    simulated_busts="0.15",
    paper_disconnects="0.02",
    venue_settle_seconds=2,
    venue_audit_seconds=2,
)
