"""An event loop whose time passes only where it waits, and where a test says that something was computed."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.runtime.loop import Load

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    """Lets time pass instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits and nothing will ever happen"
        if timeout > 0:
            self.loop.now += timeout
            self.loop.idle_ns += round(timeout * 1e9)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now` in seconds; `load` as that of a measured loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.idle_ns = 0
        self.load = Load(lambda: self.idle_ns, self.now)
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(loop: VirtualLoop, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end, however long that is in virtual time."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)
