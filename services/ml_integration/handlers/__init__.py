"""Use cases of inference over ports: `models` holds what serves, `predictions` answers, `reports` tells
drift, performance and importance, `outcomes` learns how predictions came out, `outgoing` publishes in order,
`news` hears the workbench.
"""

from services.ml_integration.handlers.models import Models, Served
from services.ml_integration.handlers.news import News, TrainingNews
from services.ml_integration.handlers.outcomes import Outcomes
from services.ml_integration.handlers.outgoing import Outgoing
from services.ml_integration.handlers.predictions import (
    BatchQuestion,
    BatchScores,
    Predictions,
    Question,
    SentFeatures,
)
from services.ml_integration.handlers.reports import Importance, Reports

__all__ = [
    "BatchQuestion",
    "BatchScores",
    "Importance",
    "Models",
    "News",
    "Outcomes",
    "Outgoing",
    "Predictions",
    "Question",
    "Reports",
    "SentFeatures",
    "Served",
    "TrainingNews",
]
