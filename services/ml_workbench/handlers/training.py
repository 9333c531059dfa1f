"""Training runs: queued, run one at a time, registered, deployed if asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.errors import FxError, Kind
from services.market.instruments import instrument
from services.ml_workbench.domain.models import ModelVersion
from services.ml_workbench.domain.runs import TrainingRun, TrainingSpec, TrainingState
from services.ml_workbench.handlers.serving import Serving
from services.ml_workbench.ports import (
    Artifacts,
    Clock,
    Datasets,
    Store,
    TrainedModel,
    Trainer,
    TrainingData,
)
from services.paging import decode_token, encode_token, page_size
from services.requests import Requests, derived_id

PROGRESS_S = 0.25


class Training:
    """All runs: live ones in memory, the rest in the store."""

    def __init__(
        self,
        store: Store,
        datasets: Datasets,
        trainer: Trainer,
        artifacts: Artifacts,
        serving: Serving,
        requests: Requests,
        clock: Clock,
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._trainer = trainer
        self._artifacts = artifacts
        self._serving = serving
        self._requests = requests
        self._clock = clock
        self._live: dict[str, TrainingRun] = {}
        self._queue: asyncio.Queue[TrainingRun] = asyncio.Queue()

    async def recover(self) -> None:
        """After a restart: waiting runs wait again, the one cut off has failed."""
        for run in reversed(await self._store.runs("", "", 1000)):
            if run.state is TrainingState.QUEUED:
                self._enqueue(run)
            elif run.state is TrainingState.RUNNING:
                cut = FxError(Kind.UNAVAILABLE, "SHUTTING_DOWN", "the service stopped; start it again")
                run.end(TrainingState.FAILED, self._clock.now_ns(), cut)
                await self._store.save_run(run, "failed")

    def _enqueue(self, run: TrainingRun) -> None:
        self._live[run.run_id] = run
        self._queue.put_nowait(run)

    async def start(self, request_id: str, spec: TrainingSpec) -> TrainingRun:
        """Queue a run. FxError INVALID_ARGUMENT `BAD_PARAMETER`, `UNKNOWN_SYMBOL`."""
        instrument(spec.symbol)
        spec.checked_parameters()

        async def act() -> str:
            run_id = f"run-{derived_id(request_id)}"
            if await self._store.run(run_id) is None:
                run = TrainingRun(run_id, spec, self._clock.now_ns())
                await self._store.save_run(run)
                self._enqueue(run)
            return run_id

        return await self.get(await self._requests.once(request_id, repr(spec), act))

    async def get(self, run_id: str) -> TrainingRun:
        """FxError NOT_FOUND `UNKNOWN_RUN`."""
        run = self._live.get(run_id) or await self._store.run(run_id)
        if run is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_RUN", f"no training run {run_id}")
        return run

    async def list(self, model_name: str, asked: int, token: str) -> tuple[list[TrainingRun], str]:
        """A page, newest first."""
        size, position = page_size(asked), decode_token(token, model_name)
        found = await self._store.runs(model_name, str(position[0]) if position else "", size + 1)
        more = encode_token([found[size - 1].run_id], model_name) if len(found) > size else ""
        return [self._live.get(each.run_id, each) for each in found[:size]], more

    async def stream(self, run_id: str) -> AsyncIterator[TrainingRun]:
        """Progress until the end, the end included."""
        run = await self.get(run_id)
        while not run.ended:
            yield run
            await self._clock.sleep(PROGRESS_S)
        yield run

    async def cancel(self, request_id: str, run_id: str) -> TrainingRun:
        """Stop a run after the round in hand. FxError FAILED_PRECONDITION `RUN_FINISHED`."""
        run = await self.get(run_id)

        async def act() -> str:
            run.require_running()
            run.cancel_asked = True
            return ""

        await self._requests.once(request_id, f"cancel {run_id}", act)
        return run

    async def run(self) -> None:
        """Loop: train what waits, one after the other."""
        while True:
            run = await self._queue.get()
            await self._train(run)
            self._live.pop(run.run_id, None)

    async def _train(self, run: TrainingRun) -> None:
        run.state, run.started_ns = TrainingState.RUNNING, self._clock.now_ns()
        await self._store.save_run(run, "started")
        try:
            self._stop_if_asked(run)
            data = await self._datasets.fetch(run)
            run.dataset_id = data.dataset_id
            trained = await self._trainer.train(
                data, run.spec, run.spec.checked_parameters(), lambda done: self._progress(run, done)
            )
            self._stop_if_asked(run)
            await self._register(run, data, trained)
        except _Cancelled:
            cancelled = FxError(Kind.FAILED_PRECONDITION, "RUN_FINISHED", "cancelled on request")
            run.end(TrainingState.CANCELLED, self._clock.now_ns(), cancelled)
            await self._store.save_run(run, "failed")
        except FxError as failure:
            run.end(TrainingState.FAILED, self._clock.now_ns(), failure)
            await self._store.save_run(run, "failed")

    def _stop_if_asked(self, run: TrainingRun) -> None:
        if run.cancel_asked:
            raise _Cancelled

    def _progress(self, run: TrainingRun, done: int) -> bool:
        run.rounds_done = done
        return not run.cancel_asked

    async def _register(self, run: TrainingRun, data: TrainingData, trained: TrainedModel) -> None:
        artifact_hash = await self._artifacts.put(trained.artifact)
        spec = run.spec
        version = ModelVersion(
            name=spec.model_name,
            version=0,
            run_id=run.run_id,
            symbol=spec.symbol,
            timeframe=spec.timeframe,
            horizon=spec.horizon,
            feature_names=data.feature_names,
            feature_set_version=data.feature_set_version,
            dataset_id=data.dataset_id,
            dataset_hash=data.content_hash,
            artifact_hash=artifact_hash,
            artifact_bytes=len(trained.artifact),
            metrics=trained.metrics,
            deciles=trained.deciles,
            created_ns=self._clock.now_ns(),
        )
        run.metrics = trained.metrics
        registered = await self._store.register(version)
        if spec.deploy_to:
            await self._serving.deploy(run.run_id, spec.deploy_to, registered.name, str(registered.version))
        run.model_version = registered.version
        run.end(TrainingState.COMPLETED, self._clock.now_ns())
        await self._store.save_run(run, "completed")


class _Cancelled(Exception):
    """A run was cancelled on request."""
