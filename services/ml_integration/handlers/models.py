"""Holds the models that serve: loads what an endpoint names beside the old one and swaps when it is whole.

The workbench says what serves. What was served last is pinned in the store with its artifact, so that a start
without the workbench answers as before. A model that cannot be had or is damaged leaves the old one in place.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace

from services.errors import VALIDATION_FAILED, FxError, Kind, invalid_field
from services.market.instruments import instrument
from services.ml_integration.domain.drift import DriftRules
from services.ml_integration.domain.models import Endpoint, ModelVersion, default_endpoint
from services.ml_integration.domain.watch import Watch
from services.ml_integration.ports import Clock, Loader, Log, Model, Pinned, Store, Workbench
from services.quant.timeframes import Timeframe

AWAY_S = 2.0
"""How soon an absent workbench is asked again: at a common start it comes a moment later."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model in memory and what is watched of it. A prediction uses one of these from begin to end."""

    endpoint: Endpoint
    version: ModelVersion
    model: Model
    loaded_ns: int
    watch: Watch


class Models:
    """Endpoint name → model."""

    def __init__(
        self, workbench: Workbench, loader: Loader, store: Store, rules: DriftRules, clock: Clock, log: Log
    ) -> None:
        self._workbench = workbench
        self._loader = loader
        self._store = store
        self._rules = rules
        self._clock = clock
        self._log = log
        self._known: dict[str, Endpoint] = {}
        self._served: dict[str, Served] = {}
        self._arriving: dict[str, asyncio.Event] = {}
        self._pinned: list[Pinned] = []
        self._failures: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self.loads = 0
        self.failed_loads = 0

    def all(self) -> list[Served]:
        """By endpoint."""
        return [self._served[name] for name in sorted(self._served)]

    async def recall(self) -> None:
        """Read what was served last; it is loaded by `run`, and who asks until then waits for it."""
        self._pinned = await self._store.pinned()
        for each in self._pinned:
            self._known[each.endpoint.name] = each.endpoint
            self._arriving[each.endpoint.name] = asyncio.Event()

    async def run(self, every_s: float) -> None:
        """Loop: load what was served last, then keep to what the workbench says."""
        async with self._changing:
            for each in self._pinned:
                await self._apply(each.endpoint, each.version)
        while True:
            there = await self.reconcile()
            await self._clock.sleep(every_s if there else min(every_s, AWAY_S))

    async def reconcile(self) -> bool:
        """Serve exactly what the workbench lists, as far as it can be had. Without the workbench nothing
        changes: False.
        """
        async with self._changing:
            try:
                endpoints = await self._workbench.endpoints()
            except FxError as error:
                self._failed("", error)
                return False
            self._failures.pop("", None)
            gone = self._known.keys() - {each.name for each in endpoints}
            for name in sorted(gone):
                await self._forget(name)
            for endpoint in endpoints:
                await self._apply(endpoint)
        return True

    async def deployed(self, name: str) -> None:
        """An endpoint serves something else: ask what, and load it. What fails is tried again by `run`."""
        async with self._changing:
            try:
                endpoint = await self._workbench.endpoint(name)
            except FxError as error:
                self._failed(name, error)
                return
            await self._apply(endpoint)

    async def serving(self, symbol: str, timeframe: Timeframe | None, endpoint: str) -> Served:
        """The model for a symbol and timeframe (None: one hour, or the endpoint's), or of a named endpoint.

        FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`, or when none is named; FAILED_PRECONDITION `NO_MODEL`.
        """
        if symbol:
            instrument(symbol)
        elif not endpoint:
            raise invalid_field(VALIDATION_FAILED, "symbol", "name a symbol or an endpoint")
        name = endpoint or self._endpoint_for(symbol, timeframe or Timeframe.H1)
        served = await self._when_loaded(name)
        if served is None:
            wanted = f"endpoint {endpoint}" if endpoint else f"{symbol} {timeframe or Timeframe.H1}"
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "NO_MODEL",
                f"no model serves {wanted}; train one and deploy it (fxmesh train)",
            )
        of = served.endpoint
        if (symbol or of.symbol) != of.symbol or (timeframe or of.timeframe) is not of.timeframe:
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "NO_MODEL",
                f"endpoint {name} serves {of.symbol} {of.timeframe},"
                f" not {symbol} {timeframe or of.timeframe}",
            )
        return served

    async def at(self, endpoint: str) -> Served:
        """What an endpoint serves. FxError NOT_FOUND `UNKNOWN_ENDPOINT`, FAILED_PRECONDITION `NO_MODEL`."""
        if endpoint not in self._known:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_ENDPOINT", f"no endpoint {endpoint} is known here")
        return await self.serving("", None, endpoint)

    def _endpoint_for(self, symbol: str, timeframe: Timeframe) -> str:
        """The one of the default name, else the first by name."""
        default = default_endpoint(symbol, timeframe)
        fitting = sorted(
            name
            for name, each in self._known.items()
            if each.symbol == symbol and each.timeframe is timeframe
        )
        return default if default in fitting or not fitting else fitting[0]

    async def _when_loaded(self, name: str) -> Served | None:
        served = self._served.get(name)
        if served is None and (arriving := self._arriving.get(name)) is not None:
            await arriving.wait()
            served = self._served.get(name)
        return served

    async def _apply(self, endpoint: Endpoint, version: ModelVersion | None = None) -> None:
        """Serve what an endpoint names; `version` is given when there may be no workbench to ask."""
        name, before = endpoint.name, self._served.get(endpoint.name)
        self._known[name] = endpoint
        if before is not None and before.endpoint == endpoint:
            return
        arrived = self._arriving.setdefault(name, asyncio.Event())
        try:
            await self._load(endpoint, version, before)
            self._failures.pop(name, None)
        except FxError as error:
            self.failed_loads += 1
            self._failed(name, error)
        finally:
            del self._arriving[name]
            arrived.set()

    async def _load(self, endpoint: Endpoint, version: ModelVersion | None, before: Served | None) -> None:
        recalled = version is not None
        if version is None:
            version = await self._workbench.version(endpoint.model_name, endpoint.model_version)
        if before is not None and before.version == version:
            # Deployed again, or rolled forward and back: the same model goes on, and so does its watch.
            served = replace(before, endpoint=endpoint)
        else:
            model = await self._loader.load(await self._artifact(version), version)
            watch = Watch(endpoint.name, version, self._rules)
            served = Served(endpoint, version, model, self._clock.now_ns(), watch)
            self.loads += 1
        self._served = {**self._served, endpoint.name: served}
        self._log.info("model.serving", endpoint=endpoint.name, model=version.name, version=version.version)
        if not recalled:
            await self._pin()

    async def _artifact(self, version: ModelVersion) -> bytes:
        kept = await self._store.artifact(version.artifact_hash)
        if kept is not None:
            return kept
        content = await self._workbench.download(version.name, version.version)
        if hashlib.sha256(content).hexdigest() != version.artifact_hash:
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "ARTIFACT_CORRUPT",
                f"the artifact of {version.name} {version.version} is not what its hash says",
            )
        await self._store.keep(version.artifact_hash, content)
        return content

    async def _forget(self, name: str) -> None:
        del self._known[name]
        self._failures.pop(name, None)
        if name in self._served:
            self._served = {key: value for key, value in self._served.items() if key != name}
            self._log.info("model.withdrawn", endpoint=name)
            await self._pin()

    async def _pin(self) -> None:
        await self._store.pin([Pinned(each.endpoint, each.version) for each in self.all()])

    def _failed(self, name: str, error: FxError) -> None:
        """Tell a failure of an endpoint, or of the workbench itself (""), once and not at every attempt."""
        if self._failures.get(name) == str(error):
            return
        self._failures[name] = str(error)
        if name:
            self._log.warning("model.not_loaded", endpoint=name, reason=error.reason, detail=error.detail)
        else:
            self._log.info("workbench.away", reason=error.reason, detail=error.detail)
