"""The database of several processes: PostgreSQL behind the same `write` and `read` as SQLite.

It connects when first used, and again whenever the connection is lost, so a server that is away is
UNAVAILABLE `STORE_UNAVAILABLE` until it is back and needs no order of starting. A commit whose answer was
lost is asked for by the number of its transaction. Only where no answer to that comes either, it may have
been made although it failed: callers find out by their keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import ArgumentError, DBAPIError
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from services.errors import FxError, Kind
from services.runtime.store import Database, add_missing, unavailable

T = TypeVar("T")

CONNECT_S = 3
STATEMENT_S = 30
"""A statement of ours that takes so long is stuck."""
LOCK_S = 5
IDLE_S = 10
"""How long a process that stands still in the middle of a commit keeps the locks of it from others. Less
would end commits of a process that an overloaded machine keeps waiting.
"""
_ASK_S = 10.0
"""How long a commit whose answer was lost is asked for. A server that was killed is back by then."""
_ASK_AGAIN_S = 0.05
_TRIES = 3
_SCHEMA_LOCK = 7_310_579_614  # any number that no other program on the database takes for a lock
_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock: nothing was done, and it may work now
_DISK_FULL = "53100"
_UNDECIDED = "in progress"
# Connections, resources, an operator's doing, the system, what the server was configured to; time-outs.
_BROKEN_CLASSES = ("08", "25", "53", "55", "57", "58", "F0", "XX")


def database_address(text: str) -> sa.URL:
    """`text` as the address of a PostgreSQL database. Raises ValueError, which does not repeat it: it may
    hold a password.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() != "postgresql" or not url.database:
        raise ValueError("should be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url.set(drivername="postgresql+psycopg")


class PostgresStore(Database):
    """One database of a server. Its tables are made, or given what they lack, with the first connection."""

    def __init__(self, url: sa.URL, schema: sa.MetaData, log: FilteringBoundLogger) -> None:
        super().__init__(url.database or "")
        self._url = url
        self.guard: Callable[[sa.Connection], None] | None = None
        """Run at the beginning of each transaction that writes; what it raises refuses the transaction."""
        self._schema = schema
        self._log = log
        self._engine = _engine(url)
        self._preparing = threading.Lock()
        self._prepared = False
        self._reader: sa.Connection | None = None
        self._writing: sa.Connection | None = None
        self._transaction = ""
        """Number of the transaction at hand."""
        self._conflict = False
        self._away = False
        self._writer.start()

    @property
    def place(self) -> str:
        """Its address, without a password."""
        shown = self._url.set(drivername="postgresql", password=None)
        return shown.difference_update_query(["password"]).render_as_string()

    def beside(self, schema: sa.MetaData) -> PostgresStore:
        """Other tables of the same database, with a writer of their own."""
        return PostgresStore(self._url, schema, self._log)

    @override
    async def check(self) -> None:
        def writable(connection: sa.Connection) -> bool:
            asked = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"
            return not connection.exec_driver_sql(asked).scalar_one()

        if not await self.read(writable):
            raise unavailable(f"the database {self.name} can only be read")

    # On the writer thread

    @override
    def _commit(self, group: list[Any]) -> list[Any]:
        tries = 0
        while True:
            self._conflict, tries = False, tries + 1
            results = super()._commit(group)
            if not self._conflict or tries == _TRIES:
                return results

    @override
    def _begin(self) -> None:
        if self._writing is not None and not _usable(self._writing):
            self._drop_writer()
        try:
            self._open_writer()
            self._start()
        except (psycopg.OperationalError, DBAPIError):
            if self._writing is None or _usable(self._writing):
                raise
            # It was lost while nobody used it: nothing was asked of the server yet.
            self._drop_writer()
            self._open_writer()
            self._start()
        self._here()
        if self.guard is not None:
            self.guard(self._connection)

    def _start(self) -> None:
        """Both in one message, and the number in the second of its answers."""
        answers = self._raw.execute("BEGIN; SELECT pg_current_xact_id()::text")
        answers.nextset()
        (self._transaction,) = answers.fetchone()

    @override
    def _end(self) -> None:
        try:
            super()._end()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if _usable(self._connection) or not self._committed():
                raise

    def _committed(self) -> bool:
        """What became of the commit whose answer was lost, as the server says it on another connection; False
        too while it does not say.
        """
        self._drop_writer()
        end = time.monotonic() + _ASK_S
        while time.monotonic() < end:
            try:
                self._open_writer()
                asked = self._raw.execute("SELECT pg_xact_status(%s::xid8)", (self._transaction,))
                (status,) = asked.fetchone()
            except (psycopg.Error, DBAPIError):
                self._drop_writer()
                status = _UNDECIDED
            if status != _UNDECIDED:
                self._log.warning("database.commit_found", database=self.name, status=status)
                return bool(status == "committed")
            time.sleep(_ASK_AGAIN_S)
        return False

    def _open_writer(self) -> None:
        if self._writing is None:
            self._writing = self._connection = self._connect()
            self._raw = _raw(self._connection)
            self._raw.execute(f"SET lock_timeout = '{LOCK_S}s'")
            self._raw.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'")

    @override
    def _roll_back(self) -> None:
        if self._writing is None:
            return
        try:
            if self._raw.info.transaction_status is not TransactionStatus.IDLE:
                self._raw.execute("ROLLBACK")
        except psycopg.Error:
            self._drop_writer()

    @override
    def _ends_all(self, failure: Exception) -> bool:
        return _state(failure) in _CONFLICTS or not _usable(self._connection)

    def _drop_writer(self) -> None:
        _close(self._writing)
        self._writing = None

    # On the reader thread

    @override
    def _read(self, run: Callable[[sa.Connection], T]) -> T:
        try:
            return self._read_once(run)
        except (DBAPIError, psycopg.Error) as failure:
            lost = self._reader is not None and not _usable(self._reader)
            self._drop_reader()
            if not lost:
                raise self._for_caller(failure) from failure
        try:
            return self._read_once(run)  # asking twice harms nobody
        except (DBAPIError, psycopg.Error) as failure:
            self._drop_reader()
            raise self._for_caller(failure) from failure

    def _read_once(self, run: Callable[[sa.Connection], T]) -> T:
        if self._reader is None:
            self._reader = self._connect()
        raw = _raw(self._reader)
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._here()
        try:
            return run(self._reader)
        finally:
            if _usable(self._reader):
                raw.execute("ROLLBACK")

    def _drop_reader(self) -> None:
        _close(self._reader)
        self._reader = None

    # Both

    def _connect(self) -> sa.Connection:
        connection = self._engine.connect()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sa.Connection) -> None:
        """Make the tables, and add what those of an earlier release lack; one process at a time."""
        with self._preparing:
            if self._prepared:
                return
            raw = _raw(connection)
            raw.execute("BEGIN")
            raw.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            self._schema.create_all(connection)
            add_missing(connection, self._schema)
            raw.execute("COMMIT")
            self._prepared = True

    @override
    def _error(self, failure: Exception) -> FxError:
        if isinstance(failure, FxError):
            return failure
        self._conflict = _state(failure) in _CONFLICTS
        self._gone(failure)
        if _state(failure) == _DISK_FULL:
            return FxError(
                Kind.RESOURCE_EXHAUSTED, "DISK_FULL", f"no space left for {self.name}", retry_after_s=30.0
            )
        # The driver's own words name hosts, users and files.
        kind = type(getattr(failure, "orig", failure)).__name__
        return unavailable(f"the database {self.name} does not work: {kind}")

    @override
    def _for_caller(self, failure: Exception) -> Exception:
        state = _state(failure)
        orig = getattr(failure, "orig", failure)
        lost = isinstance(orig, psycopg.OperationalError | psycopg.InterfaceError) and state is None
        known = state is not None and (state[:2] in _BROKEN_CLASSES or state in _CONFLICTS)
        return self._error(failure) if lost or known else failure

    def _gone(self, failure: Exception) -> None:
        """Said once an outage, with the driver's reason."""
        if not self._away:
            self._away = True
            cause = getattr(failure, "orig", failure)
            self._log.warning("database.does_not_work", database=self.name, error=str(cause).strip())

    def _here(self) -> None:
        if self._away:
            self._away = False
            self._log.info("database.works_again", database=self.name)

    @override
    def _disconnect(self) -> None:
        self._drop_writer()
        self._drop_reader()
        self._engine.dispose()


