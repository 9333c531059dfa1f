"""Rules, alerts and silences."""

from __future__ import annotations

from collections.abc import Mapping

from fxmesh.monitoring.v1 import monitoring_pb2
from fxmesh.monitoring.v1 import service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from tests.integration.repetitions.case import Case, Platform, Twice, key
from tests.kit.live import eventually


def rule(name: str, metric: str = "nothing_has_this_name") -> pb.CreateAlertRuleRequest:
    """One that fires once there is a metric of that name."""
    condition = monitoring_pb2.MetricCondition(
        metric=metric, comparison=monitoring_pb2.COMPARISON_GREATER_OR_EQUAL, threshold=0.0
    )
    return pb.CreateAlertRuleRequest(
        request_id=key(), rule=monitoring_pb2.AlertRule(name=name, metric=condition)
    )


def new_name() -> str:
    return f"twice-{key()[:8]}"


async def rules(platform: Platform) -> int:
    return len((await platform.monitoring.ListAlertRules(pb.ListAlertRulesRequest())).rules)


async def silences(platform: Platform) -> int:
    return len((await platform.monitoring.ListSilences(pb.ListSilencesRequest())).silences)


async def create_alert_rule(platform: Platform, twice: Twice) -> None:
    await twice(rule(new_name()), lambda: rules(platform))


async def delete_alert_rule(platform: Platform, twice: Twice) -> None:
    await platform.monitoring.CreateAlertRule(rule(name := new_name()))
    request = pb.DeleteAlertRuleRequest(request_id=key(), name=name)
    await twice(request, lambda: rules(platform), effects=-1)
    await platform.monitoring.CreateAlertRule(rule(name))
    before = await rules(platform)
    await platform.monitoring.DeleteAlertRule(request)  # late: somebody made it anew
    assert await rules(platform) == before


async def acknowledge_alert(platform: Platform, twice: Twice) -> None:
    """What was said last stays."""
    name = new_name()
    await platform.monitoring.CreateAlertRule(rule(name, "fxmesh_registry_instances"))

    async def alerts() -> list[monitoring_pb2.Alert]:
        asked = pb.ListAlertsRequest(rule=name, state=[monitoring_pb2.ALERT_STATE_FIRING])
        return list((await platform.monitoring.ListAlerts(asked)).alerts)

    alert_id = (await eventually(alerts))[0].alert_id

    def acknowledging(by: str) -> pb.AcknowledgeAlertRequest:
        return pb.AcknowledgeAlertRequest(request_id=key(), alert_id=alert_id, by=by, comment="seen")

    async def by_another() -> None:
        await platform.monitoring.AcknowledgeAlert(acknowledging("bob"))

    async def seen_by() -> str:
        return next(each.acknowledged_by for each in await alerts() if each.alert_id == alert_id)

    await twice.late(acknowledging("ann"), by_another, seen_by)
    assert await seen_by() == "bob"
    await platform.monitoring.DeleteAlertRule(pb.DeleteAlertRuleRequest(request_id=key(), name=name))


async def create_silence(platform: Platform, twice: Twice) -> None:
    await platform.monitoring.CreateAlertRule(rule(name := new_name()))
    request = pb.CreateSilenceRequest(request_id=key(), rule=name, duration=Duration(seconds=3600))
    first = await twice(request, lambda: silences(platform))
    assert await platform.monitoring.CreateSilence(request) == first


CASES: Mapping[str, Case] = {
    "CreateAlertRule": create_alert_rule,
    "DeleteAlertRule": delete_alert_rule,
    "AcknowledgeAlert": acknowledge_alert,
    "CreateSilence": create_silence,
}
