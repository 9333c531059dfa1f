"""Trace context through calls: passed on always, made into spans only for sampled calls of a traced process.

W3C `traceparent` in the metadata. Without a `Spans` (the default) nothing of OpenTelemetry is even imported,
and a call that carries a trace still hands it on; with one, an unsampled call costs a look at two characters.
A method whose contract says `traced` begins a sampled trace where it is called outside one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.runtime import context
from services.runtime.policy import MethodPolicy

if TYPE_CHECKING:
    from services.runtime.spans import Spans

_WELL_FORMED = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch

ServerHook: TypeAlias = Callable[[MethodPolicy], Hook[ServerCall]]
ClientHook: TypeAlias = Callable[[MethodPolicy], Hook[ClientCall]]


def server(spans: Spans | None) -> ServerHook:
    """Takes the caller's trace context over and, when it is sampled, spans the serving of the call."""

    def adopt(call: ServerCall) -> str | None:
        given = call.metadata.get(context.TRACEPARENT_KEY)
        parent = given if isinstance(given, str) and _WELL_FORMED(given) else None
        # Set in any case: the task of a call inherits what was current where the server was started.
        context.traceparent.set(parent)
        return parent

    def pass_on(call: ServerCall) -> None:
        adopt(call)

    if spans is None:
        return lambda _: Hook(enter=pass_on)
    from interceptors.spans import CallSpans

    calls = CallSpans(spans)

    def hook(method: MethodPolicy) -> Hook[ServerCall]:
        def enter(call: ServerCall) -> None:
            parent = adopt(call)
            if parent is not None and context.sampled(parent):
                call.span = calls.server(method, call.correlation_id, parent)
            elif method.traced or (parent is None and calls.begins_trace()):
                links = () if parent is None else (parent,)
                call.span = calls.server(method, call.correlation_id, None, links)
            else:
                return
            context.traceparent.set(calls.traceparent(call.span))

        def leave(call: ServerCall) -> None:
            if call.span is not None:
                calls.served(call.span, call.code)

        return Hook(enter=enter, leave=leave)

    return hook


def client(spans: Spans | None) -> ClientHook:
    """Hands the trace context on and, when it is sampled, spans the making of the call."""

    def pass_on(call: ClientCall) -> None:
        current = context.traceparent.get()
        if current is not None:
            call.metadata.append((context.TRACEPARENT_KEY, current))

    if spans is None:
        return lambda _: Hook(enter=pass_on)
    from interceptors.spans import CallSpans

    calls = CallSpans(spans)

    def hook(method: MethodPolicy) -> Hook[ClientCall]:
        def enter(call: ClientCall) -> None:
            parent = context.traceparent.get()
            if calls.begins_trace() if parent is None else context.sampled(parent):
                call.span = calls.client(method, call.correlation_id, parent)
                parent = calls.traceparent(call.span)
            if parent is not None:
                call.metadata.append((context.TRACEPARENT_KEY, parent))

        def leave(call: ClientCall) -> None:
            if call.span is not None:
                calls.called(call.span, call.code, call.attempts)

        return Hook(enter=enter, leave=leave)

    return hook