def _engine(url: sa.URL) -> sa.Engine:
    # A peer that vanished without a word is found within seconds; what the address says of these wins.
    defaults = {
        "application_name": "fxmesh",
        "connect_timeout": CONNECT_S,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    given = {name: value for name, value in defaults.items() if name not in url.query}
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=given)

    @sa.event.listens_for(engine, "connect")
    def limit(connection: Any, _: object) -> None:
        connection.execute(f"SET statement_timeout = '{STATEMENT_S}s'")
        # What was acknowledged must outlive a power cut, whatever the server's default is.
        synchronous = "set_config('synchronous_commit', 'on', false)"
        connection.execute(f"SELECT {synchronous} WHERE current_setting('synchronous_commit') = 'off'")

    return engine


def _raw(connection: sa.Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def _usable(connection: sa.Connection) -> bool:
    return not connection.closed and not connection.invalidated and not _raw(connection).closed


def _close(connection: sa.Connection | None) -> None:
    """However it is: nothing of it is kept."""
    if connection is not None:
        if not connection.closed and not connection.invalidated:
            connection.invalidate()
        connection.close()


def _state(failure: Exception) -> str | None:
    """SQLSTATE of what the server said; None for what it did not say."""
    state: str | None = getattr(getattr(failure, "orig", failure), "sqlstate", None)
    return state
