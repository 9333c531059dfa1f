"""What the contracts say of rights: the scopes there are, and which services call a method.

Read from the descriptors of all contracts: who may call a method is everybody whose service option lists it,
and whoever holds its scope. There is no second list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from services.errors import FxError, Kind
from services.runtime.identity.principal import Principal, PrincipalKind
from services.runtime.policy import MethodPolicy, ServicePolicy, method_policies, service_policies


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call one method. Default: nobody."""

    path: str
    scope: str
    callers: frozenset[str]
    """Folder names of the services whose contract lists it."""

    def check(self, principal: Principal) -> None:
        """Raises FxError PERMISSION_DENIED `SCOPE_MISSING`."""
        if principal.kind is PrincipalKind.SERVICE:
            if principal.name not in self.callers:
                raise _denied(
                    f"the contract of {principal.name} does not list {self.path[1:]} among its calls"
                )
        elif self.scope not in principal.scopes:
            raise _denied(
                f"{self.path[1:]} needs the scope {self.scope}, which {principal.label} does not hold"
            )


class Rights:
    """The rights that the contracts of some services give."""

    def __init__(self, services: Iterable[ServicePolicy]) -> None:
        known = tuple(services)
        self.services = frozenset(service.name for service in known)
        """Folder names: who there is."""
        self.by_dns_name = {service.dns_name: service.name for service in known}
        self.scopes = frozenset(
            method.scope for service in known for method in method_policies(service.full_name)
        )
        """Every scope that a method names."""
        self._callers: dict[str, set[str]] = {}
        for service in known:
            for call in service.calls:
                self._callers.setdefault(f"/{call}", set()).add(service.name)

    def access(self, method: MethodPolicy) -> Access:
        """Who may call `method`."""
        return Access(method.path, method.scope, frozenset(self._callers.get(method.path, ())))

    def held(self, granted: Iterable[str]) -> frozenset[str]:
        """The scopes that a grant means; `*` in one stands for any characters: `trading.*`, `*:read`, `*`."""
        return frozenset(scope for each in granted for scope in matching(each, self.scopes))


def matching(granted: str, declared: Iterable[str]) -> frozenset[str]:
    """The declared scopes that one granted scope or pattern stands for."""
    pattern = re.compile(".*".join(map(re.escape, granted.split("*"))))
    return frozenset(scope for scope in declared if pattern.fullmatch(scope))


@cache
def rights() -> Rights:
    """Those of the platform's own contracts."""
    return Rights(service_policies())


def _denied(detail: str) -> FxError:
    return FxError(Kind.PERMISSION_DENIED, "SCOPE_MISSING", detail)
