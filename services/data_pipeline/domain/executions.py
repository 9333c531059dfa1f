"""One run of a pipeline: what it does, how far it is, what it refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.market.formats.tallies import RejectTally


class PipelineKind(Enum):
    """What a pipeline does."""

    IMPORT = "import"
    DATASET = "dataset"
    SCORE = "score"
    EXPORT = "export"


class ExecutionState(Enum):
    """Where an execution is."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(slots=True)
class Execution:
    """Times are wall nanoseconds; `progress` counts bytes of a file or rows."""

    execution_id: str
    kind: PipelineKind
    subject: str
    started_ns: int
    state: ExecutionState = ExecutionState.RUNNING
    rows_read: int = 0
    rows_written: int = 0
    progress: int = 0
    progress_total: int = 0
    ended_ns: int | None = None
    failure_reason: str = ""
    failure: str = ""
    output: str = ""
    damage: str = ""
    rejects: dict[str, RejectTally] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Over, one way or the other."""
        return self.state is not ExecutionState.RUNNING
