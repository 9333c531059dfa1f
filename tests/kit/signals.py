"""A signal as analysis sends it, for whatever trades on one."""

from __future__ import annotations

from fxmesh.analysis.v1 import analysis_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.wire.times import timestamp

_MINUTE_NS = 60 * 1_000_000_000


def strong_signal(
    number: int,
    side: types_pb2.Side.ValueType,
    session: str,
    tick: int,
    *,
    bar_ns: int,
    time_ns: int,
) -> analysis_pb2.Signal:
    """One of EURUSD that any policy acts on: the `number`th of a session, made by its tick `tick` at
    `time_ns`, on the minute that ended at `bar_ns`.
    """
    return analysis_pb2.Signal(
        signal_id=f"{session}:EURUSD:1m:trend:{number}",
        session_id=session,
        symbol="EURUSD",
        timeframe=types_pb2.TIMEFRAME_M1,
        strategy="trend",
        side=side,
        strength=0.8,
        bar_open_time=timestamp(bar_ns - _MINUTE_NS),
        time=timestamp(time_ns),
        tick_sequence=tick,
        session_signal_number=number,
        prediction=analysis_pb2.SignalPrediction(
            status=analysis_pb2.PREDICTION_STATUS_PREDICTED, probability=0.6
        ),
    )
