"""All timeframes of a symbol from one stream of ticks, for little more than the price of the shortest.

Only the shortest is built from ticks. Each longer one is built from closed bars of the longest that divides
it, and closes at the same moment as if it had seen every tick: when market time reaches its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.quant.bars import NEVER_DUE_NS, Bar, BarBuilder
from services.quant.timeframes import DayOrigin, Timeframe


@dataclass(frozen=True, slots=True)
class LadderState:
    """What a ladder knew: enough to go on in another process as if nothing had happened.

    `begin_ns` and `forming` by rung, shortest first, internal rungs among them: give them back unchanged.
    """

    begin_ns: tuple[int, ...]
    forming: tuple[Bar | None, ...]


class BarLadder:
    """Bars of several timeframes of one symbol. Bars that close together come out shortest first."""

    def __init__(
        self,
        symbol: str,
        digits: int,
        timeframes: Iterable[Timeframe] = tuple(Timeframe),
        day_origin: DayOrigin = DayOrigin.NEW_YORK,
    ) -> None:
        """Raises ValueError for no timeframe."""
        wanted = sorted(set(timeframes), key=lambda each: each.ns)
        if not wanted:
            raise ValueError("a ladder needs at least one timeframe")
        rungs = _with_common_base(wanted)
        self.symbol = symbol
        self.timeframes = tuple(wanted)
        self._builders = [BarBuilder(symbol, each, digits, day_origin) for each in rungs]
        self._emitted = [each in wanted for each in rungs]
        self._fed_by_me = [
            [index for index, each in enumerate(rungs) if _feeder(rungs, each) == feeder]
            for feeder in range(len(rungs))
        ]
        self._due_ns = [NEVER_DUE_NS] * len(rungs)  # the base looks after itself and is never due here

    @property
    def late_ticks(self) -> int:
        """Ticks that came after their bucket was left, and are in no bar."""
        return self._builders[0].late_ticks

    def add(self, time_ns: int, bid: int, ask: int) -> list[Bar]:
        """Take one tick; the bars that it closed."""
        closed = self._builders[0].add(time_ns, bid, ask)
        return self._climb([] if closed is None else [closed], self._builders[0].begin_ns)

    def add_many(self, times_ns: Sequence[int], bids: Sequence[int], asks: Sequence[int]) -> list[Bar]:
        """Take ticks in feed order; the bars that they closed, in the order in which `add` closes them."""
        closed = self._builders[0].add_many(times_ns, bids, asks)
        return self._climb(closed, self._builders[0].begin_ns)

    def advance(self, now_ns: int) -> list[Bar]:
        """Tell that the market clock reads `now_ns`; the bars whose buckets have ended by then."""
        closed = self._builders[0].close_due(now_ns)
        return self._climb([] if closed is None else [closed], now_ns)

    def flush(self, end_ns: int | None = None) -> list[Bar]:
        """End of the session at market time `end_ns`; every bar that was forming, partial if not at its end.

        Without `end_ns` the session ended within the present bucket of the shortest timeframe.
        """
        out: list[Bar] = []
        for index, builder in enumerate(self._builders):
            bar = builder.flush(end_ns)
            if bar is not None:
                self._hand_on(index, bar, out)
        self._due_ns = [NEVER_DUE_NS] * len(self._builders)
        return out

    def forming(self, timeframe: Timeframe) -> Bar | None:
        """The bar of `timeframe` so far, every tick included; None when its bucket has no tick yet.

        Raises KeyError for a timeframe that is not built.
        """
        if timeframe not in self.timeframes:
            raise KeyError(timeframe)
        index = next(i for i, each in enumerate(self._builders) if each.timeframe is timeframe)
        target = self._builders[index]
        chain = [index]
        while chain[-1]:
            chain.append(next(i for i, fed in enumerate(self._fed_by_me) if chain[-1] in fed))
        scratch = BarBuilder(target.symbol, timeframe, target.digits, target.day_origin)
        for each in chain:  # longest first is oldest first: a feeder holds what came after its last close
            part = self._builders[each].forming()
            if part is not None:
                scratch.merge(part)
        return scratch.forming()

    def state(self) -> LadderState:
        """For `resume`, also in another process."""
        return LadderState(
            tuple(each.begin_ns for each in self._builders), tuple(each.forming() for each in self._builders)
        )

    def resume(self, state: LadderState) -> None:
        """Continue from `state` of a ladder of the same timeframes. Raises ValueError for other ones."""
        if len(state.begin_ns) != len(self._builders):
            raise ValueError(f"state of {len(state.begin_ns)} rungs for a ladder of {len(self._builders)}")
        for builder, begin_ns, forming in zip(self._builders, state.begin_ns, state.forming, strict=True):
            if forming is not None and forming.timeframe is not builder.timeframe:
                raise ValueError(f"state of {forming.timeframe} where the ladder has {builder.timeframe}")
            builder.resume(begin_ns, forming)
        self._due_ns[1:] = [each.due_ns for each in self._builders[1:]]

    def _climb(self, closed: list[Bar], now_ns: int) -> list[Bar]:
        """Hand closed bars of the base on.

        Buckets begin and end where the base's do, so that a longer one is due exactly when the base's next
        bucket begins at or after its end.
        """
        out: list[Bar] = []
        for index, bar in enumerate(closed):
            self._hand_on(0, bar, out)
            self._close_due(closed[index + 1].open_ns if index + 1 < len(closed) else now_ns, out)
        if not closed:
            self._close_due(now_ns, out)
        return out

    def _close_due(self, now_ns: int, out: list[Bar]) -> None:
        due_ns = self._due_ns
        if now_ns < min(due_ns):
            return
        for index, due in enumerate(due_ns):  # shortest first: a bar handed on can make a longer one due
            if due <= now_ns:
                bar = self._builders[index].close_due(now_ns)
                due_ns[index] = NEVER_DUE_NS
                if bar is not None:
                    self._hand_on(index, bar, out)

    def _hand_on(self, index: int, bar: Bar, out: list[Bar]) -> None:
        if self._emitted[index]:
            out.append(bar)
        for fed in self._fed_by_me[index]:
            builder = self._builders[fed]
            builder.merge(bar)
            self._due_ns[fed] = builder.due_ns


def _with_common_base(wanted: list[Timeframe]) -> list[Timeframe]:
    """The wanted ones, below them the longest timeframe that divides all, unless the shortest does."""
    dividing = [each for each in Timeframe if all(larger.ns % each.ns == 0 for larger in wanted)]
    base = dividing[-1]
    return wanted if base is wanted[0] else [base, *wanted]


def _feeder(rungs: list[Timeframe], rung: Timeframe) -> int | None:
    """Index of the longest rung below `rung` that divides it; None for the base."""
    below = [index for index, each in enumerate(rungs) if each.ns < rung.ns and rung.ns % each.ns == 0]
    return below[-1] if below else None
