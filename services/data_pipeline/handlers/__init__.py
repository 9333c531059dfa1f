"""Use cases of the pipeline over ports: `ingest` stores events, `queries` answers, `imports` takes files in,
`datasets` builds datasets and features, `scoring` has inference look at stored bars, `executions` keeps runs.
"""

from services.data_pipeline.handlers.datasets import Datasets
from services.data_pipeline.handlers.executions import Executions
from services.data_pipeline.handlers.imports import ImportFile, Imports
from services.data_pipeline.handlers.ingest import Ingest
from services.data_pipeline.handlers.queries import Queries
from services.data_pipeline.handlers.scoring import Scoring

__all__ = ["Datasets", "Executions", "ImportFile", "Imports", "Ingest", "Queries", "Scoring"]
