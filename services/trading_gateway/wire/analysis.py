"""What analysis and inference send, as domain values. Floats end here: what decides becomes whole numbers."""

from __future__ import annotations

from math import isfinite

from fxmesh.analysis.v1 import analysis_pb2
from fxmesh.inference.v1 import events_pb2 as inference_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.errors import FxError, Kind
from services.market.instruments import instrument
from services.quant.timeframes import Timeframe
from services.trading_gateway.domain.autotrade import PPM
from services.trading_gateway.domain.inputs import Opinion, Signal
from services.trading_gateway.domain.values import Side
from services.trading_gateway.handlers.signals import Drift
from services.wire.timeframes import TIMEFRAME, TIMEFRAME_OF
from services.wire.times import nanoseconds

RANGE_INDICATOR = "atr(14)"
_SIDES = {types_pb2.SIDE_BUY: Side.BUY, types_pb2.SIDE_SELL: Side.SELL}


def signal(message: analysis_pb2.Signal) -> Signal:
    """A signal. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED` for one without side or timeframe."""
    timeframe, side = TIMEFRAME_OF.get(message.timeframe), _SIDES.get(message.side)
    if timeframe is None or side is None:
        detail = f"signal {message.signal_id} has no side or timeframe"
        raise FxError(Kind.INVALID_ARGUMENT, "VALIDATION_FAILED", detail)
    prediction = message.prediction
    predicted = prediction.status == analysis_pb2.PREDICTION_STATUS_PREDICTED
    return Signal(
        signal_id=message.signal_id,
        session_id=message.session_id,
        symbol=message.symbol,
        timeframe=timeframe.text,
        timeframe_ns=timeframe.ns,
        strategy=message.strategy,
        side=side,
        strength_ppm=ppm(message.strength),
        probability_ppm=ppm(prediction.probability) if predicted else None,
        bar_open_ns=nanoseconds(message.bar_open_time),
        time_ns=nanoseconds(message.time),
        tick_sequence=message.tick_sequence,
        number=message.session_signal_number,
    )


def opinions(messages: list[analysis_pb2.Signal], about: Signal) -> tuple[Opinion, ...]:
    """Signals of other strategies on the same bar made before `about`: those any run would know of."""
    found = [
        each
        for each in messages
        if each.session_signal_number < about.number
        and each.strategy != about.strategy
        and nanoseconds(each.bar_open_time) == about.bar_open_ns
        and each.side in _SIDES
    ]
    found.sort(key=lambda each: each.session_signal_number)
    return tuple(Opinion(each.strategy, _SIDES[each.side], ppm(each.strength)) for each in found)


def average_range(snapshots: list[analysis_pb2.IndicatorSnapshot], about: Signal) -> int | None:
    """The average true range at the signal's bar as a raw price; None when it is not there."""
    for snapshot in snapshots:
        if nanoseconds(snapshot.bar_open_time) == about.bar_open_ns:
            values = [number for each in snapshot.indicators for number in each.values.values()]
            points: int = 10 ** instrument(about.symbol).digits
            return max(round(values[0] * points), 0) if values and isfinite(values[0]) else None
    return None


def bars_ahead(snapshots: list[analysis_pb2.IndicatorSnapshot], about: Signal) -> int:
    """How many bars the latest snapshot is past the signal's, at most (some bars never existed)."""
    latest = max((nanoseconds(each.bar_open_time) for each in snapshots), default=0)
    return max(latest - about.bar_open_ns, 0) // about.timeframe_ns


def timeframe(about: Signal) -> types_pb2.Timeframe.ValueType:
    """The timeframe of a signal as contracts name it."""
    return TIMEFRAME[Timeframe.parse(about.timeframe)]


def drift(event_id: str, message: inference_pb2.ModelDriftDetected) -> Drift:
    """A report of drift."""
    report = message.report
    worst = report.features[0].feature if report.features else "no feature"
    return Drift(
        event_id,
        message.endpoint,
        f"{report.model_name} v{message.model_version}, index {report.worst_index:.3f}, worst {worst}",
    )


def ppm(share: float) -> int:
    """A share of one in millionths, between none and all."""
    return min(max(round(share * PPM), 0), PPM) if isfinite(share) else 0
