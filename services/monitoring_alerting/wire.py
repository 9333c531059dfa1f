"""Protobuf ↔ domain of monitoring, both ways, and nowhere else."""

from __future__ import annotations

from fxmesh.monitoring.v1 import monitoring_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import invalid_field
from services.monitoring_alerting.domain.alerts import AlertState, Silence
from services.monitoring_alerting.domain.health import ServiceHealth, ServiceStatus
from services.monitoring_alerting.domain.rules import (
    Aggregation,
    AlertRule,
    Comparison,
    EventCondition,
    HealthCondition,
    MetricCondition,
    Severity,
)
from services.monitoring_alerting.domain.series import Series
from services.monitoring_alerting.handlers.alerts import ShownAlert
from services.wire.times import moment

STATUS = {
    ServiceStatus.SERVING: pb.SERVICE_STATUS_SERVING,
    ServiceStatus.DEGRADED: pb.SERVICE_STATUS_DEGRADED,
    ServiceStatus.STARTING: pb.SERVICE_STATUS_STARTING,
    ServiceStatus.NOT_SERVING: pb.SERVICE_STATUS_NOT_SERVING,
    ServiceStatus.UNREACHABLE: pb.SERVICE_STATUS_UNREACHABLE,
}
SEVERITY = {
    Severity.INFO: pb.SEVERITY_INFO,
    Severity.WARNING: pb.SEVERITY_WARNING,
    Severity.CRITICAL: pb.SEVERITY_CRITICAL,
}
COMPARISON = {
    Comparison.GREATER: pb.COMPARISON_GREATER,
    Comparison.GREATER_OR_EQUAL: pb.COMPARISON_GREATER_OR_EQUAL,
    Comparison.LESS: pb.COMPARISON_LESS,
    Comparison.LESS_OR_EQUAL: pb.COMPARISON_LESS_OR_EQUAL,
}
AGGREGATION = {
    Aggregation.LAST: pb.AGGREGATION_LAST,
    Aggregation.RATE: pb.AGGREGATION_RATE,
    Aggregation.MAX: pb.AGGREGATION_MAX,
    Aggregation.MEAN: pb.AGGREGATION_MEAN,
}
STATE = {
    AlertState.PENDING: pb.ALERT_STATE_PENDING,
    AlertState.FIRING: pb.ALERT_STATE_FIRING,
    AlertState.RESOLVED: pb.ALERT_STATE_RESOLVED,
}
STATE_OF = {value: key for key, value in STATE.items()}
_SEVERITY_OF = {value: key for key, value in SEVERITY.items()}
_COMPARISON_OF = {value: key for key, value in COMPARISON.items()}
_AGGREGATION_OF = {value: key for key, value in AGGREGATION.items()}


def timestamp(seconds: float | None) -> Timestamp | None:
    """Wall seconds; None stays absent."""
    return None if seconds is None else moment(round(seconds * 1e9))


def duration(seconds: float) -> Duration:
    """Seconds."""
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def seconds(value: Duration) -> float:
    """Seconds of a duration."""
    return value.seconds + value.nanos / 1e9


def health(value: ServiceHealth) -> pb.ServiceHealth:
    """Health of an instance."""
    return pb.ServiceHealth(
        service=value.service,
        instance_id=value.instance_id,
        address=value.address,
        status=STATUS[value.status],
        dependencies=[pb.Dependency(name=name, state=state) for name, state in value.dependencies],
        checked_at=timestamp(value.checked_s),
        latency=duration(value.latency_s),
        detail=value.detail,
    )


def series(value: Series, points: list[tuple[float, float]]) -> pb.MetricSeries:
    """A series and some of its points."""
    return pb.MetricSeries(
        metric=value.metric,
        labels=value.labels,
        points=[pb.MetricPoint(time=timestamp(time), value=number) for time, number in points],
    )


def rule(value: AlertRule) -> pb.AlertRule:
    """A rule."""
    answer = pb.AlertRule(
        name=value.name,
        description=value.description,
        severity=SEVERITY[value.severity],
        built_in=value.built_in,
    )
    match value.condition:
        case MetricCondition() as metric:
            answer.metric.CopyFrom(
                pb.MetricCondition(
                    metric=metric.metric,
                    labels=metric.labels,
                    aggregation=AGGREGATION[metric.aggregation],
                    window=duration(metric.window_s),
                    comparison=COMPARISON[metric.comparison],
                    threshold=metric.threshold,
                    hold=duration(metric.hold_s),
                )
            )
        case EventCondition() as event:
            answer.event.CopyFrom(
                pb.EventCondition(type=event.type, resolve_after=duration(event.resolve_after_s))
            )
        case HealthCondition() as condition:
            answer.health.CopyFrom(
                pb.HealthCondition(
                    service=condition.service, degraded=condition.degraded, hold=duration(condition.hold_s)
                )
            )
    return answer


def rule_of(message: pb.AlertRule) -> AlertRule:
    """A rule that a person wrote; the contract has checked names and ranges."""
    condition: MetricCondition | EventCondition | HealthCondition
    kind = message.WhichOneof("condition")
    if kind == "metric":
        metric = message.metric
        condition = MetricCondition(
            metric.metric,
            dict(metric.labels),
            _AGGREGATION_OF.get(metric.aggregation, Aggregation.LAST),
            seconds(metric.window) or 60.0,
            _COMPARISON_OF[metric.comparison],
            metric.threshold,
            seconds(metric.hold),
        )
    elif kind == "event":
        condition = EventCondition(message.event.type, seconds(message.event.resolve_after) or 600.0)
    elif kind == "health":
        asked = message.health
        condition = HealthCondition(asked.service, asked.degraded, seconds(asked.hold))
    else:
        raise invalid_field("VALIDATION_FAILED", "rule.condition", "say what the rule watches")
    severity = _SEVERITY_OF.get(message.severity, Severity.WARNING)
    return AlertRule(message.name, message.description, severity, condition)


def alert(value: ShownAlert) -> pb.Alert:
    """An alert."""
    content = value.alert
    return pb.Alert(
        alert_id=content.alert_id,
        rule=content.rule,
        severity=SEVERITY[content.severity],
        state=STATE[content.state],
        labels=content.labels,
        summary=content.summary,
        value=content.value,
        started_at=timestamp(content.started_s),
        fired_at=timestamp(content.fired_s),
        resolved_at=timestamp(content.resolved_s),
        acknowledged=content.acknowledged,
        acknowledged_by=content.acknowledged_by,
        comment=content.comment,
        silenced=value.silenced,
        occurrences=content.occurrences,
    )


def silence(value: Silence) -> pb.Silence:
    """A silence."""
    return pb.Silence(
        silence_id=value.silence_id,
        rule=value.rule,
        labels=value.labels,
        created_at=timestamp(value.created_s),
        expires_at=timestamp(value.expires_s),
        comment=value.comment,
    )
