"""Models: training with its figures, the registry, deployments, predictions."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from fxmesh.inference.v1 import service_pb2 as inference
from fxmesh.workbench.v1 import service_pb2 as pb
from fxmesh.workbench.v1 import workbench_pb2 as workbench

from services.cli import inputs
from services.cli.link import Link
from services.cli.output import CliError, ExitCode
from services.cli.progress import Bar
from services.cli.render import Table, clock, count, pairs, plain, sentence, word
from services.cli.requests.analysis import contributions
from services.errors import FxError

LOAD_S = 10.0
"""How long inference may take to load what was deployed before the command says that it has not."""
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """A training run as typed; empty texts and zeros were not given."""

    symbol: str
    timeframe: str
    model: str = ""
    start: str = ""
    end: str = ""
    horizon: int = 0
    rounds: int = 0
    seed: int = 0
    deploy_to: str = ""
    deploy: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""


async def train(link: Link, order: TrainingOrder) -> None:
    """Raises CliError with what the run failed of."""
    symbol = inputs.symbol(order.symbol)
    endpoint = order.deploy_to or (f"{symbol.lower()}-{order.timeframe.lower()}" if order.deploy else "")
    request_id = order.request_id or link.new_id()
    request = pb.StartTrainingRequest(
        request_id=request_id,
        model_name=order.model,
        symbol=symbol,
        timeframe=inputs.timeframe(order.timeframe),
        start=inputs.time(order.start) if order.start else None,
        end=inputs.time(order.end) if order.end else None,
        horizon=order.horizon,
        rounds=order.rounds,
        seed=order.seed,
        deploy_to=endpoint,
        parameters=order.parameters,
    )
    answer = await link.mutate(
        link.workbench.StartTraining(request),
        "the training was started",
        f"Repeat it with --request-id {request_id}: it runs once.",
    )
    run = answer.run
    with Bar(link.out.as_json) as bar:
        try:
            run = await _follow(link, run, bar)
        except asyncio.CancelledError:
            await _cancel(link, run.run_id)
            raise
    document = {"run": run, "requestId": request_id}
    if run.state != workbench.TRAINING_STATE_COMPLETED:
        raise CliError(
            run.failure_reason or "TRAINING_CANCELLED",
            sentence(f"The training {word(run, 'state')}: {run.failure or 'it was told to'}"),
            "",
            ExitCode.FAILED,
            plain(document),
        )
    served = await _served(link, endpoint, run.model_name, run.model_version) if endpoint else ""
    link.out.answer(
        document,
        _about(run),
        *figures(run.metrics, run.spec.horizon),
        served or "Not deployed: `fxmesh deploy`.",
    )


async def models(link: Link) -> None:
    """The registry, and which endpoint serves what."""
    answer = await link.workbench.ListModels(pb.ListModelsRequest())
    endpoints = await link.workbench.ListEndpoints(pb.ListEndpointsRequest())
    rows = [
        (
            each.name,
            str(each.latest_version),
            each.symbol,
            word(each, "timeframe"),
            " ".join(f"{alias}={version}" for alias, version in sorted(each.aliases.items())),
        )
        for each in answer.models
    ]
    serving = [
        (
            each.name,
            each.symbol,
            word(each, "timeframe"),
            f"{each.model_name} {each.model_version}",
            clock(each.deployed_at),
        )
        for each in endpoints.endpoints
    ]
    link.out.answer(
        {**plain(answer), **plain(endpoints)},
        Table(
            ("MODEL", "LATEST", "SYMBOL", "TF", "ALIASES"),
            rows,
            right=("LATEST",),
            empty="No models: `fxmesh train`.",
        ),
        Table(
            ("ENDPOINT", "SYMBOL", "TF", "SERVES", "SINCE (UTC)"),
            serving,
            empty="No endpoint serves a model.",
        ),
    )


async def versions(link: Link, name: str) -> None:
    answer = await link.workbench.ListModelVersions(pb.ListModelVersionsRequest(name=name))
    rows = [
        (
            str(each.version),
            clock(each.created_at),
            f"{each.metrics.log_loss:.5f}",
            f"{each.metrics.baseline_log_loss:.5f}",
            f"{each.metrics.auc:.4f}",
            f"{each.metrics.accuracy:.4f}",
            count(each.metrics.validation_rows),
            " ".join(each.aliases),
        )
        for each in answer.versions
    ]
    right = ("LOG LOSS", "BASELINE", "AUC", "ACCURACY", "ROWS")
    headers = ("VERSION", "MADE (UTC)", *right, "ALIASES")
    link.out.answer(answer, Table(headers, rows, right=("VERSION", *right)))


async def deploy(link: Link, name: str, version: str, endpoint: str, request_id: str) -> None:
    request_id = request_id or link.new_id()
    request = pb.DeployModelRequest(
        request_id=request_id, endpoint=endpoint, model_name=name, version=version
    )
    answer = await link.mutate(
        link.workbench.DeployModel(request),
        f"{name} {version} was deployed",
        f"Ask with `fxmesh models`, or repeat it with --request-id {request_id}.",
    )
    made = answer.deployment
    served = await _served(link, made.endpoint, made.model_name, made.model_version)
    before = f"{made.previous_model} {made.previous_version}" if made.previous_version else "nothing"
    about = pairs(
        [
            ("endpoint", made.endpoint),
            ("serves", f"{made.model_name} {made.model_version}"),
            ("before", before),
            ("request id", request_id),
        ]
    )
    link.out.answer(answer, about, served)


async def predict(link: Link, symbol: str, timeframe: str, time: str, endpoint: str) -> None:
    request = inference.PredictRequest(
        symbol=inputs.symbol(symbol),
        timeframe=inputs.timeframe(timeframe),
        time=inputs.time(time) if time else None,
        endpoint=endpoint,
        contributions=True,
    )
    answer = await link.inference.Predict(request)
    found = answer.prediction
    about = pairs(
        [
            ("prediction", f"{found.symbol} {word(found, 'timeframe')} after {clock(found.bar_open_time)}"),
            ("up", f"{found.probability_up:.4f}"),
            ("down", f"{1 - found.probability_up:.4f}"),
            ("model", f"{found.model_name} {found.model_version} at {found.endpoint}"),
            ("id", found.prediction_id),
        ]
    )
    link.out.answer(answer, about, contributions(found.contributions))


def figures(metrics: workbench.ModelMetrics, horizon: int) -> list[Table | str]:
    """A model beside a guess, and in words whether that is more than chance."""
    rows = [
        ("log loss", f"{metrics.log_loss:.5f}", f"{metrics.baseline_log_loss:.5f}", "less is better"),
        ("accuracy", f"{metrics.accuracy:.4f}", f"{_best_guess(metrics):.4f}", "more is better"),
        ("AUC", f"{metrics.auc:.4f}", "0.5000", "more is better"),
    ]
    rounds = f"best after {metrics.best_round} rounds"
    title = f"On {count(metrics.validation_rows)} rows held out ({count(metrics.training_rows)} trained on), "
    headers = ("FIGURE", "MODEL", "GUESSING", "")
    return [Table(headers, rows, right=headers[1:3], title=title + rounds), verdict(metrics, horizon)]


def verdict(metrics: workbench.ModelMetrics, horizon: int) -> str:
    """Whether it beats guessing, and whether chance alone would do as well.

    Labels that look `horizon` bars ahead overlap, so only every horizon-th row counts as one of its own.
    """
    gain = metrics.baseline_log_loss - metrics.log_loss
    if gain <= 0:
        return "It is no better than guessing the base rate: do not trade on it."
    rows = max(1.0, metrics.validation_rows / max(1, horizon))
    errors = (metrics.accuracy - _best_guess(metrics)) / math.sqrt(0.25 / rows)
    judged = "chance alone would often do as well" if errors < 2 else "chance alone would seldom do as well"
    return (
        f"Its log loss is {100 * gain / metrics.baseline_log_loss:.2f} % below guessing. Its accuracy is "
        f"{errors:+.1f} standard errors from always calling the more frequent side: {judged}. "
        "Costs are not in it."
    )


def _best_guess(metrics: workbench.ModelMetrics) -> float:
    """Accuracy of the better of the two constant calls on the rows held out."""
    return max(metrics.baseline_accuracy, 1 - metrics.baseline_accuracy)


async def _follow(link: Link, run: workbench.TrainingRun, bar: Bar) -> workbench.TrainingRun:
    bar.stage(f"training {run.model_name or run.spec.model_name}")
    request = pb.StreamTrainingRunRequest(run_id=run.run_id)
    async for answer in link.follow(lambda: link.workbench.StreamTrainingRun(request)):
        run = answer.run
        bar.at(run.rounds_done, run.spec.rounds, f"{word(run, 'state')}, {run.rounds_done} rounds")
    return run


def _about(run: workbench.TrainingRun) -> Table:
    return pairs(
        [
            ("model", f"{run.model_name} version {run.model_version}"),
            ("run", run.run_id),
            ("dataset", run.dataset_id),
            ("rounds", str(run.rounds_done)),
        ]
    )


async def _served(link: Link, endpoint: str, model: str, version: int) -> str:
    """In words, whether inference serves the version by now. Never fails: the deployment itself is done."""
    clock_of = asyncio.get_running_loop().time
    limit = clock_of() + LOAD_S
    while clock_of() < limit:
        try:
            answer = await link.inference.ListServedModels(inference.ListServedModelsRequest())
        except (FxError, CliError):
            return f"Deployed to {endpoint}; inference does not answer now and loads it when it is back."
        for each in answer.models:
            if (each.endpoint, each.model_name, each.model_version) == (endpoint, model, version):
                return f"Endpoint {endpoint} serves it now: `fxmesh predict {each.symbol}`."
        await asyncio.sleep(0.2)
    return f"Deployed to {endpoint}; inference has not loaded it yet (`fxmesh logs ml_integration`)."


async def _cancel(link: Link, run_id: str) -> None:
    """After Ctrl-C: the run ends with the command that began it."""
    request = pb.CancelTrainingRequest(request_id=link.new_id(), run_id=run_id)
    with suppress(FxError, CliError):
        await link.workbench.CancelTraining(request, timeout=_STOP_S)
        link.out.note(f"training run {run_id} is cancelled")
