"""Use cases of market data over ports: `feed` takes ticks in and hands them on, `prices` answers questions
about them,
`synthetic` and `replays` make them, `uploads` keeps files for replays, `recovery` ends what a crash left,
`roles` says which of several instances does that, and `mirror` keeps the others like it.
"""

from services.market_data.handlers.feed import Barrier, Feed, StreamItem
from services.market_data.handlers.following import follow
from services.market_data.handlers.mirror import Mirror
from services.market_data.handlers.prices import Prices
from services.market_data.handlers.recovery import recover
from services.market_data.handlers.replays import Replays, StartReplay
from services.market_data.handlers.roles import Roles
from services.market_data.handlers.synthetic import run_synthetic
from services.market_data.handlers.uploads import Uploads

__all__ = [
    "Barrier",
    "Feed",
    "Mirror",
    "Prices",
    "Replays",
    "Roles",
    "StartReplay",
    "StreamItem",
    "Uploads",
    "follow",
    "recover",
    "run_synthetic",
]
