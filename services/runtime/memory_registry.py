"""The registry inside one process: everyone announced is alive until withdrawn."""

from __future__ import annotations

import asyncio

from services.runtime.ports import Instance


class MemoryRegistry:
    """One registry for all services of the process; each announces itself on it."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._change: asyncio.Future[None] | None = None

    def endpoints(self, service: str) -> tuple[str, ...]:
        """The gRPC addresses of the instances of a service by full gRPC name, oldest instance first."""
        return tuple(each.grpc_address for each in self.instances() if each.service == service)

    def priority_endpoints(self, service: str) -> tuple[str, ...]:
        """Priority addresses of those of them that have one, in the same order."""
        found = (each.priority_address for each in self.instances() if each.service == service)
        return tuple(filter(None, found))

    def instances(self) -> tuple[Instance, ...]:
        """All instances, by name, the oldest of each first."""
        return tuple(sorted(self._instances.values(), key=lambda each: (each.name, each.started_ns, each.id)))

    async def changed(self) -> None:
        """Return when the set of instances next changes."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._change)

    async def register(self, instance: Instance) -> None:
        """Announce an instance."""
        self._instances[instance.id] = instance
        self._notify()

    async def deregister(self) -> None:
        """Withdraw everything announced."""
        self._instances.clear()
        self._notify()

    async def close(self) -> None:
        """Nothing to stop."""

    def _notify(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)
