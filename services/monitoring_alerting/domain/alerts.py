"""The life of an alert: pending, firing, resolved. One open alert for each rule and set of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from services.errors import FxError, Kind
from services.monitoring_alerting.domain.rules import EventCondition, Finding, Severity


class AlertState(Enum):
    """Where an alert is."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; times are wall seconds."""

    alert_id: str
    rule: str
    severity: Severity
    state: AlertState
    labels: Mapping[str, str] = field(hash=False)
    summary: str
    value: float
    started_s: float
    fired_s: float | None = None
    resolved_s: float | None = None
    acknowledged: bool = False
    acknowledged_by: str = ""
    comment: str = ""
    occurrences: int = 1
    last_s: float = 0.0
    resolve_after_s: float = 0.0
    """For event alerts: how long after the last occurrence it resolves; 0: when the condition ends."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Keeps alerts of a rule (empty: any) with these labels quiet until `expires_s`."""

    silence_id: str
    rule: str
    labels: Mapping[str, str] = field(hash=False)
    created_s: float
    expires_s: float
    comment: str

    def covers(self, alert: Alert, now_s: float) -> bool:
        """True while it holds and the alert is one it is about."""
        return (
            now_s < self.expires_s
            and self.rule in ("", alert.rule)
            and all(alert.labels.get(name) == value for name, value in self.labels.items())
        )


Key = tuple[str, tuple[tuple[str, str], ...]]


def key_of(rule: str, labels: Mapping[str, str]) -> Key:
    """What makes two findings the same alert."""
    return rule, tuple(sorted(labels.items()))


class AlertBook:
    """Open alerts by key; changes are returned for the caller to store and show."""

    def __init__(self, open_alerts: Iterable[Alert] = ()) -> None:
        self._open: dict[Key, Alert] = {key_of(each.rule, each.labels): each for each in open_alerts}

    def open(self) -> list[Alert]:
        """Pending and firing, oldest first."""
        return sorted(self._open.values(), key=lambda alert: (alert.started_s, alert.alert_id))

    def observe(self, findings: Iterable[Finding], now_s: float) -> list[Alert]:
        """All conditions that hold now: new ones open, old ones fire, the others resolve."""
        changed: list[Alert] = []
        seen: set[Key] = set()
        for finding in findings:
            key = key_of(finding.rule.name, finding.labels)
            seen.add(key)
            changed += self._touch(key, finding, now_s)
        for key, alert in list(self._open.items()):
            over = alert.resolve_after_s == 0 and key not in seen
            silent = alert.resolve_after_s > 0 and now_s - alert.last_s >= alert.resolve_after_s
            if over or silent:
                changed.append(self._resolve(key, now_s))
        return changed

    def occurred(self, finding: Finding, now_s: float) -> list[Alert]:
        """An event arrived: the alert fires at once, or counts one more."""
        key = key_of(finding.rule.name, finding.labels)
        known = self._open.get(key)
        if known is not None:
            again = replace(
                known,
                occurrences=known.occurrences + 1,
                last_s=now_s,
                summary=finding.summary,
                value=finding.value,
            )
            self._open[key] = again
            return [again]
        return self._touch(key, finding, now_s)

    def _touch(self, key: Key, finding: Finding, now_s: float) -> list[Alert]:
        known, condition = self._open.get(key), finding.rule.condition
        alert = known or Alert(
            alert_id=_alert_id(key, now_s),
            rule=finding.rule.name,
            severity=finding.rule.severity,
            state=AlertState.PENDING,
            labels=dict(finding.labels),
            summary=finding.summary,
            value=finding.value,
            started_s=now_s,
            last_s=now_s,
            resolve_after_s=condition.resolve_after_s if isinstance(condition, EventCondition) else 0.0,
        )
        due = alert.state is AlertState.PENDING and now_s - alert.started_s >= finding.hold_s
        if due:
            alert = replace(alert, state=AlertState.FIRING, fired_s=now_s)
        alert = replace(alert, summary=finding.summary, value=finding.value, last_s=now_s)
        self._open[key] = alert
        return [alert] if known is None or due else []

    def _resolve(self, key: Key, now_s: float) -> Alert:
        alert = self._open.pop(key)
        return replace(alert, state=AlertState.RESOLVED, resolved_s=now_s)

    def over(self, rule: str, labels: Mapping[str, str], now_s: float) -> list[Alert]:
        """An event said that what the alert was raised for is over."""
        key = key_of(rule, labels)
        return [self._resolve(key, now_s)] if key in self._open else []

    def drop_rule(self, rule: str, now_s: float) -> list[Alert]:
        """Resolve all alerts of a rule that is gone."""
        return [self._resolve(key, now_s) for key in list(self._open) if key[0] == rule]

    def acknowledge(self, alert_id: str, by: str, comment: str) -> Alert | None:
        """Mark an open alert as seen; None when no open alert has that id."""
        for key, alert in self._open.items():
            if alert.alert_id == alert_id:
                self._open[key] = replace(alert, acknowledged=True, acknowledged_by=by, comment=comment)
                return self._open[key]
        return None


def unknown_alert(alert_id: str) -> FxError:
    """No alert has that id."""
    return FxError(Kind.NOT_FOUND, "UNKNOWN_ALERT", f"no alert {alert_id}")


def _alert_id(key: Key, now_s: float) -> str:
    return "a-" + hashlib.sha256(f"{key}/{now_s:.6f}".encode()).hexdigest()[:20]
