"""Pipeline events out through the bus."""

from __future__ import annotations

from fxmesh.pipeline.v1 import events_pb2

from services.data_pipeline import wire
from services.data_pipeline.domain.executions import Execution, ExecutionState
from services.runtime.ports import Bus


class BusPublisher:
    """`ports.Publisher`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def started(self, execution: Execution) -> None:
        """A pipeline began."""
        await self._bus.publish(
            events_pb2.PipelineExecutionStarted(
                execution_id=execution.execution_id, execution=wire.execution(execution)
            )
        )

    async def ended(self, execution: Execution) -> None:
        """It completed or failed."""
        content = wire.execution(execution)
        if execution.state is ExecutionState.COMPLETED:
            await self._bus.publish(
                events_pb2.PipelineExecutionCompleted(execution_id=execution.execution_id, execution=content)
            )
        else:
            await self._bus.publish(
                events_pb2.PipelineExecutionFailed(execution_id=execution.execution_id, execution=content)
            )
