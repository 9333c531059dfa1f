"""Models of LightGBM text. The library takes a second to import: the first load does that in its thread."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from services.errors import FxError, Kind
from services.ml_integration.domain.models import ModelVersion
from services.ml_integration.domain.predictions import Floats

if TYPE_CHECKING:
    from lightgbm import Booster

_TREE_SIZES = re.compile(rb"^tree_sizes=([0-9 ]*)$", re.MULTILINE)


class LightGbmModel:
    """`ports.Model`. One thread a call: with more, single rows are slower and everything else waits."""

    def __init__(self, booster: Booster) -> None:
        self._booster: Any = booster

    def probability(self, row: Floats) -> float:
        """One row."""
        return float(self._booster.predict(row[np.newaxis, :], num_threads=1)[0])

    def probabilities(self, rows: Floats) -> Floats:
        """Many rows."""
        return np.asarray(self._booster.predict(rows, num_threads=1))

    def contributions(self, row: Floats) -> Floats:
        """SHAP values of the trees, exact; they add up to the raw score, the log-odds."""
        found = self._booster.predict(row[np.newaxis, :], pred_contrib=True, num_threads=1)
        return np.asarray(found[0])

    def importance(self) -> tuple[Floats, Floats]:
        """Gain and splits."""
        return (
            np.asarray(self._booster.feature_importance("gain"), dtype=np.float64),
            np.asarray(self._booster.feature_importance("split"), dtype=np.float64),
        )


class LightGbmLoader:
    """`ports.Loader`."""

    async def load(self, artifact: bytes, version: ModelVersion) -> LightGbmModel:
        """Read and try the model in a thread, while the one before goes on answering."""
        return await asyncio.to_thread(_load, artifact, version)


def _load(artifact: bytes, version: ModelVersion) -> LightGbmModel:
    import lightgbm

    if not _whole(artifact):
        raise _corrupt(version, "is no whole LightGBM model")
    try:
        booster = lightgbm.Booster(model_str=artifact.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise _corrupt(version, "cannot be read by LightGBM") from error
    if tuple(booster.feature_name()) != version.feature_names:
        raise _corrupt(version, "takes other features than its version names")
    model = LightGbmModel(booster)
    if not 0 <= model.probability(np.zeros(len(version.feature_names))) <= 1:
        raise _corrupt(version, "gives no probability")
    return model


def _whole(artifact: bytes) -> bool:
    """True when the trees are as long as the header says. LightGBM ends the process on a truncated model
    (std::terminate in one of its threads), so it must never see one.
    """
    sizes = _TREE_SIZES.search(artifact)
    begin, end = artifact.find(b"\nTree=0\n"), artifact.find(b"\nend of trees")
    if sizes is None or end < 0:
        return False
    length = sum(int(each) for each in sizes[1].split())
    return length == (end - begin if begin >= 0 else 0)


def _corrupt(version: ModelVersion, what: str) -> FxError:
    return FxError(
        Kind.FAILED_PRECONDITION,
        "ARTIFACT_CORRUPT",
        f"the artifact of {version.name} {version.version} {what}",
    )
