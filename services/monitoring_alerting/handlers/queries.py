"""Questions about health and metrics."""

from __future__ import annotations

from services.errors import FxError, Kind
from services.monitoring_alerting.domain.health import ServiceHealth
from services.monitoring_alerting.domain.series import Definition, Series, SeriesStore
from services.monitoring_alerting.handlers.watching import Watching
from services.monitoring_alerting.ports import Clock, Directory

DEFAULT_WINDOW_S = 300


class Queries:
    """Reads what the watch has gathered."""

    def __init__(self, watching: Watching, series: SeriesStore, directory: Directory, clock: Clock) -> None:
        self._watching = watching
        self._series = series
        self._directory = directory
        self._clock = clock

    async def health(self, service: str) -> list[ServiceHealth]:
        """FxError NOT_FOUND `UNKNOWN_SERVICE`."""
        self._require_known(service)
        return self._watching.health(service)

    async def metrics(self, prefix: str) -> list[Definition]:
        """What metrics there are."""
        return self._series.definitions(prefix)

    async def query(
        self, metric: str, service: str, window_s: int
    ) -> list[tuple[Series, list[tuple[float, float]]]]:
        """Series of a metric and their points of the window. FxError NOT_FOUND `UNKNOWN_METRIC`."""
        self._require_known(service)
        since = self._clock.now_ns() / 1e9 - (window_s or DEFAULT_WINDOW_S)
        found = list(self._series.find(metric, {"service": service} if service else None))
        if not found:
            raise FxError(
                Kind.NOT_FOUND, "UNKNOWN_METRIC", f"no series of {metric}; `ListMetrics` names them"
            )
        return [(series, series.since(since)) for series in found]

    def _require_known(self, service: str) -> None:
        if service and service not in self._directory.services():
            known = ", ".join(self._directory.services())
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SERVICE", f"no service {service}; there are {known}")
