"""Alerts, rules and silences; health and metrics of the services."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.monitoring.v1 import monitoring_pb2 as monitoring
from fxmesh.monitoring.v1 import service_pb2 as pb

from services.cli import inputs
from services.cli.link import Link
from services.cli.render import Table, clock, count, word

_EVERY_STATE = (
    monitoring.ALERT_STATE_PENDING,
    monitoring.ALERT_STATE_FIRING,
    monitoring.ALERT_STATE_RESOLVED,
)


async def alerts(link: Link, every: bool, rule: str, limit: int) -> None:
    """Pending and firing ones; resolved ones too with `every`."""
    request = pb.ListAlertsRequest(state=_EVERY_STATE if every else (), rule=rule, page_size=limit)
    answer = await link.monitoring.ListAlerts(request)
    headers = ("SINCE (UTC)", "SEVERITY", "STATE", "RULE", "SUMMARY", "ALERT", "")
    rows = [_alert_row(each) for each in answer.alerts]
    link.out.answer(answer, Table(headers, rows, empty="No alerts."))


async def watch_alerts(link: Link) -> None:
    async for answer in link.follow(lambda: link.monitoring.StreamAlerts(pb.StreamAlertsRequest())):
        if answer.HasField("alert"):
            link.out.item(answer.alert, "  ".join(_alert_row(answer.alert)).rstrip())


async def acknowledge(link: Link, alert_id: str, by: str, comment: str, request_id: str) -> None:
    request_id = request_id or link.new_id()
    request = pb.AcknowledgeAlertRequest(request_id=request_id, alert_id=alert_id, by=by, comment=comment)
    answer = await link.mutate(
        link.monitoring.AcknowledgeAlert(request),
        f"alert {alert_id} is acknowledged",
        "Ask with `fxmesh alerts`; acknowledging again does no harm.",
    )
    link.out.answer(answer, "  ".join(_alert_row(answer.alert)).rstrip(), f"request id  {request_id}")


async def silence(
    link: Link, rule: str, labels: Sequence[str], length: str, comment: str, request_id: str
) -> None:
    request_id = request_id or link.new_id()
    request = pb.CreateSilenceRequest(
        request_id=request_id,
        rule=rule,
        labels=inputs.labels(labels, "--label"),
        duration=inputs.duration(length),
        comment=comment,
    )
    answer = await link.mutate(
        link.monitoring.CreateSilence(request),
        "alerts are silenced",
        f"Ask with `fxmesh alerts silences`, or repeat it with --request-id {request_id}.",
    )
    link.out.answer(answer, _silences([answer.silence]), f"request id  {request_id}")


async def silences(link: Link) -> None:
    answer = await link.monitoring.ListSilences(pb.ListSilencesRequest())
    link.out.answer(answer, _silences(answer.silences))


async def rules(link: Link) -> None:
    answer = await link.monitoring.ListAlertRules(pb.ListAlertRulesRequest())
    rows = [
        (each.name, word(each, "severity"), each.WhichOneof("condition") or "", each.description)
        for each in answer.rules
    ]
    link.out.answer(answer, Table(("RULE", "SEVERITY", "WATCHES", "WHEN"), rows, empty="No rules."))


async def services(link: Link, service: str) -> None:
    answer = await link.monitoring.ListServiceHealth(pb.ListServiceHealthRequest(service=service))
    rows = [
        (
            each.service,
            word(each, "status"),
            each.address,
            f"{each.latency.ToNanoseconds() / 1e6:.0f} ms",
            clock(each.checked_at),
            ", ".join(f"{one.name} {one.state}" for one in each.dependencies if one.state not in _UP),
            each.detail,
        )
        for each in answer.services
    ]
    headers = ("SERVICE", "STATUS", "ADDRESS", "LATENCY", "CHECKED (UTC)", "MISSING", "")
    link.out.answer(answer, Table(headers, rows, right=("LATENCY",), empty="No service is known yet."))


async def metrics(link: Link, prefix: str) -> None:
    answer = await link.monitoring.ListMetrics(pb.ListMetricsRequest(prefix=prefix))
    rows = [(each.metric, each.type, each.help) for each in answer.metrics]
    link.out.answer(answer, Table(("METRIC", "TYPE", "WHAT IT IS"), rows, empty="No such metric."))


async def metric(link: Link, name: str, service: str, window: str) -> None:
    """The last value of each series and how it moved over the window."""
    seconds = inputs.duration(window).seconds
    request = pb.QueryMetricsRequest(metric=name, service=service, window_seconds=seconds)
    answer = await link.monitoring.QueryMetrics(request)
    rows = []
    for each in answer.series:
        labels = " ".join(f"{label}={value}" for label, value in sorted(each.labels.items()))
        first, last = each.points[0], each.points[-1]
        change = last.value - first.value
        rows.append((labels, f"{last.value:g}", f"{change:+g}", clock(last.time), count(len(each.points))))
    headers = ("LABELS", "LAST", "CHANGE", "AT (UTC)", "POINTS")
    right = ("LAST", "CHANGE", "POINTS")
    link.out.answer(answer, Table(headers, rows, right=right, empty=f"No points of {name} in {window}."))


_UP = ("up", "ok", "serving")


def _alert_row(alert: monitoring.Alert) -> tuple[str, ...]:
    marks = ("silenced" if alert.silenced else "", f"seen by {alert.acknowledged_by}" * alert.acknowledged)
    return (
        clock(alert.fired_at if alert.HasField("fired_at") else alert.started_at),
        word(alert, "severity"),
        word(alert, "state"),
        alert.rule,
        alert.summary,
        alert.alert_id,
        " ".join(each for each in marks if each),
    )


def _silences(found: Sequence[monitoring.Silence]) -> Table:
    rows = [
        (
            each.silence_id,
            each.rule or "any",
            " ".join(f"{name}={value}" for name, value in sorted(each.labels.items())),
            clock(each.expires_at),
            each.comment,
        )
        for each in found
    ]
    return Table(("SILENCE", "RULE", "LABELS", "UNTIL (UTC)", "COMMENT"), rows, empty="No silences.")
