"""The loop that scrapes every service and judges what it saw by the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from services.monitoring_alerting.domain.health import ServiceHealth, ServiceStatus
from services.monitoring_alerting.domain.rules import (
    AlertRule,
    Finding,
    HealthCondition,
    MetricCondition,
    aggregate,
)
from services.monitoring_alerting.domain.series import SeriesStore
from services.monitoring_alerting.handlers.alerts import Alerts
from services.monitoring_alerting.ports import Clock, Directory, Scrape, Scraper


class Watching:
    """Keeps the latest health and the series of all services."""

    def __init__(
        self, directory: Directory, scraper: Scraper, series: SeriesStore, alerts: Alerts, clock: Clock
    ) -> None:
        self._directory = directory
        self._scraper = scraper
        self._series = series
        self._alerts = alerts
        self._clock = clock
        self._health: dict[tuple[str, str], ServiceHealth] = {}

    async def run(self, every_s: float) -> None:
        """Loop."""
        while True:
            await self.round()
            await self._clock.sleep(every_s)

    async def round(self) -> None:
        """Scrape everybody once, then judge."""
        scrapes = await asyncio.gather(*(self._scraper.scrape(each) for each in self._directory.targets()))
        now_s = self._clock.now_ns() / 1e9
        self._take(scrapes, now_s)
        await self._alerts.observe(list(self._findings(now_s)))

    def _take(self, scrapes: list[Scrape], now_s: float) -> None:
        for scrape in scrapes:
            self._series.add(scrape.samples, now_s)
            self._series.define(scrape.definitions)
        self._series.forget_silent(now_s)
        health = {(scrape.health.service, scrape.health.instance_id): scrape.health for scrape in scrapes}
        present = {service for service, _ in health}
        for service in self._directory.services():
            if service not in present:
                gone = "no instance is registered: it does not run, or cannot reach NATS"
                health[service, ""] = ServiceHealth(
                    service, "", "", ServiceStatus.UNREACHABLE, (), now_s, 0.0, gone
                )
        self._health = health

    def health(self, service: str) -> list[ServiceHealth]:
        """As last scraped, by service; one service unless empty."""
        return [self._health[key] for key in sorted(self._health) if service in ("", key[0])]

    def _findings(self, now_s: float) -> Iterator[Finding]:
        for rule in self._alerts.rules():
            if isinstance(rule.condition, MetricCondition):
                yield from self._metric_findings(rule, rule.condition, now_s)
            elif isinstance(rule.condition, HealthCondition):
                yield from self._health_findings(rule, rule.condition)

    def _metric_findings(
        self, rule: AlertRule, condition: MetricCondition, now_s: float
    ) -> Iterator[Finding]:
        for series in self._series.find(condition.metric, condition.labels):
            value = aggregate(series, condition.aggregation, now_s, condition.window_s)
            if value is not None and condition.comparison.holds(value, condition.threshold):
                what = f"{condition.aggregation.value} of {condition.metric} over {condition.window_s:g} s"
                figures = f"{what} is {value:.6g} {condition.comparison.value} {condition.threshold:g}"
                summary = rule.summary(series.labels, figures)
                yield Finding(rule, dict(series.labels), value, summary, condition.hold_s)

    def _health_findings(self, rule: AlertRule, condition: HealthCondition) -> Iterator[Finding]:
        for health in self.health(condition.service):
            degraded = condition.degraded and health.status is ServiceStatus.DEGRADED
            down = not condition.degraded and not health.well
            if degraded or down:
                missing = ", ".join(f"{name} {state}" for name, state in health.dependencies if state != "up")
                because = health.detail or missing or "no reason given"
                labels = {"service": health.service}
                summary = f"{health.service} is {health.status.value}: {because}"
                yield Finding(rule, labels, 1.0, summary, condition.hold_s)
