"""Builds analysis from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.analysis.v1.service_pb2_grpc import add_AnalysisServiceServicer_to_server

from services.analysis_engine.adapters.peers import InferenceModels, LockstepReplays, PipelineBars
from services.analysis_engine.adapters.publisher import BusPublisher
from services.analysis_engine.adapters.store import SqliteStore
from services.analysis_engine.config import Settings
from services.analysis_engine.consumers import subscriptions
from services.analysis_engine.domain.feed import Plan
from services.analysis_engine.domain.strategies import (
    BreakoutParameters,
    MeanReversionParameters,
    Strategy,
    TrendParameters,
    breakout,
    mean_reversion,
    trend,
)
from services.analysis_engine.handlers import Feeds, Predictions, Queries, Record, Ticks, WarmUp
from services.analysis_engine.handlers.predictions import Patience
from services.analysis_engine.handlers.record import KEPT
from services.analysis_engine.metrics import register_metrics
from services.analysis_engine.servicer import AnalysisServicer
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.indicators import IndicatorSet, parse_spec
from services.quant.patterns import PATTERN_WINDOW
from services.quant.timeframes import Timeframe
from services.runtime.mesh import Dependency, Mesh, Service


def compose(settings: Settings, mesh: Mesh) -> Service:
    """Ports, handlers on them, the servicer on those."""
    plan = plan_of(settings)
    clock, log = mesh.clock, mesh.log
    store = SqliteStore(mesh.data_dir / "analysis.db")
    record = Record()
    warm_up = WarmUp(PipelineBars(mesh.channels), clock, log, plan.computed_on, settings.warm_up_seconds)
    feeds = Feeds(plan, store, warm_up, clock)
    patience = Patience(
        settings.predict_seconds,
        settings.lockstep_predict_seconds,
        settings.inference_failures,
        settings.inference_pause_seconds,
    )
    predictions = Predictions(InferenceModels(mesh.channels), clock, log, patience)
    ticks = Ticks(
        feeds,
        predictions,
        BusPublisher(mesh.bus),
        LockstepReplays(mesh.channels),
        record,
        clock,
        log,
        mesh.tracer,
        settings.quiet_grace_seconds,
    )
    register_metrics(mesh.metrics, ticks, feeds, record)

    async def recover() -> None:
        feeds.recover()
        record.recover(store.signals(KEPT))

    async def close() -> None:
        record.close()
        store.close()

    return Service(
        servicer=AnalysisServicer(Queries(feeds, record)),
        add_to_server=add_AnalysisServiceServicer_to_server,
        dependencies=(Dependency("store", store.check),),
        start=recover,
        background=(feeds.warm_up_late,),
        subscriptions=subscriptions(ticks),
        close=close,
    )


def plan_of(settings: Settings) -> Plan:
    """What the settings say is made of bars."""
    strategies = _strategies(settings)
    shown = IndicatorSet.parse(each for each in settings.indicators.split(";") if each.strip())
    needed = [parse_spec(text) for strategy in strategies for text in strategy.indicators]
    computed = IndicatorSet((*shown.specs, *needed))
    return Plan(
        reported_from=Timeframe.parse(settings.report_from),
        patterns_from=Timeframe.parse(settings.patterns_from),
        signals=frozenset(map(Timeframe.parse, settings.signals_on)),
        shown=shown,
        computed=computed,
        strategies=strategies,
        kept=settings.history_bars,
        # One bar more than anything looks at, so that the values of the bar before can be made again after a
        # restart.
        computed_on=max(settings.history_bars, computed.window, FEATURE_WINDOW, PATTERN_WINDOW) + 1,
    )


def _strategies(settings: Settings) -> tuple[Strategy, ...]:
    return (
        trend(
            TrendParameters(
                settings.trend_fast,
                settings.trend_slow,
                settings.trend_adx_period,
                settings.trend_adx_minimum,
                settings.trend_confirm_bars,
            )
        ),
        mean_reversion(
            MeanReversionParameters(
                settings.reversion_rsi_period,
                settings.reversion_oversold,
                settings.reversion_overbought,
                settings.reversion_band_period,
                settings.reversion_band_deviations,
            )
        ),
        breakout(
            BreakoutParameters(
                settings.breakout_channel_period, settings.breakout_atr_period, settings.breakout_atr_margin
            )
        ),
    )
