"""Protobuf ↔ domain of analysis, both ways, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from fxmesh.analysis.v1 import analysis_pb2, events_pb2, service_pb2
from fxmesh.inference.v1 import inference_pb2
from fxmesh.inference.v1 import service_pb2 as inference_service_pb2
from fxmesh.marketdata.v1 import events_pb2 as market_events_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.message import Message

from services.analysis_engine.domain.signals import (
    ClosedBar,
    Contribution,
    Finding,
    FoundPattern,
    Prediction,
    PredictionStatus,
    Side,
    Signal,
    Snapshot,
)
from services.analysis_engine.domain.strategies import Strategy
from services.analysis_engine.handlers import BookHeard, Heard, QuoteHeard, TicksHeard
from services.analysis_engine.ports import Importance, PredictionRequest
from services.market.clock import MarketClock
from services.market.progress import FeedProgress
from services.money.decimals import format_decimal
from services.quant.indicators import Indicator, indicator_spec
from services.quant.timeframes import Timeframe
from services.tracing import NO_STORY, Story
from services.wire.bars import bar
from services.wire.ticks import tick_batch
from services.wire.timeframes import TIMEFRAME
from services.wire.times import nanoseconds, timestamp

SIDE = {Side.BUY: types_pb2.SIDE_BUY, Side.SELL: types_pb2.SIDE_SELL, None: types_pb2.SIDE_UNSPECIFIED}
STATUS = {
    PredictionStatus.PREDICTED: analysis_pb2.PREDICTION_STATUS_PREDICTED,
    PredictionStatus.NO_MODEL: analysis_pb2.PREDICTION_STATUS_NO_MODEL,
    PredictionStatus.UNAVAILABLE: analysis_pb2.PREDICTION_STATUS_UNAVAILABLE,
    PredictionStatus.NOT_ENOUGH_BARS: analysis_pb2.PREDICTION_STATUS_NOT_ENOUGH_BARS,
}


# In: what peers say


def heard(event: Message, story: Story = NO_STORY) -> Heard:
    """What market data published, and its story. Raises ValueError for columns that do not fit each other."""
    if isinstance(event, market_events_pb2.PriceTickReceived):
        batch = tick_batch(event.session_id, event.symbol, event.first_sequence, event.ticks)
        return TicksHeard(batch, market_clock(event.clock), event.session_ended, story)
    if isinstance(event, market_events_pb2.MarketDataUpdated):
        return QuoteHeard(event.symbol, market_clock(event.clock), story)
    if isinstance(event, market_events_pb2.OrderBookUpdated):
        return BookHeard(event.session_id, event.symbol, event.book.sequence, imbalance(event))
    raise ValueError(f"analysis does not consume {event.DESCRIPTOR.full_name}")


def market_clock(value: types_pb2.MarketClock) -> MarketClock:
    """A market clock."""
    return MarketClock(value.session_id, nanoseconds(value.time), value.speed, value.sequence)


def imbalance(event: market_events_pb2.OrderBookUpdated) -> float | None:
    """(bid size - ask size) / (bid size + ask size) over all levels; None without sizes."""
    bids = sum(int(level.size) for level in event.book.bids)
    asks = sum(int(level.size) for level in event.book.asks)
    return (bids - asks) / (bids + asks) if bids + asks else None


def prediction(value: inference_pb2.Prediction) -> Prediction:
    """What inference answered."""
    return Prediction(
        PredictionStatus.PREDICTED,
        value.prediction_id,
        value.probability_up,
        value.endpoint,
        value.model_name,
        value.model_version,
        tuple(Contribution(each.feature, each.value, each.contribution) for each in value.contributions),
    )


def importance(value: inference_service_pb2.GetFeatureImportanceResponse) -> Importance:
    """What a model goes by."""
    gain = {each.feature: each.gain for each in value.importance}
    return Importance(value.model_name, value.model_version, gain)


# Out: what they are told


def predict_request(request: PredictionRequest) -> inference_service_pb2.PredictRequest:
    """A prediction to ask for, by the endpoint that serves the symbol and timeframe."""
    return inference_service_pb2.PredictRequest(
        symbol=request.symbol,
        timeframe=TIMEFRAME[request.timeframe],
        features=inference_service_pb2.Features(
            values=request.features, feature_set_version=request.feature_set_version
        ),
        bar_open_time=timestamp(request.bar_open_ns),
        contributions=True,
        prediction_id=request.prediction_id,
        signal_id=request.signal_id,
    )


def event(finding: Finding) -> Message:
    """A finding as event."""
    match finding:
        case ClosedBar():
            return bar_event(finding)
        case Snapshot():
            return indicators_event(finding)
        case FoundPattern():
            return pattern_event(finding)
        case Signal():
            return signal_event(finding)


def bar_event(closed: ClosedBar) -> events_pb2.BarClosed:
    """A bar as event."""
    value = closed.bar
    return events_pb2.BarClosed(
        session_id=closed.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        open_time_ns=value.open_ns,
        bar=bar(value),
        tick_sequence=closed.tick_sequence,
    )


def indicators_event(value: Snapshot) -> events_pb2.IndicatorCalculated:
    """A snapshot as event."""
    return events_pb2.IndicatorCalculated(
        session_id=value.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        open_time_ns=value.open_ns,
        snapshot=snapshot(value),
    )


def pattern_event(value: FoundPattern) -> events_pb2.PatternDetected:
    """A pattern as event."""
    return events_pb2.PatternDetected(
        session_id=value.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        open_time_ns=value.open_ns,
        pattern_name=value.name,
        pattern=pattern(value),
    )


def signal_event(value: Signal) -> events_pb2.SignalGenerated:
    """A signal as event."""
    return events_pb2.SignalGenerated(
        signal_id=value.signal_id, session_id=value.session_id, symbol=value.symbol, signal=signal(value)
    )


def snapshot(value: Snapshot) -> analysis_pb2.IndicatorSnapshot:
    """Indicators at a bar; outputs that are still warming up are left out."""
    message = analysis_pb2.IndicatorSnapshot(
        session_id=value.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        bar_open_time=timestamp(value.open_ns),
    )
    add = message.indicators.add
    for text, numbers in value.values.items():
        values = add(indicator=text).values
        for name, number in numbers.items():
            if not isnan(number):
                values[name] = number  # a third of the cost of handing a dict to the constructor
    return message


def pattern(value: FoundPattern) -> analysis_pb2.Pattern:
    """A pattern."""
    return analysis_pb2.Pattern(
        session_id=value.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        bar_open_time=timestamp(value.open_ns),
        pattern=value.name,
        direction=SIDE[value.side],
        strength=value.strength,
    )


def signal(value: Signal) -> analysis_pb2.Signal:
    """A signal with its prediction."""
    return analysis_pb2.Signal(
        signal_id=value.signal_id,
        session_id=value.session_id,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        strategy=value.strategy,
        side=SIDE[value.side],
        strength=value.strength,
        reason=value.reason,
        evidence=[analysis_pb2.Evidence(name=each.name, value=each.value) for each in value.evidence],
        bar_open_time=timestamp(value.bar_open_ns),
        time=timestamp(value.time_ns),
        tick_sequence=value.tick_sequence,
        bid=format_decimal(value.bid, value.digits),
        ask=format_decimal(value.ask, value.digits),
        prediction=_signal_prediction(value.prediction, value.side),
        session_signal_number=value.number,
    )


def _signal_prediction(value: Prediction, side: Side) -> analysis_pb2.SignalPrediction:
    return analysis_pb2.SignalPrediction(
        status=STATUS[value.status],
        prediction_id=value.prediction_id,
        probability=value.probability(side),
        model_name=value.model_name,
        model_version=value.model_version,
        contributions=[
            types_pb2.Contribution(feature=each.feature, value=each.value, contribution=each.contribution)
            for each in value.contributions
        ],
    )


def definition(value: Indicator) -> analysis_pb2.IndicatorDefinition:
    """An indicator one can ask for."""
    return analysis_pb2.IndicatorDefinition(
        name=value.name,
        description=value.description,
        parameters=[
            analysis_pb2.IndicatorParameter(
                name=each.name, default_value=each.default, minimum=each.minimum, maximum=each.maximum
            )
            for each in value.parameters
        ],
        outputs=value.outputs,
        default_form=indicator_spec(value.name).text,
    )


def strategy(value: Strategy, timeframes: Iterable[Timeframe]) -> analysis_pb2.Strategy:
    """A strategy and its settings."""
    return analysis_pb2.Strategy(
        name=value.name,
        description=value.description,
        timeframes=[TIMEFRAME[each] for each in timeframes],
        parameters=value.parameters,
    )


def session_progress(feeds: Iterable[FeedProgress], signals: int) -> service_pb2.GetSessionProgressResponse:
    """How far analysis is with a session."""
    return service_pb2.GetSessionProgressResponse(
        feeds=[
            types_pb2.FeedProgress(symbol=each.symbol, sequence=each.sequence, session_ended=each.ended)
            for each in feeds
        ],
        signal_count=signals,
    )
