"""What the workbench tells: trainings and deployments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from services.ml_integration.handlers.models import Models
from services.ml_integration.ports import Log


@dataclass(frozen=True, slots=True)
class TrainingNews:
    """A run `began`, `completed` or `failed`. `failure` says why, empty otherwise."""

    state: str
    run_id: str
    model_name: str
    model_version: int
    failure: str = ""


class News:
    """Hears the workbench."""

    def __init__(self, models: Models, log: Log) -> None:
        self._models = models
        self._log = log
        self.trainings: Counter[str] = Counter()

    async def training(self, news: TrainingNews) -> None:
        """Count and log; a finished run may have been deployed, so look at what serves."""
        self.trainings[news.state] += 1
        self._log.info(
            "training.heard",
            state=news.state,
            run=news.run_id,
            model=news.model_name,
            version=news.model_version,
            failure=news.failure,
        )
        if news.state == "completed":
            await self._models.reconcile()

    async def deployed(self, endpoint: str) -> None:
        """Load what an endpoint serves now."""
        await self._models.deployed(endpoint)
