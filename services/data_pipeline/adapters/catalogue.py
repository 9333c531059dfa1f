"""Executions, datasets, scores and answered requests in DuckDB; rows of datasets as .npz files beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.adapters.event_store import insert
from services.data_pipeline.domain.datasets import Dataset, DatasetSpec, Rows
from services.data_pipeline.domain.executions import Execution, ExecutionState, PipelineKind
from services.data_pipeline.ports import Scores
from services.market.formats.tallies import RejectTally
from services.quant.timeframes import Timeframe


class DuckCatalogue:
    """`ports.Catalogue`."""

    def __init__(self, duck: Duck, folder: Path) -> None:
        self._duck = duck
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def save_execution(self, execution: Execution) -> None:
        """Insert or replace."""
        content = json.dumps(asdict(execution), default=lambda value: value.value)
        row = [execution.execution_id, execution.kind.value, execution.started_ns, content]
        await self._put("INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?)", row)

    async def execution(self, execution_id: str) -> Execution | None:
        """One."""
        rows = await self._duck.rows("SELECT content FROM executions WHERE execution_id = ?", [execution_id])
        return _execution(rows[0][0]) if rows else None

    async def executions(self, kinds: Sequence[str], before: str, limit: int) -> list[Execution]:
        """Newest first: by start, then by id."""
        names = list(kinds)
        sql = """SELECT content FROM executions
          WHERE (len(?) = 0 OR kind IN (SELECT unnest(?)))
            AND (? = '' OR (started_ns, execution_id) <
                 (SELECT (started_ns, execution_id) FROM executions WHERE execution_id = ?))
          ORDER BY started_ns DESC, execution_id DESC LIMIT ?"""
        rows = await self._duck.rows(sql, [names, names or [""], before, before, limit])
        return [_execution(content) for (content,) in rows]

    async def save_dataset(self, dataset: Dataset, rows: Rows) -> None:
        """The file first: a dataset that is listed has its rows."""
        await asyncio.to_thread(self._save_rows, dataset.dataset_id, rows)
        content = json.dumps(asdict(dataset), default=lambda value: value.value)
        row = [dataset.dataset_id, dataset.spec.symbol, dataset.created_ns, content]
        await self._put("INSERT OR IGNORE INTO datasets VALUES (?, ?, ?, ?)", row)

    def _save_rows(self, dataset_id: str, rows: Rows) -> None:
        path = self._folder / f"{dataset_id}.npz"
        part = path.with_suffix(".part.npz")
        np.savez(part, open_ns=rows.open_ns, features=rows.features, labels=rows.labels)
        part.replace(path)

    async def dataset(self, dataset_id: str) -> Dataset | None:
        """One."""
        rows = await self._duck.rows("SELECT content FROM datasets WHERE dataset_id = ?", [dataset_id])
        return _dataset(rows[0][0]) if rows else None

    async def datasets(self, symbol: str) -> list[Dataset]:
        """Newest first."""
        sql = "SELECT content FROM datasets WHERE ? = '' OR symbol = ? ORDER BY created_ns DESC, dataset_id"
        return [_dataset(content) for (content,) in await self._duck.rows(sql, [symbol, symbol])]

    async def rows(self, dataset_id: str) -> Rows:
        """The rows of a dataset."""

        def load() -> Rows:
            with np.load(self._folder / f"{dataset_id}.npz") as arrays:
                return Rows(arrays["open_ns"], arrays["features"], arrays["labels"])

        return await asyncio.to_thread(load)

    async def save_scores(self, execution_id: str, scores: Scores) -> None:
        """Keep predictions of stored bars."""
        count = len(scores.open_ns)
        constant: dict[str, Any] = {
            "execution_id": execution_id,
            "symbol": scores.symbol,
            "timeframe": scores.timeframe.text,
        }
        batch: dict[str, Any] = {
            name: np.full(count, value, dtype=object) for name, value in constant.items()
        }
        batch["open_ns"] = np.asarray(scores.open_ns, dtype=np.int64)
        batch["probability_up"] = np.asarray(scores.probability_up, dtype=np.float64)
        batch["endpoint"] = np.full(count, scores.endpoint, dtype=object)
        batch["model_name"] = np.full(count, scores.model_name, dtype=object)
        batch["model_version"] = np.full(count, scores.model_version, dtype=np.int32)
        await self._duck.write(lambda c: insert(c, "INSERT INTO scores SELECT * FROM batch", batch))

    async def remember(self, request_id: str, content: str, result: str) -> None:
        """The first stays."""
        await self._put("INSERT OR IGNORE INTO requests VALUES (?, ?, ?)", [request_id, content, result])

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        """What was remembered."""
        sql = "SELECT fingerprint, result FROM requests WHERE request_id = ?"
        rows = await self._duck.rows(sql, [request_id])
        return (rows[0][0], rows[0][1]) if rows else None

    async def _put(self, statement: str, row: list[Any]) -> None:
        await self._duck.execute(statement, row)


def _execution(content: str) -> Execution:
    fields = json.loads(content)
    fields["kind"] = PipelineKind(fields["kind"])
    fields["state"] = ExecutionState(fields["state"])
    fields["rejects"] = {reason: RejectTally(**tally) for reason, tally in fields["rejects"].items()}
    return Execution(**fields)


def _dataset(content: str) -> Dataset:
    fields = json.loads(content)
    spec = fields["spec"]
    spec["timeframe"] = Timeframe.parse(spec["timeframe"])
    fields["spec"] = DatasetSpec(**spec)
    fields["feature_names"] = tuple(fields["feature_names"])
    return Dataset(**fields)
