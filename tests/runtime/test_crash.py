"""A crash point ends the process where and when it was told to, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime import crash
from services.runtime.fatal import FatalError
from tests.kit.events import quiet_log

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from services.crash import crash_point
from services.runtime.crash import arm
from tests.kit.events import quiet_log
arm(sys.argv[1], quiet_log())
for number in range(3):
    for method in ("GetOrder", "PlaceOrder"):
        crash_point("call.before_reply", method)
        print(method, number, flush=True)
"""


@pytest.mark.parametrize(
    ("at", "passed"),
    [
        ("", 6),
        ("outbox.before_publish", 6),
        ("call.before_reply", 0),
        ("call.before_reply:4", 3),
        ("call.before_reply/PlaceOrder", 1),
        ("call.before_reply/PlaceOrder:3", 5),
        ("call.before_reply/CancelOrder", 6),
    ],
)
def test_a_process_dies_where_it_was_told_to(at: str, passed: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, at], cwd=ROOT, capture_output=True, text=True, check=False
    )
    points = [line for line in ran.stdout.splitlines() if line.endswith(("0", "1", "2"))]
    assert (len(points), ran.returncode) == (passed, 0 if passed == 6 else -9), ran.stderr


@pytest.mark.parametrize("at", ["outbox", "outbox.before_publish:0", "call.before_reply:x", "nowhere"])
def test_a_point_that_does_not_exist_is_refused(at: str) -> None:
    with pytest.raises(FatalError, match=r"no such crash point, there are call\.received, "):
        crash.arm(at, quiet_log())
