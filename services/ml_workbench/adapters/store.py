"""Runs, registry and endpoints in SQLite; each change commits together with its event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.errors import FxError, Kind
from services.ml_workbench import wire
from services.ml_workbench.adapters.documents import deployment_of, dump, endpoint_of, run_of, version_of
from services.ml_workbench.domain.models import Deployment, Endpoint, Model, ModelVersion
from services.ml_workbench.domain.runs import TrainingRun
from services.runtime.answers import AnswerTable
from services.runtime.outbox import Outbox
from services.runtime.store import SqliteStore

SCHEMA = sa.MetaData()
OUTBOX = Outbox(SCHEMA)


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, SCHEMA, *columns)


RUNS = _table(
    "runs",
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.String, nullable=False, unique=True),
    sa.Column("model_name", sa.String, nullable=False, index=True),
    sa.Column("content", sa.String, nullable=False),
)
VERSIONS = _table(
    "versions",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, unique=True),
    sa.Column("content", sa.String, nullable=False),
)
ALIASES = _table(
    "aliases",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)
ENDPOINTS = _table(
    "endpoints",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("content", sa.String, nullable=False),
)
DEPLOYMENTS = _table(
    "deployments",
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("endpoint", sa.String, nullable=False, index=True),
    sa.Column("content", sa.String, nullable=False),
)
ANSWERS = AnswerTable(SCHEMA)


class SqliteWorkbench:
    """`ports.Store`. `wake` tells the outbox relay that there is something to publish."""

    def __init__(self, database: SqliteStore, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def save_run(self, run: TrainingRun, event: str = "") -> None:
        """Insert or replace, with its event."""
        row = {"run_id": run.run_id, "model_name": run.spec.model_name, "content": dump(run)}
        message = wire.run_event(event, run) if event else None

        def save(connection: sa.Connection) -> None:
            statement = insert(RUNS).values(row)
            update = {"content": statement.excluded.content}
            connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=update))
            if message is not None:
                OUTBOX.append(connection, message)

        await self._database.write(save)
        if message is not None:
            self._wake()

    async def run(self, run_id: str) -> TrainingRun | None:
        """One."""
        content = await self._one(sa.select(RUNS.c.content).where(RUNS.c.run_id == run_id))
        return run_of(content) if content else None

    async def runs(self, model_name: str, after: str, limit: int) -> list[TrainingRun]:
        """Newest first."""
        statement = sa.select(RUNS.c.content).order_by(RUNS.c.place.desc()).limit(limit)
        if model_name:
            statement = statement.where(RUNS.c.model_name == model_name)
        if after:
            place = sa.select(RUNS.c.place).where(RUNS.c.run_id == after).scalar_subquery()
            statement = statement.where(RUNS.c.place < place)
        return [run_of(content) for (content,) in await self._all(statement)]

    async def register(self, version: ModelVersion) -> ModelVersion:
        """Add with the next number; once per run."""

        def add(connection: sa.Connection) -> ModelVersion:
            mine = sa.select(VERSIONS.c.content).where(VERSIONS.c.run_id == version.run_id)
            known = connection.execute(mine).scalar()
            if known is not None:
                return version_of(known)
            last = sa.select(sa.func.coalesce(sa.func.max(VERSIONS.c.version), 0))
            number = connection.execute(last.where(VERSIONS.c.name == version.name)).scalar_one() + 1
            added = replace(version, version=number)
            values = {
                "name": added.name,
                "version": number,
                "run_id": added.run_id,
                "content": dump(added),
            }
            connection.execute(VERSIONS.insert().values(values))
            return added

        return await self._database.write(add)

    async def models(self) -> list[Model]:
        """By name, each described by its latest version."""
        statement = sa.select(VERSIONS.c.content).order_by(VERSIONS.c.name, VERSIONS.c.version)
        latest = {each.name: each for each in (version_of(row[0]) for row in await self._all(statement))}
        return [
            Model(name, each.version, each.symbol, each.timeframe, await self.aliases(name))
            for name, each in latest.items()
        ]

    async def versions(self, name: str) -> list[ModelVersion]:
        """Newest first."""
        statement = sa.select(VERSIONS.c.content).where(VERSIONS.c.name == name)
        rows = await self._all(statement.order_by(VERSIONS.c.version.desc()))
        return [version_of(content) for (content,) in rows]

    async def aliases(self, name: str) -> dict[str, int]:
        """Alias to version."""
        statement = sa.select(ALIASES.c.alias, ALIASES.c.version).where(ALIASES.c.name == name)
        rows = await self._all(statement.order_by(ALIASES.c.alias))
        return dict(tuple(row) for row in rows)

    async def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        statement = insert(ALIASES).values(name=name, alias=alias, version=version)
        upsert = statement.on_conflict_do_update(index_elements=["name", "alias"], set_={"version": version})
        await self._database.write(lambda connection: connection.execute(upsert).rowcount)

    async def delete_alias(self, name: str, alias: str) -> bool:
        """Remove; False when there was none."""
        statement = ALIASES.delete().where(ALIASES.c.name == name, ALIASES.c.alias == alias)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount) > 0

    async def endpoint(self, name: str) -> Endpoint | None:
        """One."""
        content = await self._one(sa.select(ENDPOINTS.c.content).where(ENDPOINTS.c.name == name))
        return endpoint_of(content) if content else None

    async def endpoints(self) -> list[Endpoint]:
        """By name."""
        statement = sa.select(ENDPOINTS.c.content).order_by(ENDPOINTS.c.name)
        return [endpoint_of(content) for (content,) in await self._all(statement)]

    async def deploy(self, endpoint: Endpoint, deployment: Deployment) -> None:
        """Both with their event, unless the endpoint changed since it was read."""
        message = wire.deployed_event(endpoint, deployment)

        def save(connection: sa.Connection) -> None:
            current = sa.select(ENDPOINTS.c.revision).where(ENDPOINTS.c.name == endpoint.name)
            if (connection.execute(current).scalar() or 0) != endpoint.revision - 1:
                raise FxError(
                    Kind.ABORTED,
                    "UNKNOWN_ENDPOINT",
                    f"endpoint {endpoint.name} was changed by somebody else meanwhile; look and deploy again",
                )
            row = insert(ENDPOINTS).values(
                name=endpoint.name, revision=endpoint.revision, content=dump(endpoint)
            )
            update = {"revision": row.excluded.revision, "content": row.excluded.content}
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=update))
            values = {"endpoint": endpoint.name, "content": dump(deployment)}
            connection.execute(DEPLOYMENTS.insert().values(values))
            OUTBOX.append(connection, message)

        await self._database.write(save)
        self._wake()

    async def deployments(
        self, endpoint: str, before: int | None, limit: int
    ) -> list[tuple[int, Deployment]]:
        """Newest first with their places."""
        statement = sa.select(DEPLOYMENTS.c.place, DEPLOYMENTS.c.content)
        statement = statement.order_by(DEPLOYMENTS.c.place.desc()).limit(limit)
        if endpoint:
            statement = statement.where(DEPLOYMENTS.c.endpoint == endpoint)
        if before is not None:
            statement = statement.where(DEPLOYMENTS.c.place < before)
        return [(place, deployment_of(content)) for place, content in await self._all(statement)]

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        """What was remembered."""
        return await ANSWERS.recall(self._database, request_id)

    async def remember(self, request_id: str, content: str, result: str) -> None:
        """The first stays."""
        await ANSWERS.remember(self._database, request_id, content, result)

    async def _one(self, statement: sa.Select[Any]) -> Any:
        return await self._database.read(lambda connection: connection.execute(statement).scalar())

    async def _all(self, statement: sa.Select[Any]) -> list[Any]:
        return await self._database.read(lambda connection: list(connection.execute(statement)))
