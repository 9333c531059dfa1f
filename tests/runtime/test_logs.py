"""Log lines: one JSON object each, with the work they belong to, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from services.runtime import context, logs


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_who_and_for_what(out: io.StringIO) -> None:
    log = logs.configure("trading_gateway", out=out)
    context.correlation_id.set("order-1")
    context.traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    log.info("order placed", symbol="EURUSD")
    (line,) = _lines(out)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "order placed",
        "symbol": "EURUSD",
        "level": "info",
        "service": "trading_gateway",
        "correlation_id": "order-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


def test_lines_of_libraries_come_out_the_same(out: io.StringIO) -> None:
    logs.configure("trading_gateway", out=out)
    logging.getLogger("some.library").warning("about %s", "it")
    (line,) = _lines(out)
    assert (line["event"], line["service"], line["logger"]) == ("about it", "trading_gateway", "some.library")


def test_lines_below_the_level_are_dropped(out: io.StringIO) -> None:
    log = logs.configure("x", "warning", out=out)
    log.info("quiet")
    logging.getLogger("library").info("quiet too")
    log.warning("loud")
    assert [line["event"] for line in _lines(out)] == ["loud"]


def test_a_traceback_shows_code_and_no_values(out: io.StringIO) -> None:
    log = logs.configure("x", out=out)
    password = "hunter2"
    try:
        raise ValueError(len(password))
    except ValueError:
        log.exception("failed")
    (line,) = _lines(out)
    assert "ValueError: 7" in line["exception"]
    assert "hunter2" not in line["exception"]


@pytest.mark.parametrize(
    "name", ["token", "api_key", "apiKey", "Authorization", "nats_password", "client_secret"]
)
def test_values_under_secret_names_are_blanked(out: io.StringIO, name: str) -> None:
    logs.configure("x", out=out).info("connected", **{name: "hunter2"})
    assert "hunter2" not in out.getvalue()
    assert _lines(out)[0][name] == "***"


def test_credentials_in_urls_are_blanked(out: io.StringIO) -> None:
    logs.configure("x", out=out).info("connected", url="nats://me:hunter2@host:4222,nats://you:hunter3@other")
    assert _lines(out)[0]["url"] == "nats://***@host:4222,nats://***@other"


def test_a_malformed_trace_context_does_not_cost_the_line(out: io.StringIO) -> None:
    log = logs.configure("x", out=out)
    context.traceparent.set("junk")
    log.info("still here")
    assert _lines(out)[0]["event"] == "still here"


def test_the_console_form_is_for_people(out: io.StringIO) -> None:
    logs.configure("x", form="console", out=out).warning("look", at="this")
    assert "look" in out.getvalue()
    assert not out.getvalue().startswith("{")
