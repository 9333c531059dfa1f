"""Bars, feed states and signals as rows and JSON, for the store. Floats come back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

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
from services.quant.bars import Bar
from services.quant.ladder import LadderState
from services.quant.timeframes import Timeframe


def bar_row(bar: Bar) -> tuple[Any, ...]:
    """Symbol, timeframe, opening, prices, ticks, partial."""
    return (
        bar.symbol, bar.timeframe.text, bar.open_ns,
        bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close,
        bar.ask_open, bar.ask_high, bar.ask_low, bar.ask_close, bar.tick_count, bar.partial,
    )  # fmt: skip


def bar_of(row: Sequence[Any]) -> Bar:
    """From symbol, timeframe, opening, digits, prices, ticks, partial."""
    symbol, timeframe, open_ns, digits, bo, bh, bl, bc, ao, ah, al, ac, count, partial = row
    frame = Timeframe.parse(timeframe)
    return Bar(symbol, frame, open_ns, digits, bo, bh, bl, bc, ao, ah, al, ac, count, bool(partial))


def state_text(state: FeedState) -> str:
    """A feed's state as JSON."""
    content = {
        "session_id": state.session_id,
        "symbol": state.symbol,
        "digits": state.digits,
        "sequence": state.sequence,
        "time_ns": state.time_ns,
        "live": state.live,
        "ended": state.ended,
        "signals": state.signals,
        "last_bid": state.last_bid,
        "last_ask": state.last_ask,
        "begin_ns": state.ladder.begin_ns,
        "forming": [None if bar is None else (*bar_row(bar), bar.digits) for bar in state.ladder.forming],
        "held": [
            (timeframe.text, strategy, held.setup.value, held.age, held.fired)
            for (timeframe, strategy), held in state.held.items()
        ],
    }
    return json.dumps(content)


def state_of(text: str) -> FeedState:
    """The inverse."""
    content = json.loads(text)
    forming = [
        None if row is None else bar_of((*row[:3], row[-1], *row[3:-1])) for row in content.pop("forming")
    ]
    ladder = LadderState(tuple(content.pop("begin_ns")), tuple(forming))
    held = {
        (Timeframe.parse(timeframe), strategy): Held(Side(setup), age, fired)
        for timeframe, strategy, setup, age, fired in content.pop("held")
    }
    return FeedState(**content, ladder=ladder, held=held)


def signal_text(signal: Signal) -> str:
    """A signal as JSON."""
    content = asdict(signal)
    content["timeframe"], content["side"] = signal.timeframe.text, signal.side.value
    content["prediction"]["status"] = signal.prediction.status.value
    return json.dumps(content)


def signal_of(text: str) -> Signal:
    """The inverse."""
    content = json.loads(text)
    prediction = content.pop("prediction")
    status = PredictionStatus(prediction.pop("status"))
    contributions = tuple(Contribution(**each) for each in prediction.pop("contributions"))
    return Signal(
        timeframe=Timeframe.parse(content.pop("timeframe")),
        side=Side(content.pop("side")),
        evidence=tuple(Evidence(**each) for each in content.pop("evidence")),
        prediction=Prediction(status, contributions=contributions, **prediction),
        **content,
    )
