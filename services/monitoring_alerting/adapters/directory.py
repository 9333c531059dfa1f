"""Who should run, by the contracts; who does, by the registry."""

from __future__ import annotations

from collections.abc import Sequence

from services.monitoring_alerting.ports import Target
from services.runtime.policy import service_policies
from services.runtime.ports import Registry


class RegistryDirectory:
    """`ports.Directory`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._services = tuple(sorted(policy.name for policy in service_policies()))

    def services(self) -> Sequence[str]:
        """All services of the platform."""
        return self._services

    def targets(self) -> Sequence[Target]:
        """Live instances."""
        return [Target(each.name, each.id, each.http_address) for each in self._registry.instances()]
