"""Tells, about once a second, what orders beyond the rate were refused: `domain/storms` says which."""

from __future__ import annotations

from services.errors import FxError
from services.trading_gateway.domain import storms
from services.trading_gateway.handlers.desk import Desk

TELL_S = 1.0


class Storms:
    """What a process that is killed has not told yet, at most a second of it, is not told."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self) -> None:
        """Background."""
        while True:
            await self._desk.clock.sleep(TELL_S)
            await self.finish()

    async def finish(self) -> None:
        """Tell what there is, as far as the store takes it."""
        try:
            await self.tell()
        except FxError as failure:
            self._desk.log.warning("refusals.not_told", error=str(failure))

    async def tell(self) -> None:
        """Journal and publish what came together."""
        if self._desk.standing is None or not self._desk.standing.book.tallies:
            return
        with self._desk.step() as engine:
            for each in storms.due(engine.book):
                engine.orders_refused(each)
        await self._desk.settle()
