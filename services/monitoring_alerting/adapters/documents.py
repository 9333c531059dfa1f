"""Rules, alerts and silences as JSON documents, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from services.monitoring_alerting.domain.alerts import Alert, AlertState, Silence
from services.monitoring_alerting.domain.rules import (
    Aggregation,
    AlertRule,
    Comparison,
    EventCondition,
    HealthCondition,
    MetricCondition,
    Severity,
)

_CONDITIONS: dict[str, Any] = {
    each.__name__: each for each in (MetricCondition, EventCondition, HealthCondition)
}


def dump(value: Alert | Silence) -> str:
    """An alert or a silence."""
    return json.dumps(asdict(value), default=lambda each: each.value, sort_keys=True)


def dump_rule(rule: AlertRule) -> str:
    """A rule, with the kind of its condition."""
    fields = asdict(rule) | {"kind": type(rule.condition).__name__}
    return json.dumps(fields, default=lambda each: each.value, sort_keys=True)


def rule_of(text: str) -> AlertRule:
    """A rule."""
    fields = json.loads(text)
    condition = fields["condition"]
    if "aggregation" in condition:
        condition["aggregation"] = Aggregation(condition["aggregation"])
        condition["comparison"] = Comparison(condition["comparison"])
    fields["condition"] = _CONDITIONS[fields.pop("kind")](**condition)
    fields["severity"] = Severity(fields["severity"])
    return AlertRule(**fields)


def alert_of(text: str) -> Alert:
    """An alert."""
    fields = json.loads(text)
    fields["severity"] = Severity(fields["severity"])
    fields["state"] = AlertState(fields["state"])
    return Alert(**fields)


def silence_of(text: str) -> Silence:
    """A silence."""
    return Silence(**json.loads(text))
