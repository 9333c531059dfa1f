"""Loads structlog without `rich`, which it imports wherever it is installed.

That is a sixth of a service's start-up and 3 MB in each of seven processes, for tracebacks nobody sees:
services log JSON or plain text. `rich` itself stays importable for the command, which draws tables with it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def load_structlog() -> None:
    """Import structlog as if `rich` were not installed, unless either is loaded already."""
    modules: dict[str, Any] = sys.modules  # None for a name makes its import fail
    if "structlog" in modules or "rich" in modules:
        return
    modules["rich"] = None
    try:
        importlib.import_module("structlog")
    finally:
        del modules["rich"]
