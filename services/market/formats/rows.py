"""What the readers yield: ticks one by one and in blocks, bars, and the summary of a whole file.

Times are nanoseconds since 1970 UTC. Prices are integers scaled by the instrument's digits, sizes whole units
of the base currency. No float is made on the way from the text to these values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.market.formats.rejects import Reject
from services.market.ticks import TickBatch

Ohlc = tuple[int, int, int, int]
"""Open, high, low, close, scaled."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick of a file. `sequence` is its 1-based place among the accepted ticks: the same in every
    reading.
    """

    line: int
    sequence: int
    time_ns: int
    bid: int
    ask: int
    bid_size: int | None = None
    ask_size: int | None = None


@dataclass(frozen=True, slots=True)
class TickBlock:
    """The ticks of consecutive lines as columns, with the rejects met among them; both in file order.

    Lines `first_line` to `last_line`; each is a tick, a reject, blank or the header. Size columns are empty
    when the file has none. `crossed` counts ticks whose bid is above the ask: data, never refused. `notes`
    point out what is no fault: hours without a file, prices that nobody could trade on.
    """

    symbol: str
    digits: int
    first_line: int
    last_line: int
    first_sequence: int
    times_ns: Sequence[int]
    bids: Sequence[int]
    asks: Sequence[int]
    lines: Sequence[int]
    bid_sizes: Sequence[int] = ()
    ask_sizes: Sequence[int] = ()
    rejects: tuple[Reject, ...] = ()
    notes: tuple[Reject, ...] = ()
    crossed: int = 0

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last tick; `first_sequence - 1` when no line of the block was a tick."""
        return self.first_sequence + len(self.times_ns) - 1

    @property
    def outside_hours(self) -> int:
        """Ticks carry no market-hours flag: feeds quote before the open, and each tick stands for itself."""
        return 0

    def batch(self, session_id: str) -> TickBatch:
        """The ticks as a batch of feed session `session_id`, sequences as in the file."""
        return TickBatch(
            session_id,
            self.symbol,
            self.first_sequence,
            self.digits,
            self.times_ns,
            self.bids,
            self.asks,
            self.bid_sizes,
            self.ask_sizes,
        )

    def ticks(self) -> list[Tick]:
        """The ticks one by one."""
        count = len(self)
        unknown: Sequence[int | None] = [None] * count
        return [
            Tick(*row)
            for row in zip(
                self.lines,
                range(self.first_sequence, self.first_sequence + count),
                self.times_ns,
                self.bids,
                self.asks,
                self.bid_sizes or unknown,
                self.ask_sizes or unknown,
                strict=True,
            )
        ]


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar of a file: it covers `open_ns` up to `open_ns` plus the bar length.

    A one-sided file fills one of `bid` and `ask`. `outside_hours`: the whole bar lies in hours in which the
    instrument's calendar is closed, which is what a file in the wrong time zone looks like.
    """

    line: int
    open_ns: int
    bid: Ohlc | None
    ask: Ohlc | None
    volume: int | None = None
    outside_hours: bool = False


@dataclass(frozen=True, slots=True)
class BarBlock:
    """The bars of consecutive lines with the rejects met among them; both in file order."""

    symbol: str
    digits: int
    seconds: int
    first_line: int
    last_line: int
    bars: tuple[BarRow, ...]
    rejects: tuple[Reject, ...] = ()

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def times_ns(self) -> Sequence[int]:
        """Opening times."""
        return [bar.open_ns for bar in self.bars]

    @property
    def notes(self) -> tuple[Reject, ...]:
        """None: bars outside market hours are flagged one by one."""
        return ()

    @property
    def outside_hours(self) -> int:
        """Bars flagged as lying outside market hours."""
        return sum(bar.outside_hours for bar in self.bars)

    @property
    def crossed(self) -> int:
        """Bars whose bid opens or closes above the ask."""
        sides = ((bar.bid, bar.ask) for bar in self.bars)
        return sum(bid[0] > ask[0] or bid[3] > ask[3] for bid, ask in sides if bid and ask)


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What became of each line of a file; equal to the file's truth once the reading has ended.

    `lines` counts all lines, the one in which a cut file stops included: accepted + rejected + skipped.
    `skipped` are the header, blank lines and what a format passes over. `reasons` counts rejects by reason,
    `notes` what is pointed out without being a fault. `first_ns` and `last_ns` are None when nothing was
    accepted. `whole` is false while reading, and after a file that stops early or is damaged: `damage` says
    why and where.
    """

    file: str
    format: str
    symbol: str
    lines: int = 0
    accepted: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] | None = None
    notes: Mapping[str, int] | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    crossed: int = 0
    outside_hours: int = 0
    whole: bool = False
    damage: Reject | None = None

    @property
    def skipped(self) -> int:
        """Lines that are neither data nor refused."""
        return self.lines - self.accepted - self.rejected
