"""The venues that conformance is asked of. A new one is a new entry of `SUBJECTS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from services.trading_gateway.domain.conditions import Conditions
from tests.venues.fault_venue import Faults, FaultVenue
from tests.venues.subjects import Simulated, Subject


async def _simulated(folder: Path) -> Subject:
    return await Simulated(folder).open()


async def _harsh(folder: Path) -> Subject:
    """Parts, slippage, latency: what may be heard of an order is no less ordered for it."""
    conditions = Conditions(seed=5, slippage_ticks=3, partial_ppm=500_000)
    return await Simulated(folder, conditions).open()


async def _faulty(folder: Path) -> Subject:
    """Reports late, doubled and in any order; what it answers when it is asked is true."""
    return FaultVenue(Random(11), Faults(doubled=0.5, late=0.5, shuffled=0.7))


SUBJECTS: dict[str, Callable[[Path], Awaitable[Subject]]] = {
    "simulated": _simulated,
    "harsh": _harsh,
    "faulty": _faulty,
}


@pytest_asyncio.fixture(params=sorted(SUBJECTS))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    made = await SUBJECTS[request.param](tmp_path)
    await made.market("1.10000", "1.10010")
    yield made
    await made.close()
