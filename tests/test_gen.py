"""gen/ is what protos/ generates, to the byte.

Needs npm once, for buf; without it the test fails and says so.
"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.protos
def test_generated_code_is_current(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "tools/contracts.py", "check"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
