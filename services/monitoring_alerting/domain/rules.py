"""Rules: when to raise an alert. A rule watches a metric, an event, or the health of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from string import Template

from services.monitoring_alerting.domain.series import Series


class Severity(Enum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Comparison(Enum):
    """How a value is compared with the threshold."""

    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    LESS = "<"
    LESS_OR_EQUAL = "<="

    def holds(self, value: float, threshold: float) -> bool:
        """True when `value` stands in this relation to `threshold`."""
        if self is Comparison.GREATER:
            return value > threshold
        if self is Comparison.GREATER_OR_EQUAL:
            return value >= threshold
        return value < threshold if self is Comparison.LESS else value <= threshold


class Aggregation(Enum):
    """What of a series a rule looks at."""

    LAST = "last"
    RATE = "rate"
    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class MetricCondition:
    """A metric compared with a threshold over a window; it must hold for `hold_s` seconds."""

    metric: str
    labels: Mapping[str, str]
    aggregation: Aggregation
    window_s: float
    comparison: Comparison
    threshold: float
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EventCondition:
    """An event arrived; the alert resolves `resolve_after_s` after the last one, or when one says so."""

    type: str
    resolve_after_s: float


@dataclass(frozen=True, slots=True)
class HealthCondition:
    """A service is not well for `hold_s` seconds. `service` empty: any; `degraded`: it serves, but lacks
    something.
    """

    service: str
    degraded: bool
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A named rule."""

    name: str
    description: str
    severity: Severity
    condition: MetricCondition | EventCondition | HealthCondition
    built_in: bool = False
    advice: str = ""
    """What its alerts say before the figures, and what to do; `$service` stands for a label of the series."""

    def summary(self, labels: Mapping[str, str], figures: str) -> str:
        """What an alert says of a series with these labels."""
        return f"{Template(self.advice).safe_substitute(labels)} ({figures})" if self.advice else figures


def aggregate(series: Series, aggregation: Aggregation, now_s: float, window_s: float) -> float | None:
    """The figure of a series over the window; None when it has no points there.

    A rate is the increase per second between the first and last point, also over a restart (a counter
    that fell started from zero).
    """
    points = series.since(now_s - window_s)
    if not points:
        return None
    values = [value for _, value in points]
    if aggregation is Aggregation.LAST:
        return values[-1]
    if aggregation is Aggregation.MAX:
        return max(values)
    if aggregation is Aggregation.MEAN:
        return sum(values) / len(values)
    if len(points) < 2:
        return None
    increase = sum(after - before if after >= before else after for before, after in pairwise(values))
    return increase / (points[-1][0] - points[0][0])


def _event(name: str, type_name: str, severity: Severity, description: str, minutes: float = 10) -> AlertRule:
    return AlertRule(name, description, severity, EventCondition(type_name, minutes * 60), built_in=True)


