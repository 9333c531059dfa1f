"""`train`, `models`, `deploy`, `predict`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import output
from services.cli.calls import Caller
from services.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    HomeOption,
    JsonOption,
    RequestIdOption,
    SymbolArgument,
    TimeframeOption,
)

EndpointOption = Annotated[
    str, typer.Option("--endpoint", metavar="NAME", help="Default: by symbol and timeframe, as eurusd-1h.")
]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh train --symbol EURUSD --timeframe 1h --deploy",
            "fxmesh train --from 2010-01-01 --to 2014-01-01 --rounds 500",
            "fxmesh train --param num_leaves=15 --param learning_rate=0.02 --seed 7",
            codes="0 trained, 1 it failed, 3 not running, 4 refused, 130 cancelled by Ctrl-C.",
        )
    )(train)
    app.command(epilog=output.examples("fxmesh models", "fxmesh models eurusd-1h"))(models)
    app.command(
        epilog=output.examples(
            "fxmesh deploy eurusd-1h", "fxmesh deploy eurusd-1h --version 3 --endpoint eurusd-1h"
        )
    )(deploy)
    app.command(
        epilog=output.examples(
            "fxmesh predict EURUSD",
            "fxmesh predict EURUSD --timeframe 1h --time 2014-05-01T13:00Z",
            "fxmesh predict EURUSD --json | jq .data.prediction.probabilityUp",
        )
    )(predict)


def train(
    symbol: Annotated[str, typer.Option("--symbol", help="As EURUSD.")] = "EURUSD",
    timeframe: TimeframeOption = "1h",
    deploy: Annotated[bool, typer.Option("--deploy", help="Serve it once it is trained.")] = False,
    deploy_to: Annotated[
        str, typer.Option("--deploy-to", metavar="ENDPOINT", help="Serve it there. Default: as eurusd-1h.")
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="MODEL", help="Default: as eurusd-1h.")] = "",
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First bar. Default: all.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Bars before this time.")] = "",
    horizon: Annotated[int, typer.Option("--horizon", min=0, help="Bars ahead. Default: 4.")] = 0,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="Most rounds. Default: 300.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed and bars, same model.")] = 0,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A LightGBM parameter.")
    ] = None,
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Train a model on stored bars and show how it does on bars it has not seen, beside guessing.

    Needs bars: see `fxmesh import`. Ctrl-C cancels the run.
    """
    from services.cli import inputs
    from services.cli.requests import models as requests

    order = requests.TrainingOrder(
        symbol=symbol,
        timeframe=timeframe,
        model=name,
        start=start,
        end=end,
        horizon=horizon,
        rounds=rounds,
        seed=seed,
        deploy_to=deploy_to,
        deploy=deploy,
        parameters=inputs.labels(param, "--param"),
        request_id=request_id,
    )
    Caller(home, address, json).run(lambda link: requests.train(link, order))


def models(
    name: Annotated[str, typer.Argument(metavar="[MODEL]", help="Its versions and their figures.")] = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show the models and what serves; or one model's versions."""
    from services.cli.requests import models as requests

    caller = Caller(home, address, json)
    if name:
        caller.run(lambda link: requests.versions(link, name))
    else:
        caller.run(requests.models)


def deploy(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As `fxmesh models` shows it.")],
    version: Annotated[str, typer.Option("--version", help="Number, alias, or latest.")] = "latest",
    endpoint: EndpointOption = "",
    request_id: RequestIdOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Make an endpoint serve a version of a model; live signals use it from then on."""
    from services.cli.requests import models as requests

    Caller(home, address, json).run(lambda link: requests.deploy(link, model, version, endpoint, request_id))


def predict(
    symbol: SymbolArgument,
    timeframe: TimeframeOption = "1h",
    time: Annotated[
        str, typer.Option("--time", metavar="TIME", help="Market time. Default: the last bar stored.")
    ] = "",
    endpoint: EndpointOption = "",
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Show the probability that the price is higher after the model's horizon, and what speaks for it."""
    from services.cli.requests import models as requests

    Caller(home, address, json).run(lambda link: requests.predict(link, symbol, timeframe, time, endpoint))
