"""Timestamps there and back, before and after 1970, present and absent."""

import pytest
from fxmesh.pipeline.v1.service_pb2 import ListBarsRequest

from services.wire.times import moment, nanoseconds, time_ns, timestamp


@pytest.mark.parametrize("time", [-1, 0, 1, 1_357_020_000_123_456_789])
def test_a_time_comes_back_to_the_nanosecond(time: int) -> None:
    assert nanoseconds(moment(time)) == time
    assert 0 <= moment(time).nanos < 1_000_000_000


def test_what_is_not_yet_stays_absent_and_what_is_absent_is_none() -> None:
    request = ListBarsRequest(start=timestamp(0), end=timestamp(5))
    assert timestamp(None) is None
    assert (time_ns(request, "start"), time_ns(request, "end")) == (None, 5)
    assert time_ns(ListBarsRequest(start=moment(0)), "start") == 0
