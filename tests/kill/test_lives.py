"""A thousand crashes of a process inside this one, over the real database file; `make killtest` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.crash import POINTS
from services.runtime.outbox import OutboxRelay
from tests.kill.lives import Lives, Plan, run
from tests.kill.verdict import Books

pytestmark = pytest.mark.timeout(900)
SEEDS = range(1, 11)
STEPS = 40


@pytest.mark.parametrize("seed", SEEDS)
def test_crashes_anywhere_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    lives, wrong = run(tmp_path, seed, STEPS)
    assert wrong == [], f"make killtest SEED={seed} shows it again"
    assert len(lives.crashes) > 50
    assert len(lives.load.history.placed) > 30


def test_a_life_can_end_at_every_point(tmp_path: Path) -> None:
    lives, wrong = run(tmp_path, 1, STEPS, iter([Plan(each, 2) for each in POINTS]))
    assert wrong == []
    assert lives.crashes == list(POINTS)
    kinds = {each.kind for each in Books(lives.file).journal}
    assert kinds >= {
        "Executed",
        "Amended",
        "Trailed",
        "AskDue",
        "DayRolled",
        "SetLimits",
        "SetTradingState",
        "CashMoved",
        "Busted",
    }
    assert kinds >= {
        "SignalDecided",
        "SessionEnded",
        "CancelOrder",
        "OpenAccount",
        "OrdersRefused",
        "OrderDue",
    }


def test_a_seed_gives_the_same_run_again(tmp_path: Path) -> None:
    runs: list[Lives] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(run(tmp_path / name, 7, 16)[0])
    one, two = runs
    assert one.crashes == two.crashes
    assert len(one.crashes) > 10
    assert one.ground.stream.published == two.ground.stream.published
    assert one.load.history == two.load.history


def test_events_removed_before_they_are_published_would_be_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = OutboxRelay._publish

    async def too_early(self: OutboxRelay, story: object, rows: list[object]) -> None:
        await self._store.published(rows[-1].position)  # type: ignore[attr-defined]
        await publish(self, story, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(OutboxRelay, "_publish", too_early)
    _, wrong = run(tmp_path, 1, 8, iter([Plan("outbox.before_publish", 1)] * 5))
    assert any("should be published where" in each for each in wrong), wrong
