"""The checker of histories: silent about good ones, and it finds whatever is wrong with a bad one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.history import History

CONSUMER = "data_pipeline"
KEYS = ("EURUSD", "USDJPY", "GBPUSD")
Effects = list[tuple[str, str]]


def good(seed: int, count: int) -> tuple[dict[str, list[str]], Effects]:
    """Events by key, and their effects: each key in order, the keys interleaved anyhow."""
    chance = random.Random(seed)
    sent: dict[str, list[str]] = {key: [] for key in KEYS}
    for number in range(count):
        sent[chance.choice(KEYS)].append(f"e{number}")
    turns = [key for key, ids in sent.items() for _ in ids]
    chance.shuffle(turns)
    left = {key: iter(ids) for key, ids in sent.items()}
    return sent, [(key, next(left[key])) for key in turns]


def history(sent: dict[str, list[str]], effects: Effects) -> History:
    made = History((CONSUMER,))
    for key, ids in sent.items():
        made.published(key, *ids)
    for key, each in effects:
        made.effected(CONSUMER, key, each)
    return made


def lose(chance: random.Random, effects: Effects) -> str:
    return effects.pop(chance.randrange(len(effects)))[1]


def double(chance: random.Random, effects: Effects) -> str:
    at = chance.randrange(len(effects))
    effects.insert(chance.randint(at + 1, len(effects)), effects[at])
    return effects[at][1]


def swap(chance: random.Random, effects: Effects) -> str:
    """Two neighbours of one key change places."""
    key = max(KEYS, key=lambda each: sum(key == each for key, _ in effects))
    places = [at for at, (of, _) in enumerate(effects) if of == key]
    first = chance.randrange(len(places) - 1)
    one, other = places[first], places[first + 1]
    effects[one], effects[other] = effects[other], effects[one]
    return effects[other][1]


def invent(chance: random.Random, effects: Effects) -> str:
    effects.insert(chance.randrange(len(effects) + 1), (KEYS[0], "never-sent"))
    return "never-sent"


def move(chance: random.Random, effects: Effects) -> str:
    at = chance.randrange(len(effects))
    key, each = effects[at]
    effects[at] = (next(other for other in KEYS if other != key), each)
    return each


@given(seed=st.integers(0, 2**32), count=st.integers(0, 60))
def test_a_good_history_has_no_faults(seed: int, count: int) -> None:
    assert history(*good(seed, count)).faults() == []


@pytest.mark.parametrize(
    ("mutate", "kinds"),
    [
        (lose, {"lost"}),
        (double, {"doubled"}),
        (swap, {"reordered"}),
        (invent, {"invented"}),
        (move, {"moved", "lost"}),  # where it belonged it is missing
    ],
)
@given(seed=st.integers(0, 2**32), count=st.integers(4, 60))
def test_one_change_of_a_good_history_is_found_and_named(
    mutate: Callable[[random.Random, Effects], str], kinds: set[str], seed: int, count: int
) -> None:
    sent, effects = good(seed, count)
    at_fault = mutate(random.Random(seed), effects)
    faults = history(sent, effects).faults()
    assert {each.kind for each in faults} == kinds
    assert {each.id for each in faults} == {at_fault}


def test_a_consumer_of_whom_nothing_was_heard_lost_everything() -> None:
    silent = History(("monitoring_alerting",))
    silent.published("demo", "o1", "o2")
    assert [(each.kind, each.consumer, each.id) for each in silent.faults()] == [
        ("lost", "monitoring_alerting", "o1"),
        ("lost", "monitoring_alerting", "o2"),
    ]


@pytest.mark.parametrize("happened", [True, False])
def test_what_was_not_acknowledged_may_have_happened_or_not(happened: bool) -> None:
    unsure = History((CONSUMER,))
    unsure.published("demo", "o1")
    unsure.sent("demo", "o2")
    unsure.sent("demo", "o2")  # again, after a time-out
    unsure.published("demo", "o3")
    unsure.effected(CONSUMER, "demo", "o1", *(["o2"] if happened else []), "o3")
    unsure.check()


def test_not_even_what_was_not_acknowledged_may_come_out_of_order() -> None:
    unsure = History()
    unsure.sent("demo", "o1")
    unsure.published("demo", "o2")
    unsure.effected(CONSUMER, "demo", "o2", "o1")
    assert [each.kind for each in unsure.faults()] == ["reordered"]


def test_the_report_shows_the_neighbourhood() -> None:
    sent = {"EURUSD": [f"e{number}" for number in range(9)]}
    effects = [("EURUSD", each) for each in ("e0", "e1", "e2", "e3", "e5", "e4", "e6", "e7", "e8")]
    with pytest.raises(AssertionError) as caught:
        history(sent, effects).check()
    assert str(caught.value) == (
        "1 broken promises\n"
        "reordered at data_pipeline: e4 of key EURUSD\n"
        "  published: e1 e2 e3 [e4] e5 e6 e7\n"
        "  effected:  e2 e3 e5 [e4] e6 e7 e8"
    )
