"""The pipeline, over its stub: a run's dataset and its rows."""

from __future__ import annotations

import numpy as np
from fxmesh.pipeline.v1 import service_pb2, service_pb2_grpc

from services.ml_workbench.domain.runs import TrainingRun
from services.ml_workbench.ports import TrainingData
from services.runtime.ports import Channels
from services.wire.timeframes import TIMEFRAME
from services.wire.times import timestamp


class PipelineDatasets:
    """`ports.Datasets`."""

    def __init__(self, channels: Channels) -> None:
        self._stub = service_pb2_grpc.PipelineServiceStub(channels.to("fxmesh.pipeline.v1.PipelineService"))

    async def fetch(self, run: TrainingRun) -> TrainingData:
        """The run's id is the request's: asking again after a lost answer builds nothing twice."""
        spec = run.spec
        created = await self._stub.CreateDataset(
            service_pb2.CreateDatasetRequest(
                request_id=run.run_id,
                symbol=spec.symbol,
                timeframe=TIMEFRAME[spec.timeframe],
                start=timestamp(spec.start_ns),
                end=timestamp(spec.end_ns),
                horizon=spec.horizon,
            )
        )
        dataset_id = created.dataset.dataset_id
        dataset = (await self._stub.GetDataset(service_pb2.GetDatasetRequest(dataset_id=dataset_id))).dataset
        features, labels = [], []
        chunks = self._stub.GetDatasetFeatures(service_pb2.GetDatasetFeaturesRequest(dataset_id=dataset_id))
        async for chunk in chunks:
            features.append(np.column_stack([np.array(column.values) for column in chunk.features]))
            labels.append(np.array(chunk.label, dtype=np.float64))
        return TrainingData(
            dataset_id,
            dataset.content_hash,
            tuple(dataset.feature_names),
            dataset.feature_set_version,
            np.concatenate(features),
            np.concatenate(labels),
        )
