"""MonitoringService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.monitoring.v1 import service_pb2 as pb
from fxmesh.monitoring.v1 import service_pb2_grpc
from typing_extensions import override

from services.monitoring_alerting import wire
from services.monitoring_alerting.handlers import Alerts, Queries

Context = grpc.aio.ServicerContext[Any, Any]


class MonitoringServicer(service_pb2_grpc.MonitoringServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(self, queries: Queries, alerts: Alerts) -> None:
        self._queries = queries
        self._alerts = alerts

    @override
    async def ListServiceHealth(
        self, request: pb.ListServiceHealthRequest, context: Context
    ) -> pb.ListServiceHealthResponse:
        found = await self._queries.health(request.service)
        return pb.ListServiceHealthResponse(services=[wire.health(each) for each in found])

    @override
    async def ListMetrics(self, request: pb.ListMetricsRequest, context: Context) -> pb.ListMetricsResponse:
        found = await self._queries.metrics(request.prefix)
        return pb.ListMetricsResponse(
            metrics=[
                pb.MetricDefinition(metric=each.metric, type=each.type, help=each.help) for each in found
            ]
        )

    @override
    async def QueryMetrics(
        self, request: pb.QueryMetricsRequest, context: Context
    ) -> pb.QueryMetricsResponse:
        found = await self._queries.query(request.metric, request.service, request.window_seconds)
        return pb.QueryMetricsResponse(series=[wire.series(series, points) for series, points in found])

    @override
    async def CreateAlertRule(
        self, request: pb.CreateAlertRuleRequest, context: Context
    ) -> pb.CreateAlertRuleResponse:
        rule = await self._alerts.create_rule(request.request_id, wire.rule_of(request.rule))
        return pb.CreateAlertRuleResponse(rule=wire.rule(rule))

    @override
    async def ListAlertRules(
        self, request: pb.ListAlertRulesRequest, context: Context
    ) -> pb.ListAlertRulesResponse:
        return pb.ListAlertRulesResponse(rules=[wire.rule(each) for each in self._alerts.rules()])

    @override
    async def DeleteAlertRule(
        self, request: pb.DeleteAlertRuleRequest, context: Context
    ) -> pb.DeleteAlertRuleResponse:
        await self._alerts.delete_rule(request.request_id, request.name)
        return pb.DeleteAlertRuleResponse()

    @override
    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        states = [wire.STATE_OF[state] for state in request.state]
        found, more = await self._alerts.page(states, request.rule, request.page_size, request.page_token)
        return pb.ListAlertsResponse(alerts=[wire.alert(each) for each in found], next_page_token=more)

    @override
    async def StreamAlerts(
        self, request: pb.StreamAlertsRequest, context: Context
    ) -> AsyncIterator[pb.StreamAlertsResponse]:
        number = 0
        async for alert in self._alerts.stream():
            number += 1
            shown = wire.alert(alert) if alert else None
            yield pb.StreamAlertsResponse(stream_sequence=number, alert=shown)

    @override
    async def AcknowledgeAlert(
        self, request: pb.AcknowledgeAlertRequest, context: Context
    ) -> pb.AcknowledgeAlertResponse:
        alert = await self._alerts.acknowledge(
            request.request_id, request.alert_id, request.by, request.comment
        )
        return pb.AcknowledgeAlertResponse(alert=wire.alert(alert))

    @override
    async def CreateSilence(
        self, request: pb.CreateSilenceRequest, context: Context
    ) -> pb.CreateSilenceResponse:
        length_s, labels = wire.seconds(request.duration), dict(request.labels)
        silence = await self._alerts.silence(
            request.request_id, request.rule, labels, length_s, request.comment
        )
        return pb.CreateSilenceResponse(silence=wire.silence(silence))

    @override
    async def ListSilences(
        self, request: pb.ListSilencesRequest, context: Context
    ) -> pb.ListSilencesResponse:
        found = await self._alerts.silences()
        return pb.ListSilencesResponse(silences=[wire.silence(each) for each in found])
