"""Use cases of monitoring: `watching` scrapes and judges, `alerts` answers and acts, `queries` reads."""

from services.monitoring_alerting.handlers.alerts import Alerts
from services.monitoring_alerting.handlers.queries import Queries
from services.monitoring_alerting.handlers.watching import Watching

__all__ = ["Alerts", "Queries", "Watching"]
