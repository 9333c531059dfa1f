"""Fixtures for the whole suite. Those of real servers are in tests/integration/conftest.py."""

import os
import signal
from pathlib import Path

import pytest
import structlog

from services.runtime import context
from services.runtime.identity import ANONYMOUS
from tests.kit import jaeger

ROOT = Path(__file__).resolve().parent.parent

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


_NO_JAEGER = "jaeger: none, so its test is left out; `make jaeger` builds it"


def pytest_report_header() -> str:
    """Whether there is a Jaeger to ask."""
    found = jaeger.find()
    return _NO_JAEGER if found is None else f"jaeger: {found}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a Jaeger its test is deselected, unless it was asked for by its marker: then it fails.

    In several processes (`make test JOBS=3`) the long tests, which mostly wait, come first.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda each: each.get_closest_marker("integration") is None)
    if jaeger.find() is None and "jaeger" not in config.option.markexpr:
        without = [each for each in items if each.get_closest_marker("jaeger")]
        items[:] = [each for each in items if each not in without]
        config.hook.pytest_deselected(items=without)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real ticks, bars and reference values: SHARED_DATA, else ../shared/data of the repository.

    Missing data is a failure, never a skip.
    """
    folder = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        pytest.fail(f"no market data in {folder}: name its folder in SHARED_DATA", pytrace=False)
    return folder


@pytest.fixture(autouse=True)
def _nothing_in_hand() -> None:
    """Whatever a test before left in its context: this one serves no request, deadline, trace or event."""
    for left in (context.correlation_id, context.deadline, context.traceparent, context.causation_id):
        left.set(None)
    context.principal.set(ANONYMOUS)
    structlog.reset_defaults()  # a level that one set would hide lines from those after it
