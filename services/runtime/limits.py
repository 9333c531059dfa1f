"""How much a process takes on: sizes of the pools, rates of callers, and how they are written in settings.

The tables here are the defaults. docs/mesh.md says where the numbers come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CANCELS = "cancels"
"""Group of what makes a position or a risk smaller: cancels and the kill switch. Nothing sheds it."""
BUILT_IN_GROUP = "built_in"
"""Group of health and reflection."""
PROTECTED = frozenset({CANCELS, BUILT_IN_GROUP})
"""Groups that take no tokens of a rate limit and are never shed: only their own pool bounds them."""

MAX_PENDING_CALLS = 16_384
"""Calls that gRPC itself holds before it refuses some at random; every pool is refused in order below it."""

_SIZE = re.compile(r"([a-z_]+)=([0-9]+)/([0-9]+)")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class PoolSize:
    """Calls at work at once (`slots`) and how many more may wait for one of them, in order (`queue`)."""

    slots: int
    queue: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_second` tokens come in, at most `burst` are kept."""

    per_second: float
    burst: float


POOLS: Mapping[str, PoolSize] = {
    CANCELS: PoolSize(64, 512),
    # One core serves some hundred a second, and a cancel waits its turn among those at work. Sixteen at work
    # get as many done in a second as thirty-two did, and halve that wait (bench/cancels.py).
    "orders": PoolSize(16, 128),
    "default": PoolSize(512, 2048),
    # Whole tables at a time: a few at once fill a core and the memory.
    "bulk": PoolSize(16, 64),
    # Files come in for minutes, so whoever waits would wait long.
    "uploads": PoolSize(16, 16),
    # A stream holds its slot for as long as it lives, a day perhaps: there is nothing to wait for.
    "streams": PoolSize(512, 0),
    BUILT_IN_GROUP: PoolSize(512, 64),
}
"""By group of `MethodPolicy.bulkhead`, for each service and group on both sides. A group that is not here has
the size of "default".
"""

KEY_RATE = Rate(2_000, 4_000)
"""Of each API key: half of what one process answers, so that no key takes a service from all others."""
SERVICE_RATE = Rate(20_000, 40_000)
"""Of each of the platform's own services: above what a process can answer. Pools and breakers hold a service
back; a rate would cut the work it does for others in the middle.
"""
ANONYMOUS_RATE = SERVICE_RATE
"""Of each host whose callers show no credentials. They get this far with identity off alone, on one machine:
all on it are then one caller, and the platform's own services are among them.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process takes on."""

    pools: Mapping[str, PoolSize] = field(default_factory=lambda: POOLS)
    keys: Rate = KEY_RATE
    services: Rate = SERVICE_RATE
    anonymous: Rate = ANONYMOUS_RATE
    admission: bool = True
    """Whether calls are shed while the process cannot keep up."""

    def pool(self, group: str) -> PoolSize:
        """The size of a group's pool."""
        return self.pools.get(group, self.pools["default"])


def parse_pools(text: object) -> object:
    """`orders=64/256, bulk=4/8` over the defaults. Raises ValueError."""
    if not isinstance(text, str):
        return text
    pools = dict(POOLS)
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _SIZE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no GROUP=SLOTS/QUEUE such as orders=64/256")
        group, slots, queue = match[1], int(match[2]), int(match[3])
        if group not in POOLS:
            raise ValueError(f"there is no group {group!r}: known are {', '.join(POOLS)}")
        if not 1 <= slots <= slots + queue < MAX_PENDING_CALLS:
            raise ValueError(f"{part!r}: needs a slot, and fewer than {MAX_PENDING_CALLS} calls in all")
        pools[group] = PoolSize(slots, queue)
    return pools


def parse_rate(text: object) -> object:
    """`2000/4000`: tokens a second, and how many are kept. Raises ValueError."""
    if not isinstance(text, str):
        return text
    match = _RATE.fullmatch(text.strip())
    if match is None or not float(match[1]) or float(match[2]) < 1:
        raise ValueError("is no TOKENS_A_SECOND/BURST such as 2000/4000")
    return Rate(float(match[1]), float(match[2]))
