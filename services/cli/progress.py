"""A bar for long work, on standard error; nothing where that is no terminal or JSON was asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """One piece of work after the other on the same line: `stage`, then `at` as it goes on."""

    def __init__(self, as_json: bool) -> None:
        self._progress: Progress | None = None
        if not as_json and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[remark]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task("", total=None, remark="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def stage(self, name: str) -> None:
        """The next piece begins; how much there is of it, `at` says."""
        if self._progress is not None:
            self._progress.reset(self._task, total=None, description=name, remark="")

    def at(self, done: int, total: int, remark: str = "") -> None:
        """`done` of `total` (0 while unknown)."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total or None, remark=remark)
