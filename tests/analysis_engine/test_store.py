"""Checkpoints on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from services.analysis_engine.adapters.store import KEPT_SIGNALS, SqliteStore
from services.analysis_engine.domain.edges import Held
from services.analysis_engine.domain.feed import FeedState
from services.analysis_engine.domain.signals import (
    Contribution,
    Evidence,
    Prediction,
    PredictionStatus,
    Side,
    Signal,
)
from services.analysis_engine.ports import Checkpoint, KeptBar
from services.errors import FxError
from services.quant.bars import Bar
from services.quant.ladder import LadderState
from services.quant.timeframes import Timeframe
from services.runtime.fatal import FatalError
from tests.analysis_engine.world import DIGITS

KEY = ("s1", "EURUSD")


def _bar(index: int, timeframe: Timeframe = Timeframe.M1) -> Bar:
    return Bar(
        "EURUSD", timeframe, index * timeframe.ns, DIGITS, 1, 4, 1, 2, 3, 6, 3, 4, 9, partial=index == 3
    )


def _state(session: str = "s1", sequence: int = 7) -> FeedState:
    forming = (_bar(5, Timeframe.S1), None, _bar(5, Timeframe.S10))
    held = {
        (Timeframe.H1, "trend"): Held(Side.SELL, 3, fired=True),
        (Timeframe.M1, "x"): Held(Side.BUY, 0, fired=False),
    }
    ladder = LadderState((5, -(2**63), 0), forming)
    return FeedState(session, "EURUSD", DIGITS, sequence, 123, True, False, 4, 138_650, 138_652, ladder, held)


Opened: TypeAlias = Callable[[], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analysis.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    """Opens the store at `path`; all that were opened are closed."""
    with ExitStack() as stack:

        def another() -> SqliteStore:
            store = SqliteStore(path)
            stack.callback(store.close)
            return store

        yield another


def test_what_was_saved_is_loaded_by_the_next_process(opened: Opened) -> None:
    store = opened()
    bars = [KeptBar(_bar(index), own=index > 1) for index in range(4)]
    store.save([Checkpoint(_state(), bars[:3]), Checkpoint(_state("s2"), ())])
    store.save([Checkpoint(_state(sequence=9), bars[3:])])
    store.close()
    again = opened()
    assert again.load() == [_state("s2"), _state(sequence=9)]
    assert (again.bars(KEY), again.bars(("s2", "EURUSD"))) == (bars, [])


def _signal(number: int) -> Signal:
    prediction = Prediction(
        PredictionStatus.PREDICTED, "p", 0.1 + 0.2, "e", "m", 3, (Contribution("macd", 1 / 3, -0.1),)
    )
    return Signal(
        f"s1:EURUSD:1m:trend:{number}", "s1", "EURUSD", Timeframe.M1, "trend", Side.SELL, 0.7, "because",
        (Evidence("ema(12)", 1.3865),), 60, 120, number, 138_650, 138_652, DIGITS, prediction, number,
    )  # fmt: skip


def test_signals_are_kept_to_the_last_bit_and_only_the_latest(opened: Opened) -> None:
    store = opened()
    store.save([Checkpoint(_state(), (), [_signal(number) for number in range(KEPT_SIGNALS + 5)])])
    store.save([Checkpoint(_state(), (), [_signal(9), _signal(KEPT_SIGNALS + 4)])])
    store.close()
    kept = opened().signals(KEPT_SIGNALS * 2)
    assert (kept[0], kept[-1]) == (_signal(5), _signal(KEPT_SIGNALS + 4))
    assert len(kept) == KEPT_SIGNALS


def test_saving_the_same_bar_again_changes_nothing(opened: Opened) -> None:
    store = opened()
    for _ in range(2):
        store.save([Checkpoint(_state(), [KeptBar(_bar(1), own=True)])])
    assert len(store.bars(KEY)) == 1


def test_what_is_forgotten_or_pruned_is_gone(opened: Opened) -> None:
    store = opened()
    minutes = [KeptBar(_bar(index), own=True) for index in range(5)]
    hours = [KeptBar(_bar(index, Timeframe.H1), own=True) for index in range(5)]
    store.save([Checkpoint(_state(), [*hours, *minutes]), Checkpoint(_state("s2"), minutes)])
    store.prune(KEY, Timeframe.M1, 3 * Timeframe.M1.ns)
    store.forget(("s2", "EURUSD"))
    assert store.load() == [_state()]
    assert store.bars(KEY) == [*hours, *minutes[3:]]
    assert store.bars(("s2", "EURUSD")) == []


def test_a_file_of_another_format_is_begun_anew(path: Path, opened: Opened) -> None:
    store = opened()
    store.save([Checkpoint(_state(), ())])
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = opened()
    assert store.load() == []
    store.save([Checkpoint(_state(), ())])
    assert len(store.load()) == 1


def test_a_save_that_fails_leaves_what_was_there(path: Path, opened: Opened) -> None:
    store = opened()
    store.save([Checkpoint(_state(), ())])
    other = sqlite3.connect(path)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON bars BEGIN SELECT RAISE(ABORT, 'no room'); END")
    other.close()
    with pytest.raises(FxError, match=r"STORE_UNAVAILABLE: the database analysis\.db does not work: no room"):
        store.save([Checkpoint(_state(sequence=8), [KeptBar(_bar(1), own=True)])])
    assert (store.load(), store.bars(KEY)) == ([_state()], [])


async def test_a_store_that_cannot_be_written_says_so(opened: Opened) -> None:
    store = opened()
    await store.check()
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(FxError, match="STORE_UNAVAILABLE"):
        await store.check()


def test_a_file_that_is_no_database_is_named(path: Path, opened: Opened) -> None:
    path.write_text("these are not the pages you are looking for, whoever you may be and whatever you seek")
    with pytest.raises(FatalError, match=r"cannot open the database .*analysis\.db: file is not a database"):
        opened()