BUILT_IN: Sequence[AlertRule] = (
    AlertRule(
        "service_down",
        "A service does not answer or does not serve.",
        Severity.CRITICAL,
        HealthCondition("", degraded=False, hold_s=5.0),
        built_in=True,
    ),
    AlertRule(
        "service_degraded",
        "A service serves, but something that it uses is missing.",
        Severity.WARNING,
        HealthCondition("", degraded=True, hold_s=30.0),
        built_in=True,
    ),
    AlertRule(
        "internal_errors",
        "Calls end with INTERNAL: a defect, see the service's log by correlation id.",
        Severity.WARNING,
        MetricCondition(
            "grpc_server_handled_total",
            {"grpc_code": "INTERNAL"},
            Aggregation.RATE,
            60.0,
            Comparison.GREATER,
            0.0,
        ),
        built_in=True,
    ),
    AlertRule(
        "dead_letters",
        "Events could not be handled and lie in the dead-letter queue.",
        Severity.CRITICAL,
        MetricCondition("fxmesh_bus_dead_letters_total", {}, Aggregation.RATE, 60.0, Comparison.GREATER, 0.0),
        built_in=True,
        advice="$service could not handle $event events: see `fxmesh dlq list --consumer $service`",
    ),
    AlertRule(
        "keys_parked",
        "Events of a key wait behind a dead letter: redrive or drop it with `fxmesh dlq`.",
        Severity.CRITICAL,
        MetricCondition("fxmesh_bus_parked_keys", {}, Aggregation.LAST, 30.0, Comparison.GREATER, 0.0),
        built_in=True,
        advice=(
            "events of a key wait at $service behind a dead letter: "
            "see `fxmesh dlq list --consumer $service`, then `fxmesh dlq redrive ID` or `fxmesh dlq drop ID`"
        ),
    ),
    AlertRule(
        "parking_filling",
        "A key has parked four fifths of what it may; then its partition stops.",
        Severity.CRITICAL,
        MetricCondition(
            "fxmesh_bus_parked_fill_ratio", {}, Aggregation.LAST, 30.0, Comparison.GREATER_OR_EQUAL, 0.8
        ),
        built_in=True,
        advice=(
            "$service has parked almost as many events of a key as it may: "
            "see `fxmesh dlq list --consumer $service`"
        ),
    ),
    AlertRule(
        "stream_filling",
        "A stream that refuses when it is full is so to four fifths.",
        Severity.CRITICAL,
        MetricCondition(
            "fxmesh_bus_stream_fill_ratio", {}, Aggregation.LAST, 30.0, Comparison.GREATER_OR_EQUAL, 0.8
        ),
        built_in=True,
        advice="stream $stream, where $service publishes, fills up: when it is full it refuses",
    ),
    AlertRule(
        "outbox_stuck",
        "The bus has taken none of the events that wait in an outbox for half a minute.",
        Severity.CRITICAL,
        MetricCondition(
            "fxmesh_bus_outbox_stuck_seconds", {}, Aggregation.LAST, 30.0, Comparison.GREATER_OR_EQUAL, 30.0
        ),
        built_in=True,
        advice="the bus takes no event of $service, nobody hears of what it does: see `fxmesh status`",
    ),
    AlertRule(
        "outbox_filling",
        "Of the events that may wait in an outbox before orders are refused four fifths do.",
        Severity.CRITICAL,
        MetricCondition(
            "fxmesh_bus_outbox_backlog", {}, Aggregation.LAST, 30.0, Comparison.GREATER_OR_EQUAL, 8000.0
        ),
        built_in=True,
        advice="many events of $service wait for the bus, soon orders that add risk are refused",
    ),
    AlertRule(
        "feed_silent",
        "No tick came in for half a minute although a feed session is active.",
        Severity.WARNING,
        MetricCondition(
            "fxmesh_marketdata_quiet_seconds", {}, Aggregation.LAST, 15.0, Comparison.GREATER, 30.0
        ),
        built_in=True,
    ),
    _event(
        "pipeline_failed",
        "fxmesh.pipeline.v1.PipelineExecutionFailed",
        Severity.WARNING,
        "A pipeline execution failed.",
    ),
    _event(
        "training_failed",
        "fxmesh.workbench.v1.ModelTrainingFailed",
        Severity.WARNING,
        "A training run failed or was cancelled.",
    ),
    _event(
        "model_drift",
        "fxmesh.inference.v1.ModelDriftDetected",
        Severity.WARNING,
        "A served model sees features that no longer look like those it was trained on.",
        60,
    ),
    _event("order_rejected", "fxmesh.trading.v1.OrderRejected", Severity.INFO, "An order was refused.", 5),
    _event(
        "trading_state_changed",
        "fxmesh.trading.v1.TradingStateChanged",
        Severity.WARNING,
        "Trading is halted or only reduces, on an account or on all.",
        7 * 24 * 60,  # it ends with the event that says active
    ),
)
"""Rules that come with the platform."""


@dataclass(frozen=True, slots=True)
class News:
    """What an event is to the rules about its type: raises an alert for `key`, or ends those for `ends`."""

    key: str
    summary: str = ""
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's condition holds for these labels now."""

    rule: AlertRule
    labels: Mapping[str, str] = field(hash=False)
    value: float
    summary: str
    hold_s: float
