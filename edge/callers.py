"""Who calls through the edge, and whether they may: the services' own decision, made once before them."""

from __future__ import annotations

import threading

from services.errors import FxError, Kind
from services.runtime.identity.authenticator import Authenticator
from services.runtime.identity.rights import Access, Rights
from services.runtime.policy import ServicePolicy, method_policies


class Callers:
    """Asked from the threads of the gate."""

    def __init__(
        self, authenticator: Authenticator, rights: Rights, services: tuple[ServicePolicy, ...]
    ) -> None:
        self._authenticator = authenticator
        self._lock = threading.Lock()  # counting and keeping decisions are for one at a time
        self._access: dict[str, Access] = {
            method.path: rights.access(method)
            for service in services
            for method in method_policies(service.full_name)
        }

    def check(self, method: str, authorization: str | None) -> None:
        """Raises FxError UNAUTHENTICATED or PERMISSION_DENIED."""
        with self._lock:
            principal = self._authenticator.principal(authorization)
        access = self._access.get(method)
        if access is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_PATH", "no service has this method")
        access.check(principal)
