"""What became of the lines of a file, whether it was replayed or imported."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.marketdata.v1.market_pb2 import RejectCount
from fxmesh.pipeline.v1.pipeline_pb2 import RejectedLines

from services.cli.render import Table, count


def rejected(found: Sequence[RejectCount] | Sequence[RejectedLines], *, whole: bool) -> list[Table]:
    """Lines that were not taken, and what is pointed out; of no such line only a file read whole is told."""
    rows = [
        (
            "warning" if each.warning else "rejected",
            each.reason,
            count(each.count),
            count(each.first_line),
            each.first_detail,
        )
        for each in found
    ]
    if not (rows or whole):
        return []
    headers = ("", "REASON", "LINES", "FIRST LINE", "WHAT WAS THERE")
    return [Table(headers, rows, right=headers[2:4], empty="Every line was taken.")]
