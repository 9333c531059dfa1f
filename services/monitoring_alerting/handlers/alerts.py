"""Rules, alerts and silences: kept, listed, streamed, acted on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.broadcast import Broadcast
from services.errors import FxError, Kind
from services.monitoring_alerting.domain.alerts import Alert, AlertBook, AlertState, Silence, unknown_alert
from services.monitoring_alerting.domain.rules import BUILT_IN, AlertRule, EventCondition, Finding, News
from services.monitoring_alerting.ports import Clock, Ids, Store
from services.paging import decode_token, encode_token, page_size
from services.requests import Requests


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """An alert and whether a silence covers it."""

    alert: Alert
    silenced: bool


class Alerts:
    """The alert book, stored at every change."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._requests = Requests(store)
        self._clock = clock
        self._ids = ids
        self._book = AlertBook()
        self._in_doubt = False
        self._rules: dict[str, AlertRule] = {rule.name: rule for rule in BUILT_IN}
        self._silences: list[Silence] = []
        self.changes: Broadcast[ShownAlert] = Broadcast()

    async def load(self) -> None:
        """Rules, open alerts and silences of an earlier process."""
        self._rules |= {rule.name: rule for rule in await self._store.rules()}
        self._book = AlertBook(await self._store.open_alerts())
        self._silences = await self._store.silences(self._now_s())

    def _now_s(self) -> float:
        return self._clock.now_ns() / 1e9

    def rules(self) -> list[AlertRule]:
        """By name."""
        return [self._rules[name] for name in sorted(self._rules)]

    def firing(self) -> int:
        """Alerts that fire now."""
        return sum(alert.state is AlertState.FIRING for alert in self._book.open())

    async def observe(self, findings: Sequence[Finding]) -> None:
        """All metric and health conditions that hold now."""
        await self._be_sure()
        await self._changed(self._book.observe(findings, self._now_s()))

    async def event(self, event_id: str, type_name: str, news: News) -> None:
        """An event arrived: every rule about its type fires, or has its alerts end; once for each id."""
        rules = [rule for rule in self.rules() if _is_about(rule, type_name)]
        if not rules or await self._store.heard(event_id):
            return
        await self._be_sure()
        now_s, changed = self._now_s(), []
        for rule in rules:
            for key in news.ends:
                changed += self._book.over(rule.name, {"key": key}, now_s)
            if not news.ends:
                finding = Finding(rule, {"key": news.key}, 1.0, news.summary or rule.description, 0.0)
                changed += self._book.occurred(finding, now_s)
        await self._changed(changed, event_id)

    async def _be_sure(self) -> None:
        """What could not be stored did not happen: the event comes again."""
        if self._in_doubt:
            self._book = AlertBook(await self._store.open_alerts())
            self._in_doubt = False

    async def _changed(self, alerts: Sequence[Alert], event_id: str = "") -> None:
        if alerts or event_id:
            self._in_doubt = True
            await self._store.save_alerts(alerts, event_id)
            self._in_doubt = False
            for alert in alerts:
                self.changes.publish(self._shown(alert))

    def _shown(self, alert: Alert) -> ShownAlert:
        now_s = self._now_s()
        return ShownAlert(alert, any(each.covers(alert, now_s) for each in self._silences))

    async def create_rule(self, request_id: str, rule: AlertRule) -> AlertRule:
        """Add a rule. FxError ALREADY_EXISTS `RULE_EXISTS`."""

        async def act() -> str:
            if rule.name in self._rules or not await self._store.add_rule(rule):
                raise FxError(Kind.ALREADY_EXISTS, "RULE_EXISTS", f"there is a rule {rule.name} already")
            self._rules[rule.name] = rule
            return rule.name

        await self._requests.once(request_id, repr(rule), act)
        return rule

    async def delete_rule(self, request_id: str, name: str) -> None:
        """Remove a rule that somebody added. FxError NOT_FOUND `UNKNOWN_RULE`."""

        async def act() -> str:
            rule = self._rules.get(name)
            if rule is None or rule.built_in or not await self._store.delete_rule(name):
                why = "is built in; silence it instead" if rule and rule.built_in else "does not exist"
                raise FxError(Kind.NOT_FOUND, "UNKNOWN_RULE", f"rule {name} {why}")
            del self._rules[name]
            await self._changed(self._book.drop_rule(name, self._now_s()))
            return ""

        await self._requests.once(request_id, f"delete {name}", act)

    async def page(
        self, states: Sequence[AlertState], rule: str, asked: int, token: str
    ) -> tuple[list[ShownAlert], str]:
        """A page, newest first; without states those that are open."""
        wanted = tuple(states) or (AlertState.PENDING, AlertState.FIRING)
        size, filters = page_size(asked), (tuple(each.value for each in wanted), rule)
        position = decode_token(token, filters)
        found = await self._store.alerts(wanted, rule, str(position[0]) if position else "", size + 1)
        more = encode_token([found[size - 1].alert_id], filters) if len(found) > size else ""
        return [self._shown(alert) for alert in found[:size]], more

    def stream(self) -> AsyncIterator[ShownAlert | None]:
        """Alerts that fire now, then every change."""
        firing = [alert for alert in self._book.open() if alert.state is AlertState.FIRING]
        return self.changes.subscribe(first=[self._shown(alert) for alert in firing])

    async def acknowledge(self, request_id: str, alert_id: str, by: str, comment: str) -> ShownAlert:
        """Somebody has seen it. FxError NOT_FOUND `UNKNOWN_ALERT`, FAILED_PRECONDITION `ALERT_RESOLVED`."""

        async def act() -> str:
            alert = self._book.acknowledge(alert_id, by, comment)
            if alert is None:
                await self._alert(alert_id)
                raise FxError(
                    Kind.FAILED_PRECONDITION, "ALERT_RESOLVED", f"alert {alert_id} is resolved already"
                )
            await self._changed([alert])
            return alert_id

        await self._requests.once(request_id, repr(("acknowledge", alert_id, by, comment)), act)
        return self._shown(await self._alert(alert_id))

    async def _alert(self, alert_id: str) -> Alert:
        alert = await self._store.alert(alert_id)
        if alert is None:
            raise unknown_alert(alert_id)
        return alert

    async def silence(
        self, request_id: str, rule: str, labels: dict[str, str], seconds: float, comment: str
    ) -> Silence:
        """Keep alerts quiet for a while. FxError NOT_FOUND `UNKNOWN_RULE`."""

        async def act() -> str:
            if rule and rule not in self._rules:
                raise FxError(Kind.NOT_FOUND, "UNKNOWN_RULE", f"rule {rule} does not exist")
            now_s = self._now_s()
            silence = Silence(f"s-{self._ids.new()}", rule, labels, now_s, now_s + seconds, comment)
            await self._store.add_silence(silence)
            self._silences.append(silence)
            return silence.silence_id

        content = repr((rule, sorted(labels.items()), seconds, comment))
        return await self._store.silence(await self._requests.once(request_id, content, act))

    async def silences(self) -> list[Silence]:
        """Those that still hold."""
        self._silences = await self._store.silences(self._now_s())
        return self._silences


def _is_about(rule: AlertRule, type_name: str) -> bool:
    return isinstance(rule.condition, EventCondition) and rule.condition.type == type_name
