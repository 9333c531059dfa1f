from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.soak.schedule import KINDS, QUIET_S, schedule


@given(st.integers(0, 2**63), st.floats(0.5, 60))
def test_a_seed_gives_one_schedule_and_faults_do_not_overlap(seed: int, minutes: float) -> None:
    faults = schedule(seed, minutes)
    assert faults == schedule(seed, minutes)
    assert all(one.at_s + one.length_s <= other.at_s for one, other in pairwise(faults))
    assert all(each.at_s + each.length_s <= minutes * 60 - QUIET_S for each in faults)


def test_an_hour_has_every_kind_of_fault() -> None:
    assert {each.kind for each in schedule(1, 60)} == set(KINDS)
