"""How a serving process looks for cycles of garbage: seldom, and never through what it was made of.

Calls in flight hold some thousand objects that live for a moment. By Python's own measure (700 more than the
last time) a busy server looks at them again and again, finds that they live, and ages them into the
generation whose collection goes through all there is, which is a pause.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""So many objects more are looked at; all that a thousand calls in flight hold is about as much."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Inside, modules and all that is there now count as permanent, and the young may be many."""
    first, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
        gc.unfreeze()
