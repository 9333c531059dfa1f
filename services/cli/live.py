"""A table that is redrawn in place, where standard output is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from services.cli.render import Table, rich_table

if TYPE_CHECKING:
    from rich.live import Live


class LiveTable:
    """Does nothing unless `on`; the last state of the table stays on the screen."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.on:
            from rich.live import Live

            self._live = Live(refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, table: Table) -> None:
        """The table as it is now."""
        if self._live is not None:
            self._live.update(rich_table(table))
