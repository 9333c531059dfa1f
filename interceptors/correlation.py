"""Correlation id: one id through every call, event and log line that serves the same outside request."""

from __future__ import annotations

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.runtime import context
from services.runtime.policy import MethodPolicy
from services.runtime.ports import Ids


class Correlation:
    """Takes the id from metadata or context, or makes one; an id not fit for a log line is replaced."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def server(self, _: MethodPolicy) -> Hook[ServerCall]:
        """Sets the context variable for the handler and everything it starts."""
        return Hook(enter=self._receive)

    def client(self, _: MethodPolicy) -> Hook[ClientCall]:
        """Adds the metadata of an onward call."""
        return Hook(enter=self._send)

    def _receive(self, call: ServerCall) -> None:
        given = call.metadata.get(context.CORRELATION_KEY)
        fit = isinstance(given, str) and context.acceptable_correlation_id(given)
        call.correlation_id = str(given) if fit else self._ids.new()
        # Each call is served in a task of its own, so there is nothing to set back.
        context.correlation_id.set(call.correlation_id)

    def _send(self, call: ClientCall) -> None:
        call.correlation_id = context.correlation_id.get() or self._ids.new()
        call.metadata.append((context.CORRELATION_KEY, call.correlation_id))
