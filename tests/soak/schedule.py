"""What goes wrong when: drawn from a seed, so that the same seed gives the same schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass

FIRST_S = 5.0
QUIET_S = 15.0
"""At the end nothing goes wrong any more, so that load is seen to work again."""
SERVICES = (
    "trading_gateway",
    "market_data",
    "analysis_engine",
    "data_pipeline",
    "ml_integration",
    "ml_workbench",
    "monitoring_alerting",
)
LINK = "trading link"
# kind: (weight, targets, shortest and longest in seconds). After a kill that is room for the restart.
KINDS: dict[str, tuple[int, tuple[str, ...], float, float]] = {
    "kill": (5, SERVICES, 4.0, 8.0),
    "freeze": (4, SERVICES, 1.0, 8.0),
    "kill nats": (2, ("nats",), 4.0, 6.0),
    "freeze nats": (2, ("nats",), 1.0, 6.0),
    "reset": (2, (LINK,), 0.5, 1.0),
    "delay": (1, (LINK,), 2.0, 6.0),
    "slow": (1, (LINK,), 2.0, 6.0),
    "slice": (1, (LINK,), 2.0, 6.0),
    "stall": (1, (LINK,), 1.0, 6.0),
    "black hole": (1, (LINK,), 2.0, 8.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`at_s` counts from the beginning of the load."""

    at_s: float
    kind: str
    target: str
    length_s: float

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.kind:11s} {self.target:20s} for {self.length_s:.1f} s"


def schedule(seed: int, minutes: float) -> list[Fault]:
    """Faults one after the other, with some seconds of peace in between."""
    chance = random.Random(seed)
    weights = [weight for weight, *_ in KINDS.values()]
    faults: list[Fault] = []
    at_s = FIRST_S
    while True:
        (kind,) = chance.choices(list(KINDS), weights)
        _, targets, shortest, longest = KINDS[kind]
        fault = Fault(
            round(at_s, 1), kind, chance.choice(targets), round(chance.uniform(shortest, longest), 1)
        )
        if fault.at_s + fault.length_s > minutes * 60 - QUIET_S:
            return faults
        faults.append(fault)
        at_s = fault.at_s + fault.length_s + chance.uniform(1.0, 6.0)
