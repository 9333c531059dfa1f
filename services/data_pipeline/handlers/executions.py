"""Runs of pipelines: begun, watched, ended; their three events follow what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from services.data_pipeline.domain.executions import Execution, ExecutionState, PipelineKind
from services.data_pipeline.ports import Catalogue, Clock, Ids, Publisher
from services.errors import FxError, Kind

PROGRESS_S = 0.25
Work = Callable[[Execution], Awaitable[None]]


class Executions:
    """All executions: running ones in memory, the rest in the catalogue."""

    def __init__(self, catalogue: Catalogue, publisher: Publisher, clock: Clock, ids: Ids) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._clock = clock
        self._ids = ids
        self._running: dict[str, Execution] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Executions that a crash cut off are failed now; their rows were undone or are redone by a new
        run.
        """
        for execution in await self._catalogue.executions((), "", 1000):
            if not execution.ended:
                self._end(
                    execution, FxError(Kind.UNAVAILABLE, "SHUTTING_DOWN", "the service stopped meanwhile")
                )
                await self._catalogue.save_execution(execution)
                await self._publisher.ended(execution)

    async def begin(self, kind: PipelineKind, subject: str, work: Work, name: str = "") -> Execution:
        """Start a run in the background; `name` is its own within its kind. Default: a new one."""
        execution = await self._open(kind, subject, name)
        task = asyncio.create_task(self._run(execution, work), name=f"pipeline {execution.execution_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return execution

    async def perform(self, kind: PipelineKind, subject: str, work: Work) -> Execution:
        """Run here and now; raises what the work raises, once it is recorded."""
        execution = await self._open(kind, subject)
        await self._run(execution, work, reraise=True)
        return execution

    async def _open(self, kind: PipelineKind, subject: str, name: str = "") -> Execution:
        execution_id = f"{kind.value}-{name or self._ids.new()}"
        execution = Execution(execution_id, kind, subject, self._clock.now_ns())
        self._running[execution.execution_id] = execution
        await self._catalogue.save_execution(execution)
        await self._publisher.started(execution)
        return execution

    async def _run(self, execution: Execution, work: Work, *, reraise: bool = False) -> None:
        failure: FxError | None = None
        try:
            await work(execution)
        except FxError as error:
            failure = error
        except asyncio.CancelledError:
            failure = FxError(Kind.UNAVAILABLE, "SHUTTING_DOWN", "the service stopped meanwhile")
        self._end(execution, failure)
        await self._catalogue.save_execution(execution)
        self._running.pop(execution.execution_id, None)
        await self._publisher.ended(execution)
        if failure is not None and reraise:
            raise failure

    def _end(self, execution: Execution, failure: FxError | None) -> None:
        execution.ended_ns = self._clock.now_ns()
        execution.state = ExecutionState.COMPLETED if failure is None else ExecutionState.FAILED
        if failure is not None:
            execution.failure_reason, execution.failure = failure.reason, failure.detail

    async def get(self, execution_id: str) -> Execution:
        """FxError NOT_FOUND `UNKNOWN_EXECUTION`."""
        execution = self._running.get(execution_id) or await self._catalogue.execution(execution_id)
        if execution is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_EXECUTION", f"no pipeline execution {execution_id}")
        return execution

    async def list(self, kinds: Sequence[PipelineKind], after: str, limit: int) -> list[Execution]:
        """Newest first."""
        stored = await self._catalogue.executions([kind.value for kind in kinds], after, limit)
        return [self._running.get(each.execution_id, each) for each in stored]

    async def stream(self, execution_id: str) -> AsyncIterator[Execution]:
        """Progress until the end, the end included."""
        execution = await self.get(execution_id)
        while not execution.ended:
            yield execution
            await self._clock.sleep(PROGRESS_S)
        yield execution

    async def close(self) -> None:
        """Cut off what runs; it is recorded as failed."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
