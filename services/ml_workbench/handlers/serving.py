"""Endpoints: what answers predictions for a symbol and timeframe."""

from __future__ import annotations

from services.errors import FxError, Kind
from services.ml_workbench.domain.models import Deployment, Endpoint, default_name, deployed
from services.ml_workbench.handlers.registry import Registry
from services.ml_workbench.ports import Clock, Store
from services.paging import decode_token, encode_token, page_size
from services.requests import Requests


class Serving:
    """Deploys versions to endpoints."""

    def __init__(self, store: Store, registry: Registry, requests: Requests, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._requests = requests
        self._clock = clock

    async def deploy(
        self, request_id: str, endpoint_name: str, model_name: str, wanted: str
    ) -> tuple[Endpoint, Deployment]:
        """Make an endpoint serve a version. FxError NOT_FOUND `UNKNOWN_MODEL`, `UNKNOWN_VERSION`."""

        async def act() -> str:
            version = (await self._registry.version(model_name, wanted)).version
            name = endpoint_name or default_name(version.symbol, version.timeframe)
            before = await self._store.endpoint(name)
            endpoint, deployment = deployed(before, name, version, self._clock.now_ns())
            await self._store.deploy(endpoint, deployment)
            return f"{name}/{endpoint.revision}"

        content = repr(("deploy", endpoint_name, model_name, wanted))
        name, revision = (await self._requests.once(request_id, content, act)).rsplit("/", 1)
        return await self.endpoint(name), await self._deployment(name, int(revision))

    async def _deployment(self, endpoint: str, revision: int) -> Deployment:
        found = await self._store.deployments(endpoint, None, 10_000)
        return next(each for _, each in found if each.revision == revision)

    async def deployments(self, endpoint: str, asked: int, token: str) -> tuple[list[Deployment], str]:
        """A page, newest first."""
        size, position = page_size(asked), decode_token(token, endpoint)
        before = None if position is None else int(position[0])
        found = await self._store.deployments(endpoint, before, size + 1)
        more = encode_token([found[size - 1][0]], endpoint) if len(found) > size else ""
        return [deployment for _, deployment in found[:size]], more

    async def endpoints(self) -> list[Endpoint]:
        """By name."""
        return await self._store.endpoints()

    async def endpoint(self, name: str) -> Endpoint:
        """FxError NOT_FOUND `UNKNOWN_ENDPOINT`."""
        endpoint = await self._store.endpoint(name)
        if endpoint is None:
            raise FxError(
                Kind.NOT_FOUND, "UNKNOWN_ENDPOINT", f"no endpoint {name}; deploy a model to it first"
            )
        return endpoint
