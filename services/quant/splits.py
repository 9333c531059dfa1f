"""Dividing labelled rows in time, so that validation measures foresight and not memory.

A label spans time: a training row whose label ends after validation begins has seen it. Such rows are purged,
and an embargo keeps a further distance, because features of neighbouring rows share most of their bars.
After M. Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.errors import FxError, Kind, invalid_field
from services.quant.series import IntArray


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers for training and validation, oldest first; validation begins at `cut_ns`."""

    train: IntArray
    valid: IntArray
    cut_ns: int


def purged_split(time_ns: IntArray, end_ns: IntArray, valid_share: float = 0.2, embargo_ns: int = 0) -> Split:
    """Validate on the last `valid_share` of the rows, train on those that ended `embargo_ns` before them.

    Rows may be of several symbols and in any order. `time_ns` is when a row's features are known, `end_ns`
    when its label is, shape (n,) each; give rows with known labels only. Rows of one time stay together.
    Raises FxError INVALID_ARGUMENT `BAD_PARAMETER`, FAILED_PRECONDITION `TRAINING_DATA_TOO_SMALL` when a
    side would be empty.
    """
    if not 0 < valid_share < 1:
        raise invalid_field("BAD_PARAMETER", "valid_share", f"lies between 0 and 1, not {valid_share}")
    if embargo_ns < 0:
        raise invalid_field("BAD_PARAMETER", "embargo_ns", f"is not negative: {embargo_ns}")
    order = np.argsort(time_ns, kind="stable")
    first_valid = int(len(order) * (1 - valid_share))
    if not 0 < first_valid < len(order):
        raise _too_small(f"{len(order)} rows cannot be divided {valid_share:g} to {1 - valid_share:g}")
    cut_ns = int(time_ns[order[first_valid]])
    train = order[(time_ns[order] < cut_ns) & (end_ns[order] <= cut_ns - embargo_ns)]
    valid = order[time_ns[order] >= cut_ns]
    if not len(train):
        raise _too_small(
            f"none of {len(order)} rows ends before validation begins: more rows or a shorter horizon"
        )
    return Split(train, valid, cut_ns)


def _too_small(detail: str) -> FxError:
    return FxError(Kind.FAILED_PRECONDITION, "TRAINING_DATA_TOO_SMALL", detail)
