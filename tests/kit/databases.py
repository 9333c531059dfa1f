"""The kinds of database that a service may keep its state in: what is proven on one is proven on each.

A test that takes the fixture `databases` runs once a kind. A folder stands for a database: opened again by
the same folder, it is the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.runtime.database import open_database
from services.runtime.postgres import database_address
from services.runtime.store import Database
from tests.kit.events import quiet_log
from tests.kit.postgres import PostgresServer, postgres

__all__ = ["Databases", "databases", "postgres"]


class Databases:
    """Databases of one kind: files, or schemas of a PostgreSQL database, which are made quicker than whole
    ones.
    """

    def __init__(self, server: PostgresServer | None = None) -> None:
        self.server = server
        self._schemas: dict[Path, str] = {}

    @property
    def kind(self) -> str:
        return "sqlite" if self.server is None else "postgresql"

    def address(self, folder: Path) -> str:
        """The setting that names the database of a folder."""
        if self.server is None:
            return ""
        if folder not in self._schemas:
            name = f"s{self.server.number()}"
            self.server.ask(f"CREATE SCHEMA {name}")
            self._schemas[folder] = name
        return f"{self.server.url()}&options=-csearch_path%3D{self._schemas[folder]}"

    def open(self, path: Path, schema: sa.MetaData) -> Database:
        """The database of the folder of a file, as a service opens it."""
        return open_database(self.address(path.parent), path, schema, quiet_log())

    def engine(self, path: Path) -> sa.Engine:
        """The same, to be looked at from outside."""
        address = self.address(path.parent)
        return sa.create_engine(database_address(address) if address else f"sqlite:///{path}")


SQLITE = Databases()
_chosen = [SQLITE]


def chosen() -> Databases:
    """What the test at hand runs on."""
    return _chosen[-1]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.integration]),
    ]
)
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Each kind in turn."""
    server = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    _chosen.append(Databases(server))
    yield _chosen[-1]
    _chosen.pop()
