"""Takes tick and bar files in: recognised, read in blocks, stored under a source named by their content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.data_pipeline.domain.executions import Execution, PipelineKind
from services.data_pipeline.handlers.executions import Executions
from services.data_pipeline.ports import Imports as ImportStore
from services.data_pipeline.ports import Upload, Uploads
from services.errors import FxError, Kind
from services.market.formats import (
    BarBlock,
    BarFormat,
    Reading,
    TickBlock,
    fingerprint,
    read_bar_blocks,
    read_tick_blocks,
    sniff,
)
from services.market.formats.rows import BarRow
from services.market.formats.tallies import count_rejects, first_reject
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.uploads import Announced, received

TICK_LINES = 5000
BAR_LINES = 2000
_BY_SECONDS = {each.seconds: each for each in Timeframe}


@dataclass(frozen=True, slots=True)
class ImportFile:
    """What the caller says of a file; empty and None: found out."""

    file_name: str
    symbol: str
    timeframe: Timeframe | None
    format: str
    strict: bool
    content: Announced


class Imports:
    """Imports as pipeline executions."""

    def __init__(self, uploads: Uploads, store: ImportStore, executions: Executions) -> None:
        self._uploads = uploads
        self._store = store
        self._executions = executions
        self._one_at_a_time = asyncio.Lock()

    async def receive(self, parts: AsyncIterator[ImportFile | bytes]) -> tuple[Execution, str]:
        """First the header, then content. Answers once the file is whole; the import runs on.

        FxError INVALID_ARGUMENT with the file's fault when it cannot be a file we know, or `UPLOAD_MISMATCH`.
        """
        upload = self._uploads.begin()
        try:
            header = await received(parts, upload, lambda header: header.content)
            return await self._start(header, upload)
        except BaseException:
            upload.abandon()
            raise

    async def _start(self, header: ImportFile, upload: Upload) -> tuple[Execution, str]:
        path = upload.finish()
        try:
            reading = _open(path, header)
        except FxError as error:
            detail = error.detail.replace(path.name, header.file_name)
            raise FxError(error.kind, error.reason, detail, error.violations) from None
        # A recorded stream or an archive may hold several symbols, each imported for itself.
        source_id = f"import-{fingerprint(path)[:24]}-{reading.instrument.symbol}"
        try:
            execution = await self._executions.begin(
                PipelineKind.IMPORT,
                f"{header.file_name} ({reading.instrument.symbol}, {reading.format.name})",
                lambda execution: self._read(execution, reading, source_id, header, upload),
            )
        except BaseException:
            reading.close()
            raise
        return execution, source_id

    async def _read(
        self,
        execution: Execution,
        reading: Reading[TickBlock] | Reading[BarBlock],
        source_id: str,
        header: ImportFile,
        upload: Upload,
    ) -> None:
        try:
            async with self._one_at_a_time:
                await self._store_blocks(execution, reading, source_id, header)
        finally:
            reading.close()
            upload.abandon()

    async def _store_blocks(
        self,
        execution: Execution,
        reading: Reading[TickBlock] | Reading[BarBlock],
        source_id: str,
        header: ImportFile,
    ) -> None:
        fresh = await self._store.begin(source_id)
        try:
            for block in reading:
                _tally(execution, block)
                execution.rows_read += len(block)
                execution.progress, execution.progress_total = reading.progress
                if fresh and len(block):
                    await self._store_block(source_id, block)
                    execution.rows_written += len(block)
                await asyncio.sleep(0)
        except FxError as error:
            if reading.refused is not None:
                refused = reading.refused
                count_rejects(execution.rejects, [(refused.line, refused.reason, refused.detail)])
            if fresh:
                await self._store.undo(source_id)
                execution.rows_written = 0
            name = reading.summary.file
            raise FxError(error.kind, error.reason, error.detail.replace(name, header.file_name)) from None
        except BaseException:
            if fresh:
                await asyncio.shield(self._store.undo(source_id))
            raise
        if fresh and not execution.rows_written:
            await self._store.undo(source_id)
            raise FxError(
                Kind.INVALID_ARGUMENT,
                "IMPORT_REJECTED",
                f"no line of {header.file_name} could be taken: {first_reject(execution.rejects)}",
            )
        damage = reading.summary.damage
        execution.damage = f"{damage.reason}: {damage.detail}" if damage else ""
        await self._store.finish(source_id)

    async def _store_block(self, source_id: str, block: TickBlock | BarBlock) -> None:
        if isinstance(block, TickBlock):
            await self._store.ticks(block.batch(source_id))
        else:
            await self._store.bars(source_id, [_bar(block, row) for row in block.bars])


def _open(path: Path, header: ImportFile) -> Reading[TickBlock] | Reading[BarBlock]:
    found = sniff(path)
    name, symbol = header.format or None, header.symbol or None
    if not isinstance(found, BarFormat):
        return read_tick_blocks(path, name, symbol, block=TICK_LINES, strict=header.strict)
    seconds = header.timeframe.seconds if header.timeframe else None
    return read_bar_blocks(path, name, symbol, seconds=seconds, block=BAR_LINES, strict=header.strict)


def _tally(execution: Execution, block: TickBlock | BarBlock) -> None:
    rejects = execution.rejects
    count_rejects(rejects, ((each.line, each.reason, each.detail) for each in block.rejects))
    count_rejects(rejects, ((each.line, each.reason, each.detail) for each in block.notes), warning=True)
    if isinstance(block, BarBlock):
        count_rejects(
            execution.rejects,
            (
                (bar.line, "OUTSIDE_MARKET_HOURS", "the bar lies in hours when the market is closed")
                for bar in block.bars
                if bar.outside_hours
            ),
            warning=True,
        )


def _bar(block: BarBlock, row: BarRow) -> Bar:
    """A file with one side only gives that side twice: its spread is unknown, not negative."""
    bid = row.bid or row.ask
    ask = row.ask or row.bid
    timeframe = _BY_SECONDS.get(block.seconds)
    if bid is None or ask is None or timeframe is None:
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "TIMEFRAME_REQUIRED",
            f"bars of {block.seconds} s are no timeframe known here; say which one they are",
        )
    return Bar(block.symbol, timeframe, row.open_ns, block.digits, *bid, *ask, row.volume or 0)
