"""Rules and alerts: what fires, when, for how long; kept over a restart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from fxmesh.trading.v1 import events_pb2 as trading
from fxmesh.trading.v1 import trading_pb2

from services.errors import FxError
from services.monitoring_alerting.adapters.store import SCHEMA, SqliteAlerts
from services.monitoring_alerting.consumers import subscriptions
from services.monitoring_alerting.domain.alerts import AlertState
from services.monitoring_alerting.domain.health import ServiceHealth, ServiceStatus
from services.monitoring_alerting.domain.rules import (
    Aggregation,
    AlertRule,
    Comparison,
    EventCondition,
    MetricCondition,
    News,
    Severity,
    aggregate,
)
from services.monitoring_alerting.domain.series import Sample, Series, SeriesStore
from services.monitoring_alerting.handlers import Alerts, Queries, Watching
from services.monitoring_alerting.ports import Scrape, Target
from services.runtime.clock import EventClock
from services.runtime.ids import Uuid7Ids
from services.runtime.ports import Delivery
from services.runtime.store import SqliteStore

START_NS = 1_700_000_000_000_000_000
QUEUE = MetricCondition("queue", {}, Aggregation.LAST, 60.0, Comparison.GREATER, 10.0, hold_s=4.0)


@dataclass
class FakePlatform:
    """Instances that answer as told: both the directory and the scraper."""

    status: dict[str, ServiceStatus] = field(default_factory=lambda: {"one": ServiceStatus.SERVING})
    queue: float = 0.0
    more: dict[str, list[Sample]] = field(default_factory=dict)

    def services(self) -> Sequence[str]:
        return ("one", "two")

    def targets(self) -> Sequence[Target]:
        return [Target(name, f"{name}-1", "127.0.0.1:1") for name in self.status]

    async def scrape(self, target: Target) -> Scrape:
        status = self.status[target.service]
        health = ServiceHealth(target.service, target.instance_id, target.address, status, (), 0.0, 0.0)
        labels = (("instance", target.instance_id), ("service", target.service))
        return Scrape(health, [Sample("queue", labels, self.queue), *self.more.get(target.service, [])], ())


@dataclass
class Tower:
    """Everything composed on a clock that is moved by hand."""

    clock: EventClock
    platform: FakePlatform
    database: SqliteStore
    alerts: Alerts
    watching: Watching
    queries: Queries

    async def after(self, seconds: float) -> None:
        """One round, so many seconds later."""
        await self.clock.advance_to(self.clock.now_ns() + round(seconds * 1e9))
        await self.watching.round()

    async def listed(self, *states: AlertState) -> list[tuple[str, AlertState]]:
        """(rule, state) of alerts, newest first."""
        found, _ = await self.alerts.page(states, "", 0, "")
        return [(each.alert.rule, each.alert.state) for each in found]


async def opened(folder: Path, clock: EventClock) -> Tower:
    database = SqliteStore.open(folder / "monitoring.sqlite", SCHEMA)
    platform, series = FakePlatform(), SeriesStore(keep_s=3600)
    alerts = Alerts(SqliteAlerts(database), clock, Uuid7Ids(clock))
    await alerts.load()
    watching = Watching(platform, platform, series, alerts, clock)
    return Tower(clock, platform, database, alerts, watching, Queries(watching, series, platform, clock))


@pytest.fixture
def clock() -> EventClock:
    return EventClock(START_NS)


async def test_a_service_that_is_gone_fires_once_it_has_been_gone_long_enough(
    tmp_path: Path, clock: EventClock
) -> None:
    tower = await opened(tmp_path, clock)
    tower.platform.status = {"one": ServiceStatus.SERVING, "two": ServiceStatus.SERVING}
    await tower.after(1)
    assert await tower.listed() == []
    del tower.platform.status["two"]
    await tower.after(1)
    assert await tower.listed() == [("service_down", AlertState.PENDING)]
    await tower.after(5)
    assert await tower.listed() == [("service_down", AlertState.FIRING)]
    assert [each.status for each in await tower.queries.health("two")] == [ServiceStatus.UNREACHABLE]
    tower.platform.status["two"] = ServiceStatus.SERVING
    await tower.after(1)
    assert await tower.listed() == []
    assert await tower.listed(AlertState.RESOLVED) == [("service_down", AlertState.RESOLVED)]
    await tower.database.close()


@pytest.mark.parametrize(
    ("metric", "extra", "rule", "says"),
    [
        (
            "fxmesh_bus_dead_letters_total",
            {"event": "SignalGenerated"},
            "dead_letters",
            "two could not handle SignalGenerated events: see `fxmesh dlq list --consumer two` (",
        ),
        (
            "fxmesh_bus_parked_keys",
            {},
            "keys_parked",
            "events of a key wait at two behind a dead letter: see `fxmesh dlq list --consumer two`, then",
        ),
        (
            "fxmesh_bus_parked_fill_ratio",
            {},
            "parking_filling",
            "two has parked almost as many events of a key as it may: see `fxmesh dlq list --consumer two`",
        ),
        (
            "fxmesh_bus_stream_fill_ratio",
            {"stream": "TRADING_MONEY"},
            "stream_filling",
            "stream TRADING_MONEY, where two publishes, fills up: when it is full it refuses (",
        ),
        (
            "fxmesh_bus_outbox_stuck_seconds",
            {},
            "outbox_stuck",
            "the bus takes no event of two, nobody hears of what it does: see `fxmesh status` (",
        ),
        (
            "fxmesh_bus_outbox_backlog",
            {},
            "outbox_filling",
            "many events of two wait for the bus, soon orders that add risk are refused (",
        ),
    ],
)
async def test_an_alert_about_events_names_the_service_and_where_to_look(
    tmp_path: Path, clock: EventClock, metric: str, extra: dict[str, str], rule: str, says: str
) -> None:
    tower = await opened(tmp_path, clock)
    tower.platform.status["two"] = ServiceStatus.SERVING
    labels = {"service": "two", "instance": "two-1", **extra}
    for value in (0.0, 10_000.0):
        tower.platform.more["two"] = [Sample(metric, tuple(sorted(labels.items())), value)]
        await tower.after(1)
    (found,), _ = await tower.alerts.page((), "", 0, "")
    assert found.alert.rule == rule
    assert found.alert.summary.startswith(says)
    assert found.alert.labels == labels
    await tower.database.close()


async def test_a_metric_rule_fires_above_its_threshold_and_silence_and_acknowledgement_show(
    tmp_path: Path, clock: EventClock
) -> None:
    tower = await opened(tmp_path, clock)
    tower.platform.status["two"] = ServiceStatus.SERVING
    rule = AlertRule("queue_long", "", Severity.WARNING, QUEUE)
    await tower.alerts.create_rule("r1", rule)
    assert await tower.alerts.create_rule("r1", rule) == rule
    with pytest.raises(FxError) as exists:
        await tower.alerts.create_rule("r2", rule)
    assert exists.value.reason == "RULE_EXISTS"
    tower.platform.queue = 11.0
    await tower.after(1)
    await tower.after(4)
    found, _ = await tower.alerts.page((AlertState.FIRING,), "", 0, "")
    assert len(found) == 2
    assert "11" in found[0].alert.summary
    shown = await tower.alerts.acknowledge("a1", found[0].alert.alert_id, "ann", "seen")
    assert shown.alert.acknowledged_by == "ann"
    await tower.alerts.silence("s1", "queue_long", {"service": "one"}, 30.0, "")
    silenced = {
        each.alert.labels["service"]: each.silenced for each in (await tower.alerts.page((), "", 0, ""))[0]
    }
    assert silenced == {"one": True, "two": False}
    await tower.alerts.delete_rule("d1", "queue_long")
    assert await tower.listed() == []
    with pytest.raises(FxError) as over:
        await tower.alerts.acknowledge("a2", found[0].alert.alert_id, "ann", "")
    assert over.value.reason == "ALERT_RESOLVED"
    await tower.database.close()


async def test_a_silence_asked_for_again_when_it_is_over_stays_over(
    tmp_path: Path, clock: EventClock
) -> None:
    tower = await opened(tmp_path, clock)
    silence = await tower.alerts.silence("s1", "service_down", {}, 30.0, "")
    await tower.after(31)
    assert await tower.alerts.silences() == []
    assert await tower.alerts.silence("s1", "service_down", {}, 30.0, "") == silence
    assert await tower.alerts.silences() == []
    await tower.database.close()


async def test_open_alerts_and_rules_survive_a_restart(tmp_path: Path, clock: EventClock) -> None:
    tower = await opened(tmp_path, clock)
    await tower.alerts.create_rule("r1", AlertRule("queue_long", "", Severity.WARNING, QUEUE))
    await tower.after(1)
    await tower.after(6)
    before = [each.alert for each in (await tower.alerts.page((), "", 0, ""))[0]]
    assert [(each.rule, each.state) for each in before] == [("service_down", AlertState.FIRING)]
    await tower.database.close()
    tower = await opened(tmp_path, clock)
    await tower.after(1)
    after = [each.alert for each in (await tower.alerts.page((), "", 0, ""))[0]]
    assert [each.alert_id for each in after] == [each.alert_id for each in before]
    assert "queue_long" in [rule.name for rule in tower.alerts.rules()]
    await tower.database.close()


async def test_a_halt_of_all_is_one_alert_and_ends_when_all_trade_again(
    tmp_path: Path, clock: EventClock
) -> None:
    tower = await opened(tmp_path, clock)
    numbers = count()
    (told,) = subscriptions(["fxmesh.trading.v1.TradingStateChanged"], tower.alerts, lambda _: None)

    async def tell(state: trading_pb2.TradingState.ValueType, *accounts: str, everywhere: bool) -> None:
        events = [
            trading.TradingStateChanged(
                account_id=each, trading_state=state, reason="drill", everywhere=everywhere
            )
            for each in accounts
        ]
        await told.handler([Delivery(each, f"id-{next(numbers)}", "", each.account_id, 1) for each in events])

    async def firing() -> list[str]:
        found, _ = await tower.alerts.page((AlertState.FIRING,), "", 0, "")
        return sorted(each.alert.summary for each in found)

    await tell(trading_pb2.TRADING_STATE_REDUCING, "demo", everywhere=False)
    await tell(trading_pb2.TRADING_STATE_HALTED, "demo", "a", "b", everywhere=True)
    of_all, of_one = "trading of all accounts is halted: drill", "trading of demo is reducing: drill"
    assert await firing() == [of_all, of_one]
    await tell(trading_pb2.TRADING_STATE_ACTIVE, "demo", everywhere=False)
    assert await firing() == [of_all]
    await tell(trading_pb2.TRADING_STATE_ACTIVE, "demo", "a", "b", everywhere=True)
    assert await firing() == []
    await tower.database.close()


async def test_an_event_fires_at_once_counts_and_resolves_after_a_while(
    tmp_path: Path, clock: EventClock
) -> None:
    tower = await opened(tmp_path, clock)
    tower.platform.status["two"] = ServiceStatus.SERVING
    condition = EventCondition("fxmesh.x.v1.Y", resolve_after_s=60.0)
    await tower.alerts.create_rule("r1", AlertRule("y", "", Severity.INFO, condition))
    stream = tower.alerts.stream()
    for number in (1, 2, 2, 3):
        await tower.alerts.event(f"id-{number}", "fxmesh.x.v1.Y", News("k", "it failed"))
    first = await anext(stream)
    assert first is not None
    assert (first.alert.state, first.alert.summary) == (AlertState.FIRING, "it failed")
    (open_one,), _ = await tower.alerts.page((), "", 0, "")
    assert open_one.alert.occurrences == 3
    await tower.after(59)
    assert await tower.listed() == [("y", AlertState.FIRING)]
    await tower.after(2)
    assert await tower.listed() == []
    await tower.database.close()


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [(Aggregation.LAST, 3.0), (Aggregation.MAX, 9.0), (Aggregation.MEAN, 5.5), (Aggregation.RATE, 0.8)],
)
def test_aggregations_and_counters_that_start_again(aggregation: Aggregation, expected: float) -> None:
    series = Series("m", {})
    for time_s, value in ((0, 100.0), (90, 4.0), (95, 6.0), (97, 9.0), (100, 3.0)):
        series.add(time_s, value, 3600)
    # Within the window 4, 6, 9, then a restart and 3: an increase of 2 + 3 + 3 over ten seconds.
    assert aggregate(series, aggregation, 100.0, 20.0) == pytest.approx(expected)
    assert aggregate(series, aggregation, 200.0, 20.0) is None


async def test_queries_name_what_they_do_not_know(tmp_path: Path, clock: EventClock) -> None:
    tower = await opened(tmp_path, clock)
    await tower.after(1)
    ((series, points),) = await tower.queries.query("queue", "one", 60)
    assert (series.labels["service"], [value for _, value in points]) == ("one", [0.0])
    for call, reason in (
        (tower.queries.query("nothing", "", 60), "UNKNOWN_METRIC"),
        (tower.queries.health("three"), "UNKNOWN_SERVICE"),
    ):
        with pytest.raises(FxError) as caught:
            await call
        assert caught.value.reason == reason
    await tower.database.close()
