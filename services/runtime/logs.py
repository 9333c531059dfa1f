"""Structured logs on stdout: one JSON object a line, with the correlation id and trace of the work in hand.

Lines of libraries (logging) come out in the same form. Tracebacks are plain, without the values of variables,
and values under names like `token` are blanked: a log line must never carry a secret.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from services.runtime import context
from services.runtime.identity import ANONYMOUS

_SECRET_NAME = re.compile(r"(?i)token|secret|password|passwd|api_?key|authorization|credential")
_CREDENTIALS_IN_URL = re.compile(r"//[^/@\s]*@")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(
    service: str, level: str = "info", form: Literal["json", "console"] = "json", out: TextIO | None = None
) -> FilteringBoundLogger:
    """Set up logging of this process and give its logger. `service` is on every line. Once per process."""
    stream = out or sys.stdout

    def add_service(_: Any, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_service,
        add_context,
        structlog.processors.format_exc_info,
        without_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a module's logger may be made before this is called
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(form, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    # At their info level these tell of every message.
    for chatty in ("asyncio", "grpc", "nats"):
        logging.getLogger(chatty).setLevel(max(_LEVELS[level], logging.WARNING))
    return cast("FilteringBoundLogger", structlog.get_logger("fxmesh"))


def add_context(_: Any, __: str, event: EventDict) -> EventDict:
    """Add what identifies the work in hand, unless the line says it already."""
    correlation = context.correlation_id.get()
    if correlation is not None:
        event.setdefault("correlation_id", correlation)
    principal = context.principal.get()
    if principal is not ANONYMOUS:
        event.setdefault("principal", principal.label)
    trace = context.traceparent.get()
    if trace is not None:
        parts = trace.split("-")
        event.setdefault("trace_id", parts[1] if len(parts) == 4 else trace)
    return event


def without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Blank values whose name says secret, and credentials inside URLs."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = "***"
        elif isinstance(value, str) and "@" in value:
            event[name] = _CREDENTIALS_IN_URL.sub("//***@", value)
    return event


def _renderer(form: Literal["json", "console"], stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
