"""Whether they may: the scope of the method, by default nobody. What is allowed and changes something is
noted, with who asked for it and how it ended.
"""

from __future__ import annotations

import structlog

from interceptors.calls import ServerCall
from interceptors.plan import Hook
from services.runtime.identity.principal import PrincipalKind
from services.runtime.identity.rights import Rights
from services.runtime.policy import MethodPolicy

_log = structlog.get_logger("fxmesh.audit")


class Authorization:
    """Refuses with PERMISSION_DENIED `SCOPE_MISSING`. Open methods are left out."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def server(self, method: MethodPolicy) -> Hook[ServerCall] | None:
        """For every method that names a scope."""
        if not method.scope:
            return None
        access = self._rights.access(method)

        def enter(call: ServerCall) -> None:
            access.check(call.principal)

        return Hook(enter=enter, leave=_note if method.mutates else None)


def _note(call: ServerCall) -> None:
    # What services do of their own accord follows from events and calls that are noted elsewhere.
    if call.principal.kind is not PrincipalKind.SERVICE:
        _log.info("mutation", method=call.method.path, principal=call.principal.label, code=call.code.name)
