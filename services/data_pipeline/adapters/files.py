"""Files on their way in, and Parquet files on their way out."""

from __future__ import annotations

from pathlib import Path

import duckdb

from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.adapters.history import FIRST_NS, LAST_NS
from services.data_pipeline.domain.records import Span
from services.quant.timeframes import Timeframe
from services.uploads import FolderUpload


class FolderUploads:
    """`ports.Uploads`: temporary files in a folder that is emptied at the start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()

    def begin(self) -> FolderUpload:
        """Take a new file."""
        return FolderUpload(self._folder, "data_pipeline")


class ParquetExports:
    """`ports.Exports`: DuckDB writes Parquet itself; prices stay scaled integers with their digits."""

    def __init__(self, duck: Duck, folder: Path) -> None:
        self._duck = duck
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def bars(self, symbol: str, timeframe: Timeframe, span: Span, name: str) -> tuple[str, int]:
        """Bars of all sources, newest source of a time first among equals."""
        path = self._folder / name
        start = FIRST_NS if span.start_ns is None else span.start_ns
        end = LAST_NS if span.end_ns is None else span.end_ns

        def copy(connection: duckdb.DuckDBPyConnection) -> int:
            selected = connection.sql(
                "SELECT * FROM bars WHERE symbol = ? AND timeframe = ? AND open_ns >= ? AND open_ns < ?"
                " ORDER BY open_ns, stored DESC",
                params=[symbol, timeframe.text, start, end],
            )
            selected.write_parquet(str(path))
            row = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
            return int(row[0]) if row else 0

        return f"{self._folder.name}/{name}", await self._duck.read(copy)
