"""`python -m services.monitoring_alerting`."""

from services.monitoring_alerting.compose import compose
from services.monitoring_alerting.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.monitoring.v1.MonitoringService", Settings, compose)
