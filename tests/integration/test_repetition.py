"""A mutation that is sent twice has one effect, on the running platform: who got no answer may ask again."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.monitoring.v1 import monitoring_pb2
from fxmesh.monitoring.v1 import service_pb2 as monitoring
from fxmesh.monitoring.v1.service_pb2_grpc import MonitoringServiceStub
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types
from fxmesh.workbench.v1 import service_pb2 as workbench
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub
from google.protobuf.duration_pb2 import Duration

from tests.kit.live import LivePlatform, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Count = Callable[[], Awaitable[int]]


@dataclass
class Platform:
    """Stubs of its services, typed as they are at run time."""

    trading: Any
    market: Any
    pipeline: Any
    workbench: Any
    monitoring: Any


@pytest.fixture
async def platform(live: LivePlatform) -> AsyncIterator[Platform]:
    stubs = {
        "trading_gateway": TradingServiceStub,
        "market_data": MarketDataServiceStub,
        "data_pipeline": PipelineServiceStub,
        "ml_workbench": WorkbenchServiceStub,
        "monitoring_alerting": MonitoringServiceStub,
    }
    channels = {name: live.channel(name) for name in stubs}
    yield Platform(*(stub(channels[name]) for name, stub in stubs.items()))
    for channel in channels.values():
        await channel.close()


def key() -> str:
    return uuid.uuid4().hex


async def twice(call: Any, request: Any, count: Count, effects: int = 1) -> Any:
    """Send a request, and again; the first changes the count by `effects`, the second does not."""
    before = await count()
    first = await call(request)
    assert await count() == before + effects
    second = await call(request)
    assert await count() == before + effects
    assert type(second) is type(first)
    return first, second


async def opened(platform: Platform) -> str:
    """A new account, of which nobody else knows."""
    account = f"twice-{key()[:8]}"

    async def accounts() -> int:
        return len((await platform.trading.ListAccounts(trading.ListAccountsRequest())).accounts)

    request = trading.OpenAccountRequest(
        request_id=key(), account_id=account, currency="USD", deposit="100000"
    )
    first, second = await twice(platform.trading.OpenAccount, request, accounts)
    assert first.account.account_id == second.account.account_id == account
    return account


async def test_an_account_is_opened_once_and_its_orders_are_placed_once(platform: Platform) -> None:
    account = await opened(platform)

    async def orders() -> int:
        asked = trading.ListOrdersRequest(account_id=account, page_size=100)
        return len((await platform.trading.ListOrders(asked)).orders)

    async def fills() -> int:
        asked = trading.ListFillsRequest(account_id=account, page_size=100)
        return len((await platform.trading.ListFills(asked)).fills)

    def order(**given: Any) -> trading.PlaceOrderRequest:
        plain = {"account_id": account, "symbol": "EURUSD", "side": types.SIDE_BUY, "size": "1000"}
        return trading.PlaceOrderRequest(**{**plain, "client_order_id": key(), **given})

    bought, again = await twice(
        platform.trading.PlaceOrder, order(type=trading_pb2.ORDER_TYPE_MARKET), orders
    )
    assert bought.order.order_id == again.order.order_id
    assert await fills() == 1
    limit = order(type=trading_pb2.ORDER_TYPE_LIMIT, limit_price="1.05000")
    resting, _ = await twice(platform.trading.PlaceOrder, limit, orders)

    async def revision() -> int:
        asked = trading.GetOrderRequest(order_id=resting.order.order_id)
        return int((await platform.trading.GetOrder(asked)).order.revision)

    amend = trading.AmendOrderRequest(
        request_id=key(), order_id=resting.order.order_id, limit_price="1.04000"
    )
    await twice(platform.trading.AmendOrder, amend, revision, effects=2)  # asked for, and done
    cancel = trading.CancelOrderRequest(request_id=key(), order_id=resting.order.order_id)
    first, second = await platform.trading.CancelOrder(cancel), await platform.trading.CancelOrder(cancel)
    assert first.order.status == second.order.status == trading_pb2.ORDER_STATUS_CANCELLED
    close = trading.ClosePositionRequest(account_id=account, symbol="EURUSD", client_order_id=key())
    await twice(platform.trading.ClosePosition, close, orders)
    assert await fills() == 2
    await twice(
        platform.trading.CancelAllOrders,
        trading.CancelAllOrdersRequest(request_id=key(), account_id=account),
        orders,
        effects=0,
    )


async def test_switches_stay_where_the_last_word_put_them(platform: Platform) -> None:
    """A repetition that comes late must not undo what was said meanwhile."""
    account = await opened(platform)
    halt = trading.SetTradingStateRequest(
        request_id=key(), account_id=account, trading_state=trading_pb2.TRADING_STATE_HALTED
    )
    resume = trading.SetTradingStateRequest(
        request_id=key(), account_id=account, trading_state=trading_pb2.TRADING_STATE_ACTIVE
    )
    on = trading.SetAutoTradeRequest(request_id=key(), account_id=account, auto_trade=True)
    off = trading.SetAutoTradeRequest(request_id=key(), account_id=account, auto_trade=False)
    for request in (halt, resume, halt):
        await platform.trading.SetTradingState(request)
    for wanted in (on, off, on):
        await platform.trading.SetAutoTrade(wanted)
    low, high = (_limit(account, value) for value in ("5", "7"))
    for limits in (low, high, low):
        await platform.trading.SetRiskLimits(limits)
    audit = await platform.trading.ListRiskLimitChanges(
        trading.ListRiskLimitChangesRequest(account_id=account)
    )
    assert [each.new_value for each in audit.changes] == ["7", "5"]
    now = (await platform.trading.GetAccount(trading.GetAccountRequest(account_id=account))).account
    assert now.trading_state == trading_pb2.TRADING_STATE_ACTIVE
    assert now.auto_trade is False


def _limit(account: str, value: str) -> trading.SetRiskLimitsRequest:
    leverage = trading_pb2.RiskLimitSetting(name=trading_pb2.RISK_LIMIT_NAME_LEVERAGE, value=value)
    return trading.SetRiskLimitsRequest(request_id=key(), account_id=account, limits=[leverage])


async def test_rules_and_silences_are_made_once(platform: Platform) -> None:
    name = f"twice-{key()[:8]}"

    async def rules() -> int:
        return len((await platform.monitoring.ListAlertRules(monitoring.ListAlertRulesRequest())).rules)

    async def silences() -> int:
        return len((await platform.monitoring.ListSilences(monitoring.ListSilencesRequest())).silences)

    condition = monitoring_pb2.MetricCondition(
        metric="nothing_has_this_name", comparison=monitoring_pb2.COMPARISON_GREATER, threshold=1.0
    )
    rule = monitoring_pb2.AlertRule(name=name, metric=condition)
    await twice(
        platform.monitoring.CreateAlertRule,
        monitoring.CreateAlertRuleRequest(request_id=key(), rule=rule),
        rules,
    )
    silence = monitoring.CreateSilenceRequest(request_id=key(), rule=name, duration=Duration(seconds=60))
    first, second = await twice(platform.monitoring.CreateSilence, silence, silences)
    assert first == second
    delete = monitoring.DeleteAlertRuleRequest(request_id=key(), name=name)
    await twice(platform.monitoring.DeleteAlertRule, delete, rules, effects=-1)


async def test_runs_and_datasets_are_started_once(platform: Platform) -> None:
    async def runs() -> int:
        asked = workbench.ListTrainingRunsRequest(page_size=1000)
        return len((await platform.workbench.ListTrainingRuns(asked)).runs)

    async def executions() -> int:
        asked = pipeline.ListPipelineExecutionsRequest(page_size=1000)
        return len((await platform.pipeline.ListPipelineExecutions(asked)).executions)

    train = workbench.StartTrainingRequest(request_id=key(), symbol="AUDNZD")
    first, second = await twice(platform.workbench.StartTraining, train, runs)
    assert first.run.run_id == second.run.run_id
    score = pipeline.StartPipelineExecutionRequest(
        request_id=key(),
        kind=pipeline_pb2.PIPELINE_KIND_SCORE,
        symbol="AUDNZD",
        timeframe=types.TIMEFRAME_H1,
    )
    started, again = await twice(platform.pipeline.StartPipelineExecution, score, executions)
    assert started.execution.execution_id == again.execution.execution_id


async def test_a_file_is_uploaded_and_replayed_once(platform: Platform) -> None:
    lines = [f"AUD/CAD,20130102 00:00:{each:02}.000,0.9{each:03},0.9{each + 2:03}\n" for each in range(50)]
    content = "".join(lines).encode()
    header = marketdata.UploadHeader(
        file_name="twice.csv", size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )

    def parts() -> Any:
        return iter(
            [
                marketdata.UploadTickFileRequest(header=header),
                marketdata.UploadTickFileRequest(content=content),
            ]
        )

    uploaded = await platform.market.UploadTickFile(parts())
    assert (await platform.market.UploadTickFile(parts())).file_id == uploaded.file_id

    async def replays() -> int:
        return len((await platform.market.ListReplays(marketdata.ListReplaysRequest())).replays)

    start = marketdata.StartReplayRequest(
        request_id=key(), file_id=uploaded.file_id, pace=market_pb2.REPLAY_PACE_UNPACED
    )
    first, second = await twice(platform.market.StartReplay, start, replays)
    replay = first.replay.replay_id
    assert second.replay.replay_id == replay

    async def over() -> bool:
        now = (await platform.market.GetReplay(marketdata.GetReplayRequest(replay_id=replay))).replay
        return bool(now.ticks_published == len(lines))

    await eventually(over)
    assert (await platform.market.StartReplay(start)).replay.replay_id == replay
