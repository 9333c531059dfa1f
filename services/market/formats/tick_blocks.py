"""The tick blocks of one file in the making: sequences counted, time kept from going back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import gt

from services.market.formats.rejects import TIME_BACKWARDS, LineError, Reject
from services.market.formats.rows import TickBlock
from services.market.formats.stamps import iso
from services.market.instruments import Instrument

Row = tuple[int, int, int, int, int, int]
"""Line, time, bid, ask, bid size, ask size; a size that is not known is 0."""
Ticks = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int], Sequence[int]]
"""Times, bids, asks, bid sizes, ask sizes; the sizes may be empty columns."""


class TickBlocks:
    """What a reader of ticks remembers from block to block: how many it accepted, and the last of them."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.last_ns = 0
        self._digits = instrument.digits
        self._last_line = 0
        self._accepted = 0

    def accept(self, line: int, time_ns: int) -> None:
        """The next tick is of this line and time. Raises LineError `TIME_BACKWARDS`."""
        if time_ns < self.last_ns:
            raise LineError(TIME_BACKWARDS, self.backwards(time_ns))
        self.last_ns, self._last_line = time_ns, line

    def backwards(self, time_ns: int) -> str:
        """Why a tick of that time is late."""
        before = f"line {self._last_line} was at {iso(self.last_ns)}"
        return f"{iso(time_ns)} is in the past: {before}, expected that time or later"

    def of_rows(
        self,
        first_line: int,
        last_line: int,
        found: Iterable[Row | Reject],
        *,
        sized: tuple[bool, bool] = (True, True),
        notes: Sequence[Reject] = (),
    ) -> TickBlock:
        """The block of rows and rejects in file order. `sized`: the file has bid sizes, ask sizes.

        `notes` may still grow while `found` is read.
        """
        rows = list(found)
        rejects = tuple(row for row in rows if isinstance(row, Reject))
        table = [row for row in rows if not isinstance(row, Reject)]
        lines, times, bids, asks, bid_sizes, ask_sizes = ([row[place] for row in table] for place in range(6))
        ticks = times, bids, asks, bid_sizes if sized[0] else [], ask_sizes if sized[1] else []
        return self.block(first_line, last_line, lines, ticks, rejects, tuple(notes))

    def block(
        self,
        first_line: int,
        last_line: int,
        lines: Sequence[int],
        ticks: Ticks,
        rejects: tuple[Reject, ...] = (),
        notes: tuple[Reject, ...] = (),
    ) -> TickBlock:
        """The next block: `ticks` accepted from `lines`, none of them late."""
        times, bids, asks, bid_sizes, ask_sizes = ticks
        first_sequence = self._accepted + 1
        self._accepted += len(times)
        if times:
            self.last_ns, self._last_line = times[-1], lines[-1]
        return TickBlock(
            symbol=self.symbol,
            digits=self._digits,
            first_line=first_line,
            last_line=last_line,
            first_sequence=first_sequence,
            times_ns=times,
            bids=bids,
            asks=asks,
            lines=lines,
            bid_sizes=bid_sizes,
            ask_sizes=ask_sizes,
            rejects=rejects,
            notes=notes,
            crossed=sum(map(gt, bids, asks)),
        )
