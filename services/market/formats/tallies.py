"""How many lines of a file were refused, reason by reason, and the first of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class RejectTally:
    """Lines of one reason. `warning`: taken all the same."""

    count: int
    first_line: int
    first_detail: str
    warning: bool = False


def count_rejects(
    tallies: dict[str, RejectTally], rejects: Iterable[tuple[int, str, str]], *, warning: bool = False
) -> None:
    """Add (line, reason, detail) of each line to `tallies`, by reason."""
    for line, reason, detail in rejects:
        tally = tallies.get(reason)
        if tally is None:
            tallies[reason] = RejectTally(1, line, detail, warning)
        else:
            tally.count += 1


def first_reject(tallies: Mapping[str, RejectTally]) -> str:
    """Where and why a line was refused first, in words; what was only pointed out comes last."""
    if not tallies:
        return "it has none"
    reason, tally = min(tallies.items(), key=lambda each: (each[1].warning, each[1].first_line))
    return f"line {tally.first_line}: {reason}: {tally.first_detail}"
