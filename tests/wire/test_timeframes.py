"""Timeframes and their names in the contracts."""

from fxmesh.types.v1 import market_pb2

from services.quant.timeframes import Timeframe
from services.wire.timeframes import TIMEFRAME, TIMEFRAME_OF, timeframe_of, timeframes_of


def test_the_contract_knows_every_timeframe_and_no_other() -> None:
    numbers = set(market_pb2.Timeframe.values()) - {market_pb2.TIMEFRAME_UNSPECIFIED}
    assert set(TIMEFRAME.values()) == numbers
    assert set(TIMEFRAME_OF.values()) == set(Timeframe)


def test_an_unset_one_is_the_default() -> None:
    unset = market_pb2.TIMEFRAME_UNSPECIFIED
    assert timeframe_of(unset, Timeframe.H1) is Timeframe.H1
    assert timeframe_of(unset, None) is None
    assert timeframe_of(market_pb2.TIMEFRAME_M5, None) is Timeframe.M5
    assert timeframes_of([market_pb2.TIMEFRAME_M1, market_pb2.TIMEFRAME_M1]) == {Timeframe.M1}
