"""Protobuf ↔ domain of the pipeline, both ways, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fxmesh.analysis.v1 import events_pb2 as analysis_events
from fxmesh.inference.v1 import events_pb2 as inference_events
from fxmesh.marketdata.v1 import events_pb2 as marketdata_events
from fxmesh.pipeline.v1 import pipeline_pb2, service_pb2
from fxmesh.trading.v1 import events_pb2 as trading_events
from fxmesh.types.v1 import market_pb2 as types_pb2
from fxmesh.workbench.v1 import events_pb2 as workbench_events
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClassesForFiles
from google.protobuf.timestamp_pb2 import Timestamp

from services.data_pipeline.domain.datasets import Dataset, DatasetSpec, Rows
from services.data_pipeline.domain.executions import Execution, ExecutionState, PipelineKind
from services.data_pipeline.domain.records import EventRecord, Span, StoredCount
from services.data_pipeline.handlers import ImportFile
from services.data_pipeline.handlers.datasets import FeatureVector
from services.data_pipeline.handlers.queries import BarQuery
from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.quant.bars import BAR_PRICES, Bar
from services.quant.features import FEATURE_NAMES, FEATURE_SET_VERSION
from services.quant.timeframes import Timeframe
from services.runtime.ports import Delivery
from services.uploads import Announced
from services.wire.bars import bar_of
from services.wire.ticks import tick_batch, tick_columns
from services.wire.timeframes import TIMEFRAME, timeframe_of
from services.wire.times import nanoseconds, time_ns, timestamp

KIND = {
    PipelineKind.IMPORT: pipeline_pb2.PIPELINE_KIND_IMPORT,
    PipelineKind.DATASET: pipeline_pb2.PIPELINE_KIND_DATASET,
    PipelineKind.SCORE: pipeline_pb2.PIPELINE_KIND_SCORE,
    PipelineKind.EXPORT: pipeline_pb2.PIPELINE_KIND_EXPORT,
}
KIND_OF = {value: key for key, value in KIND.items()}
STATE = {
    ExecutionState.RUNNING: pipeline_pb2.EXECUTION_STATE_RUNNING,
    ExecutionState.COMPLETED: pipeline_pb2.EXECUTION_STATE_COMPLETED,
    ExecutionState.FAILED: pipeline_pb2.EXECUTION_STATE_FAILED,
}
_EVENT_FILES = [
    module.DESCRIPTOR.name
    for module in (analysis_events, inference_events, marketdata_events, trading_events, workbench_events)
]
_CLASSES = GetMessageClassesForFiles(_EVENT_FILES, marketdata_events.DESCRIPTOR.pool)


def span(message: Message) -> Span:
    """The start and end of a request."""
    return Span(time_ns(message, "start"), time_ns(message, "end"))


def tick_event(event: marketdata_events.PriceTickReceived) -> TickBatch:
    """Ticks of an event."""
    return tick_batch(event.session_id, event.symbol, event.first_sequence, event.ticks)


def event_record(delivery: Delivery) -> EventRecord:
    """Any event other than ticks, with its envelope."""
    event, headers = delivery.event, delivery.headers
    return EventRecord(
        event_id=delivery.id,
        type=event.DESCRIPTOR.full_name,
        key=delivery.key,
        source_id=str(getattr(event, "session_id", "")),
        published_ns=_wall_ns(headers.get("ce-time", "")),
        correlation_id=headers.get("correlation-id", ""),
        causation_id=headers.get("causation-id", ""),
        payload=event.SerializeToString(deterministic=True),
        bar=_closed_bar(event.bar) if isinstance(event, analysis_events.BarClosed) else None,
    )


def _closed_bar(message: types_pb2.Bar) -> Bar:
    return bar_of(message, instrument(message.symbol).digits)


def _wall_ns(text: str) -> int:
    if not text:
        return 0
    stamp = Timestamp()
    stamp.FromJsonString(text)
    return nanoseconds(stamp)


def bar_columns(bars: Sequence[Bar]) -> types_pb2.BarColumns:
    """Bars as packed columns."""
    prices = {name: [getattr(each, name) for each in bars] for name in BAR_PRICES}
    return types_pb2.BarColumns(
        price_exponent=-bars[0].digits if bars else 0,
        open_time_ns=[each.open_ns for each in bars],
        tick_count=[each.tick_count for each in bars],
        **prices,
    )


def read_ticks(batch: TickBatch) -> service_pb2.ReadTicksResponse:
    """Ticks as packed columns."""
    return service_pb2.ReadTicksResponse(first_sequence=batch.first_sequence, ticks=tick_columns(batch))


def bar_query(request: service_pb2.ListBarsRequest | service_pb2.ReadBarsRequest) -> BarQuery:
    """What bars a request wants."""
    latest = isinstance(request, service_pb2.ListBarsRequest) and request.latest
    frame = timeframe_of(request.timeframe, Timeframe.M1)
    return BarQuery(request.symbol, frame, span(request), request.source_id, latest)


def stored_event(value: EventRecord) -> pipeline_pb2.StoredEvent:
    """A stored event with its JSON form."""
    message = _CLASSES[value.type].FromString(value.payload)
    return pipeline_pb2.StoredEvent(
        event_id=value.event_id,
        type=value.type,
        key=value.key,
        published_at=timestamp(value.published_ns),
        correlation_id=value.correlation_id,
        causation_id=value.causation_id,
        json=MessageToJson(message, indent=None, preserving_proto_field_name=True),
    )


def stored_count(value: StoredCount) -> pipeline_pb2.StoredCount:
    """A count."""
    return pipeline_pb2.StoredCount(name=value.name, count=value.count)


def execution(value: Execution) -> pipeline_pb2.PipelineExecution:
    """An execution and its progress."""
    return pipeline_pb2.PipelineExecution(
        execution_id=value.execution_id,
        kind=KIND[value.kind],
        state=STATE[value.state],
        subject=value.subject,
        rows_read=value.rows_read,
        rows_written=value.rows_written,
        rejects=[
            pipeline_pb2.RejectedLines(
                reason=reason,
                count=tally.count,
                first_line=tally.first_line,
                first_detail=tally.first_detail,
                warning=tally.warning,
            )
            for reason, tally in sorted(value.rejects.items())
        ],
        progress=value.progress,
        progress_total=value.progress_total,
        started_at=timestamp(value.started_ns),
        ended_at=timestamp(value.ended_ns),
        failure_reason=value.failure_reason,
        failure=value.failure,
        output=value.output,
        damage=value.damage,
    )


def import_part(request: service_pb2.ImportFileRequest) -> ImportFile | bytes:
    """A message of an import: its header, or content."""
    if not request.HasField("header"):
        return request.content
    header = request.header
    frame = timeframe_of(header.timeframe, Timeframe.M1) if header.timeframe else None
    content = Announced(header.size_bytes, header.sha256)
    return ImportFile(header.file_name, header.symbol, frame, header.format, header.strict, content)


def dataset_spec(request: service_pb2.CreateDatasetRequest) -> DatasetSpec:
    """What dataset a request wants."""
    wanted = span(request)
    frame = timeframe_of(request.timeframe, Timeframe.H1)
    return DatasetSpec(
        request.symbol, frame, wanted.start_ns, wanted.end_ns, request.horizon, request.source_id
    )


def dataset(value: Dataset) -> pipeline_pb2.Dataset:
    """A dataset's definition."""
    return pipeline_pb2.Dataset(
        dataset_id=value.dataset_id,
        symbol=value.spec.symbol,
        timeframe=TIMEFRAME[value.spec.timeframe],
        start=timestamp(value.start_ns),
        end=timestamp(value.end_ns),
        horizon=value.spec.horizon,
        label=pipeline_pb2.LABEL_KIND_DIRECTION,
        rows=value.rows,
        rows_without_features=value.rows_without_features,
        feature_names=value.feature_names,
        feature_set_version=value.feature_set_version,
        content_hash=value.content_hash,
        created_at=timestamp(value.created_ns),
    )


def dataset_rows(value: Dataset, rows: Rows) -> service_pb2.GetDatasetFeaturesResponse:
    """A chunk of a dataset as columns."""
    return service_pb2.GetDatasetFeaturesResponse(
        open_time_ns=rows.open_ns.tolist(),
        features=[
            service_pb2.FeatureColumn(name=name, values=np.ascontiguousarray(rows.features[:, column]))
            for column, name in enumerate(value.feature_names)
        ],
        label=rows.labels.tolist(),
    )


def feature_vector(value: FeatureVector) -> service_pb2.GetFeaturesResponse:
    """Features of one bar."""
    return service_pb2.GetFeaturesResponse(
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        bar_open_time=timestamp(value.open_ns),
        feature_names=FEATURE_NAMES,
        values=value.values,
        feature_set_version=FEATURE_SET_VERSION,
    )
