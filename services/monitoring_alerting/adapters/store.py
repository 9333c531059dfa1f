"""Rules, alerts and silences in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.monitoring_alerting.adapters.documents import alert_of, dump, dump_rule, rule_of, silence_of
from services.monitoring_alerting.domain.alerts import Alert, AlertState, Silence
from services.monitoring_alerting.domain.rules import AlertRule
from services.runtime.answers import AnswerTable
from services.runtime.store import SqliteStore

SCHEMA = sa.MetaData()
RULES = sa.Table(
    "rules",
    SCHEMA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("content", sa.String, nullable=False),
)
ALERTS = sa.Table(
    "alerts",
    SCHEMA,
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("alert_id", sa.String, nullable=False, unique=True),
    sa.Column("rule", sa.String, nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("content", sa.String, nullable=False),
)
SILENCES = sa.Table(
    "silences",
    SCHEMA,
    sa.Column("silence_id", sa.String, primary_key=True),
    sa.Column("expires_s", sa.Integer, nullable=False),
    sa.Column("content", sa.String, nullable=False),
)
INBOX = sa.Table(
    "inbox",
    SCHEMA,
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String, nullable=False, unique=True),
)
INBOX_KEPT = 100_000
"""Ids of events; many more than the bus can deliver again after a crash."""
ANSWERS = AnswerTable(SCHEMA)
OPEN = (AlertState.PENDING.value, AlertState.FIRING.value)


class SqliteAlerts:
    """`ports.Store`."""

    def __init__(self, database: SqliteStore) -> None:
        self._database = database

    async def rules(self) -> list[AlertRule]:
        """Rules that people added."""
        statement = sa.select(RULES.c.content).order_by(RULES.c.name)
        return [rule_of(content) for (content,) in await self._all(statement)]

    async def add_rule(self, rule: AlertRule) -> bool:
        """False when there is one of that name."""
        row = insert(RULES).values(name=rule.name, content=dump_rule(rule))
        return await self._changed(row.on_conflict_do_nothing()) > 0

    async def delete_rule(self, name: str) -> bool:
        """False when there is none."""
        return await self._changed(RULES.delete().where(RULES.c.name == name)) > 0

    async def heard(self, event_id: str) -> bool:
        """Whether it is among the last that had an effect."""
        return bool(await self._all(sa.select(INBOX.c.place).where(INBOX.c.event_id == event_id)))

    async def save_alerts(self, alerts: Sequence[Alert], event_id: str = "") -> None:
        """All in one commit, with the id of the event that they follow from."""

        def save(connection: sa.Connection) -> None:
            if event_id:
                heard = connection.execute(INBOX.insert().values(event_id=event_id))
                place = heard.inserted_primary_key[0] if heard.inserted_primary_key else 0
                connection.execute(INBOX.delete().where(INBOX.c.place <= place - INBOX_KEPT))
            for alert in alerts:
                row = insert(ALERTS).values(
                    alert_id=alert.alert_id, rule=alert.rule, state=alert.state.value, content=dump(alert)
                )
                update = {"state": row.excluded.state, "content": row.excluded.content}
                connection.execute(row.on_conflict_do_update(index_elements=["alert_id"], set_=update))

        await self._database.write(save)

    async def open_alerts(self) -> list[Alert]:
        """Pending and firing."""
        statement = sa.select(ALERTS.c.content).where(ALERTS.c.state.in_(OPEN)).order_by(ALERTS.c.place)
        return [alert_of(content) for (content,) in await self._all(statement)]

    async def alert(self, alert_id: str) -> Alert | None:
        """One."""
        rows = await self._all(sa.select(ALERTS.c.content).where(ALERTS.c.alert_id == alert_id))
        return alert_of(rows[0][0]) if rows else None

    async def alerts(self, states: Sequence[AlertState], rule: str, after: str, limit: int) -> list[Alert]:
        """Newest first."""
        statement = sa.select(ALERTS.c.content).where(ALERTS.c.state.in_([each.value for each in states]))
        if rule:
            statement = statement.where(ALERTS.c.rule == rule)
        if after:
            place = sa.select(ALERTS.c.place).where(ALERTS.c.alert_id == after).scalar_subquery()
            statement = statement.where(ALERTS.c.place < place)
        rows = await self._all(statement.order_by(ALERTS.c.place.desc()).limit(limit))
        return [alert_of(content) for (content,) in rows]

    async def add_silence(self, silence: Silence) -> None:
        """Keep it."""
        values = {
            "silence_id": silence.silence_id,
            "expires_s": int(silence.expires_s) + 1,
            "content": dump(silence),
        }
        await self._changed(SILENCES.insert().values(values))

    async def silence(self, silence_id: str) -> Silence:
        """One that was added, also when it is over."""
        rows = await self._all(sa.select(SILENCES.c.content).where(SILENCES.c.silence_id == silence_id))
        return silence_of(rows[0][0])

    async def silences(self, now_s: float) -> list[Silence]:
        """Those that still hold."""
        statement = sa.select(SILENCES.c.content).where(SILENCES.c.expires_s > int(now_s))
        rows = await self._all(statement.order_by(SILENCES.c.silence_id))
        return [each for each in (silence_of(content) for (content,) in rows) if each.expires_s > now_s]

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        """What was remembered."""
        return await ANSWERS.recall(self._database, request_id)

    async def remember(self, request_id: str, content: str, result: str) -> None:
        """The first stays."""
        await ANSWERS.remember(self._database, request_id, content, result)

    async def _all(self, statement: sa.Select[Any]) -> list[Any]:
        return await self._database.read(lambda connection: list(connection.execute(statement)))

    async def _changed(self, statement: sa.Insert | sa.Delete) -> int:
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)
