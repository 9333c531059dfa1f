"""The simulated venue charges overnight financing by itself, by its seed, once a roll."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services.trading_gateway.domain.conditions import Conditions
from services.trading_gateway.domain.opening import next_roll
from services.trading_gateway.domain.reports import CashMoved
from services.trading_gateway.domain.values import CashKind, Side
from tests.trading_gateway.kit import SECOND, START
from tests.venues.subjects import ACCOUNT, Session, Simulated, asked, history, quote

NIGHT = next_roll(START)
CHARGING = Conditions(seed=3, financing_ppm=50_000)


async def nights(folder: Path, conditions: Conditions) -> list[CashMoved]:
    """What is charged for 10,000 EURUSD over three nights, with a restart at the second roll."""
    subject = await Simulated(folder, conditions).open()
    listener = await Session(subject.venue.reports("")).opened()
    await subject.market("1.10000", "1.10010")
    await subject.venue.submit(asked("k1", Side.BUY, "10000"))

    async def at(time_ns: int) -> None:
        await subject.venue.quote(replace(quote(1, "1.10000", "1.10010"), time_ns=time_ns))

    for night in range(3):
        roll = NIGHT + night * 86_400 * SECOND
        await at(roll - SECOND)
        if night == 1:
            await subject.restart()
            await listener.ended()
            listener = await Session(subject.venue.reports("")).opened()
            await at(roll - SECOND)
        await at(roll)
        await at(roll + SECOND)
    found = [each for each in (await history(subject)).reports if isinstance(each, CashMoved)]
    await listener.stop()
    await subject.close()
    return found


async def test_a_position_is_charged_each_night_as_the_seed_has_it(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    found = await nights(tmp_path, CHARGING)
    assert [(each.account_id, each.kind, each.symbol) for each in found] == [
        (ACCOUNT, CashKind.FINANCING, "EURUSD")
    ] * 3
    assert [each.time_ns for each in found] == [NIGHT + night * 86_400 * SECOND for night in range(3)]
    assert len({each.transaction_id for each in found}) == 3
    assert len({each.amount for each in found}) == 3
    # At most 11,000 USD × 5 % / 365 = 1.5068.
    assert all(0 < abs(float(each.amount)) <= 1.5069 for each in found)
    assert await nights(tmp_path / "again", CHARGING) == found


async def test_without_a_rate_nothing_is_charged(tmp_path: Path) -> None:
    assert await nights(tmp_path, replace(CHARGING, financing_ppm=0)) == []
