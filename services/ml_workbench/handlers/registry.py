"""The model registry: versions and the aliases that point at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from services.errors import FxError, Kind
from services.ml_workbench.domain.models import Model, ModelVersion
from services.ml_workbench.ports import Artifacts, Store
from services.requests import Requests

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class NamedVersion:
    """A version and the aliases that point at it."""

    version: ModelVersion
    aliases: tuple[str, ...]


class Registry:
    """Looks versions up and names them."""

    def __init__(self, store: Store, artifacts: Artifacts, requests: Requests) -> None:
        self._store = store
        self._artifacts = artifacts
        self._requests = requests

    async def models(self) -> list[Model]:
        """By name."""
        return await self._store.models()

    async def versions(self, name: str) -> list[NamedVersion]:
        """Newest first. FxError NOT_FOUND `UNKNOWN_MODEL`."""
        versions, aliases = await self._known(name)
        return [_named(each, aliases) for each in versions]

    async def version(self, name: str, wanted: str) -> NamedVersion:
        """By number, alias or "latest". FxError NOT_FOUND `UNKNOWN_MODEL`, `UNKNOWN_VERSION`."""
        versions, aliases = await self._known(name)
        number = versions[0].version if wanted == LATEST else aliases.get(wanted)
        if number is None and wanted.isascii() and wanted.isdigit():
            number = int(wanted)
        for each in versions:
            if each.version == number:
                return _named(each, aliases)
        there = ", ".join([f"1..{versions[0].version}", LATEST, *sorted(aliases)])
        raise FxError(
            Kind.NOT_FOUND, "UNKNOWN_VERSION", f"model {name} has no version {wanted}; it has {there}"
        )

    async def _known(self, name: str) -> tuple[list[ModelVersion], dict[str, int]]:
        versions = await self._store.versions(name)
        if not versions:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_MODEL", f"no model {name} is registered; train one first")
        return versions, await self._store.aliases(name)

    async def set_alias(self, request_id: str, name: str, alias: str, version: int) -> Model:
        """Point an alias at a version that exists."""

        async def act() -> str:
            await self.version(name, str(version))
            await self._store.set_alias(name, alias, version)
            return ""

        await self._requests.once(request_id, repr(("set_alias", name, alias, version)), act)
        return await self._model(name)

    async def delete_alias(self, request_id: str, name: str, alias: str) -> Model:
        """Remove an alias. FxError NOT_FOUND `UNKNOWN_ALIAS`."""

        async def act() -> str:
            await self._known(name)
            if not await self._store.delete_alias(name, alias):
                raise FxError(Kind.NOT_FOUND, "UNKNOWN_ALIAS", f"model {name} has no alias {alias}")
            return ""

        await self._requests.once(request_id, repr(("delete_alias", name, alias)), act)
        return await self._model(name)

    async def _model(self, name: str) -> Model:
        return next(each for each in await self._store.models() if each.name == name)

    async def download(self, name: str, version: int) -> AsyncIterator[bytes]:
        """The artifact in chunks."""
        named = await self.version(name, str(version))
        async for chunk in self._artifacts.read(named.version.artifact_hash):
            yield chunk


def _named(version: ModelVersion, aliases: Mapping[str, int]) -> NamedVersion:
    return NamedVersion(
        version, tuple(sorted(alias for alias, number in aliases.items() if number == version.version))
    )
