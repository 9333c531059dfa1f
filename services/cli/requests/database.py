"""Copying the books from a file into a PostgreSQL database, and going back to the file on purpose."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import ArgumentError
from structlog.typing import FilteringBoundLogger

from services.cli.home import Home
from services.cli.output import CliError, ExitCode, print_json, text_table
from services.cli.progress import Bar
from services.runtime.data_dir import DataDir
from services.runtime.fatal import FatalError
from services.runtime.moved import forget
from services.runtime.postgres import PostgresStore, database_address
from services.runtime.store import SqliteStore
from services.trading_gateway.adapters.moving import Moved, move
from services.trading_gateway.adapters.schema import Schema

_FILE = "trading.db"


async def copy(home: Path, source: str, target: str, *, as_json: bool) -> None:
    """Copy, compare and show. Raises CliError, and FxError as `move`."""
    file, address = _file(home, source), _address(target)
    with _held(file):
        moved = await _moved(file, address, as_json=as_json)
    _show(moved, file, address, as_json=as_json)


async def take_back(home: Path, source: str, *, as_json: bool) -> None:
    """Let a gateway work on books again that were copied away. Raises CliError."""
    file = _file(home, source)
    with _held(file):
        books = _open(file, Schema())
        try:
            to = await books.write(forget)
        finally:
            await books.close()
    if as_json:
        print_json({"file": str(file), "to": to})
    elif to:
        print(f"A gateway may work on {file} again. What was traded at {to} since the copy is not in it.")
    else:
        print(f"The books in {file} were never copied away: a gateway may work on them.")


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """No gateway works on it meanwhile."""
    try:
        folder = DataDir(file.parent)
    except FatalError as failure:
        raise CliError("BOOKS_IN_USE", f"{failure}.", "", ExitCode.REFUSED) from failure
    try:
        yield
    finally:
        folder.close()


def _open(file: Path, schema: Schema) -> SqliteStore:
    try:
        return SqliteStore.open(file, schema.metadata)
    except FatalError as failure:
        raise CliError("NO_BOOKS", f"{failure}.") from failure


async def _moved(file: Path, address: sa.URL, *, as_json: bool) -> list[Moved]:
    schema = Schema()
    source = _open(file, schema)
    target = PostgresStore(address, schema.metadata, _quiet())
    try:
        with Bar(as_json) as bar:

            def told(table: str, done: int, rows: int) -> None:
                bar.at(done, rows, f"{table}: {done:,} of {rows:,}")

            bar.stage("copying")
            return await move(source, target, schema, told)
    finally:
        await source.close()
        await target.close()


def _quiet() -> FilteringBoundLogger:
    """Standard output is for the answer, which says what a database has against it."""
    errors_only = structlog.make_filtering_bound_logger(logging.ERROR)
    return structlog.wrap_logger(structlog.PrintLogger(sys.stderr), wrapper_class=errors_only)  # type: ignore[no-any-return]


def _show(moved: list[Moved], file: Path, address: sa.URL, *, as_json: bool) -> None:
    if as_json:
        tables = [
            {"table": each.table, "rows": each.content.rows, "digest": each.content.digest} for each in moved
        ]
        print_json(
            {
                "from": str(file),
                "to": address.set(drivername="postgresql").render_as_string(),
                "tables": tables,
            }
        )
        return
    rows = [(each.table, f"{each.content.rows:,}", each.content.digest[:16]) for each in moved]
    print(text_table(("table", "rows", "digest of both"), rows, frozenset({1})))
    total = sum(each.content.rows for each in moved)
    print(f"\nCopied and compared: {total:,} rows. The journal is whole. The file stays at {file}.")
    print("From now on start with FXMESH_TRADING_GATEWAY_DATABASE_URL naming the database.")
    print(
        "A gateway without it refuses the file, until `fxmesh database copy --undo` gives it back as it is."
    )


def _file(home: Path, source: str) -> Path:
    if not source:
        file = Home.at(home).data / "trading_gateway" / _FILE
    else:
        try:
            url = sa.make_url(source)
        except (ArgumentError, ValueError):
            url = None
        if url is None or url.get_backend_name() != "sqlite" or not url.database:
            raise CliError("USAGE", "--from should be sqlite:///FILE.", "", ExitCode.USAGE)
        file = Path(url.database).absolute()
    if not file.is_file():
        raise CliError("NO_BOOKS", f"There are no books at {file}.", "Name them with --from sqlite:///FILE.")
    return file


def _address(target: str) -> sa.URL:
    try:
        return database_address(target)
    except ValueError as wrong:
        raise CliError("USAGE", f"--to {wrong}.", "", ExitCode.USAGE) from wrong
