"""Limits that are set at run time, and their audit, as messages."""

from __future__ import annotations

from fxmesh.trading.v1 import service_pb2, trading_pb2

from services.trading_gateway.domain.limits import LimitChange, LimitName
from services.wire.times import timestamp

NAME = {each: trading_pb2.RiskLimitName.Value(f"RISK_LIMIT_NAME_{each.name}") for each in LimitName}
_NAME = {value: key for key, value in NAME.items()}


def limit_change(value: LimitChange) -> trading_pb2.RiskLimitChange:
    """One change, as audited."""
    return trading_pb2.RiskLimitChange(
        number=value.number,
        account_id=value.account_id,
        symbol=value.symbol,
        name=NAME[value.name],
        old_value=value.old,
        new_value=value.new,
        changed_by=value.changed_by,
        reason=value.reason,
        time=timestamp(value.time_ns),
        changed_at=timestamp(value.wall_ns),
    )


def wanted_limits(request: service_pb2.SetRiskLimitsRequest) -> tuple[tuple[LimitName, str], ...]:
    """What is to be set, still as typed: its scale depends on account and symbol."""
    return tuple((_NAME[each.name], each.value) for each in request.limits)
