"""Use cases of analysis over ports: `ticks` makes findings of what is consumed, `queries` answers questions
about them.

`feeds` opens, warms up, keeps and drops feeds; `predictions` asks inference; `record` holds what was found
lately.
"""

from services.analysis_engine.handlers.feeds import Feeds
from services.analysis_engine.handlers.predictions import Predictions
from services.analysis_engine.handlers.queries import Queries
from services.analysis_engine.handlers.record import Record
from services.analysis_engine.handlers.ticks import BookHeard, Heard, QuoteHeard, Ticks, TicksHeard
from services.analysis_engine.handlers.warm_up import WarmUp

__all__ = [
    "BookHeard",
    "Feeds",
    "Heard",
    "Predictions",
    "Queries",
    "QuoteHeard",
    "Record",
    "Ticks",
    "TicksHeard",
    "WarmUp",
]
