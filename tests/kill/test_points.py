"""The steps between an order and its last event: the same in the code, in docs/faults.md and in the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from services.crash import POINTS
from tests.kill.test_processes import CASES

ROOT = Path(__file__).parents[2]


def in_the_code() -> Iterator[str]:
    """The first argument of every call of `crash_point`."""
    for top in ("services", "interceptors"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "crash_point":
                    (point, *_) = node.args
                    assert isinstance(point, ast.Constant), f"{path}: a point is named in plain text"
                    yield str(point.value)


def in_the_docs() -> list[tuple[str, str]]:
    """Rows of the table."""
    text = (ROOT / "docs" / "faults.md").read_text()
    return re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (.+?) \|", text, re.MULTILINE)


def test_every_point_that_is_named_is_in_the_code() -> None:
    assert set(in_the_code()) == set(POINTS)


def test_the_table_of_the_docs_says_what_the_code_says() -> None:
    assert in_the_docs() == list(POINTS.items())


def test_a_real_process_is_killed_at_every_point() -> None:
    assert {re.split("[/:]", each)[0] for each in CASES} == set(POINTS)
