"""One signal a setup: a condition that goes on holding says nothing new."""

from __future__ import annotations

from dataclasses import dataclass

from services.analysis_engine.domain.signals import Side
from services.analysis_engine.domain.strategies import Call, Stance


@dataclass(frozen=True, slots=True)
class Held:
    """The setup a strategy is in on one timeframe, the bars since it began, whether it gave its signal."""

    setup: Side
    age: int
    fired: bool


def step(held: Held | None, stance: Stance, patience: int | None) -> tuple[Held | None, Call | None]:
    """The state after a bar and the call to give out, if any.

    The first setup ever seen counts as given: it began before anybody watched.
    """
    setup = stance.setup or (held.setup if held else None)
    if setup is None:
        return None, None
    if held is None:
        return Held(setup, 0, fired=True), None
    new = setup is not held.setup
    held = Held(setup, 0 if new else held.age + 1, held.fired and not new)
    call = stance.call
    if call is None or held.fired or (patience is not None and held.age > patience):
        return held, None
    return Held(held.setup, held.age, fired=True), call
