"""Use cases of trading: one method per RPC or consumed event, on ports only.

`desk` first: it owns the engine and the order of commit, venue and answer. Then `orders`, `flattening` (out
of an account), `storms` (orders beyond the rate), `accounts`, `halting` (the kill switch), `risk_limits`,
`reading` (ticks), `signals`, `interleaving` (both), `lockstep`, `trailing`, `following` (the feed), `venues`
(those outside) on `sending`, `adopting` (their figures),
`roles` (when all this is ours to do), `decisions` (what was made of signals).
"""

from services.trading_gateway.handlers.accounts import Accounts
from services.trading_gateway.handlers.adopting import Adopting
from services.trading_gateway.handlers.decisions import Decisions
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.flattening import Flattening
from services.trading_gateway.handlers.following import Following
from services.trading_gateway.handlers.halting import Halting
from services.trading_gateway.handlers.interleaving import Interleaving
from services.trading_gateway.handlers.lockstep import Lockstep
from services.trading_gateway.handlers.orders import Orders
from services.trading_gateway.handlers.progress import Progress
from services.trading_gateway.handlers.reading import Reading
from services.trading_gateway.handlers.risk_limits import RiskLimits
from services.trading_gateway.handlers.roles import Roles
from services.trading_gateway.handlers.signals import Signals
from services.trading_gateway.handlers.storms import Storms
from services.trading_gateway.handlers.trailing import Trailing
from services.trading_gateway.handlers.venues import VenueLinks

__all__ = [
    "Accounts",
    "Adopting",
    "Decisions",
    "Desk",
    "Flattening",
    "Following",
    "Halting",
    "Interleaving",
    "Lockstep",
    "Orders",
    "Progress",
    "Reading",
    "RiskLimits",
    "Roles",
    "Signals",
    "Storms",
    "Trailing",
    "VenueLinks",
]
