"""Timeframes as contracts name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from fxmesh.types.v1 import market_pb2

from services.quant.timeframes import Timeframe

Default = TypeVar("Default", Timeframe, None)

TIMEFRAME: Final = {each: market_pb2.Timeframe.Value(f"TIMEFRAME_{each.name}") for each in Timeframe}
TIMEFRAME_OF: Final = {value: key for key, value in TIMEFRAME.items()}


def timeframe_of(value: market_pb2.Timeframe.ValueType, default: Default) -> Timeframe | Default:
    """A timeframe of a request; `default` where it is unset."""
    return TIMEFRAME_OF[value] if value else default


def timeframes_of(values: Iterable[market_pb2.Timeframe.ValueType]) -> frozenset[Timeframe]:
    """Timeframes of a request."""
    return frozenset(TIMEFRAME_OF[value] for value in values)
