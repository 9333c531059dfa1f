"""The simulated venue takes fills back by itself, by its seed, once, also when it began anew meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.trading_gateway.domain.conditions import Conditions
from services.trading_gateway.domain.reports import Busted, Executed
from services.trading_gateway.domain.values import Side
from tests.venues.subjects import Session, Simulated, asked, history

ERRONEOUS = Conditions(seed=3, bust_ppm=400_000)


async def taken_back(folder: Path, *, restarts: bool) -> tuple[int, list[str]]:
    """Fills of 20 orders, and the executions taken back."""
    subject = await Simulated(folder, ERRONEOUS).open()
    listener = await Session(subject.venue.reports("")).opened()
    await subject.market("1.10000", "1.10010")
    for number in range(20):
        await subject.venue.submit(asked(f"k{number}", Side.BUY, "1000"))
    reports = (await history(subject)).reports
    assert not any(isinstance(each, Busted) for each in reports), "not before the next quote"
    if restarts:
        await subject.restart()
        await listener.ended()
        listener = await Session(subject.venue.reports("")).opened()
    for _ in range(3):
        await subject.market("1.10000", "1.10010")
    reports = (await history(subject)).reports
    holdings = (await subject.venue.snapshot()).holdings
    await listener.stop()
    await subject.close()
    taken = [each.execution_id for each in reports if isinstance(each, Busted)]
    fills = sum(isinstance(each, Executed) for each in reports)
    assert sum(each.size for each in holdings) == (fills - len(taken)) * 100_000
    return fills, taken


async def test_a_share_of_its_fills_each_once_and_the_same_ones_in_every_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fills, taken = await taken_back(tmp_path_factory.mktemp("one"), restarts=False)
    assert 3 < len(taken) < fills == 20
    assert len({*taken}) == len(taken)
    assert await taken_back(tmp_path_factory.mktemp("two"), restarts=True) == (fills, taken)
