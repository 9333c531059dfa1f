"""A dataset: features and labels of stored bars, named by its definition and content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What a dataset is made of. `horizon` in bars; `start_ns`, `end_ns` bound opening times, None: all."""

    symbol: str
    timeframe: Timeframe
    start_ns: int | None
    end_ns: int | None
    horizon: int
    source_id: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """`open_ns` (n,), `features` (n, names), `labels` (n,) of 0 and 1, oldest first."""

    open_ns: npt.NDArray[np.int64]
    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int8]

    def content_hash(self) -> str:
        """SHA-256 over the values in a fixed byte order."""
        digest = hashlib.sha256()
        for part in (self.open_ns.astype("<i8"), self.features.astype("<f8"), self.labels.astype("i1")):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as listed. `rows_without_features`: bars left out for lack of history or future."""

    dataset_id: str
    spec: DatasetSpec
    start_ns: int
    end_ns: int
    rows: int
    rows_without_features: int
    feature_names: tuple[str, ...]
    feature_set_version: int
    content_hash: str
    created_ns: int


def dataset_id(spec: DatasetSpec, version: int, content_hash: str) -> str:
    """The same definition over the same bars gives the same id."""
    text = f"{spec.symbol}/{spec.timeframe}/{spec.horizon}/{version}/{content_hash}"
    return f"ds-{spec.symbol.lower()}-{spec.timeframe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
