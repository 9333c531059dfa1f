"""What trading knows of one market: its last quote, whether that may be traded on, and how far its ticks were
read.

The state after a tick is a function of the ticks alone, however they were cut into batches, so that the
journal needs to keep no more than "session, symbol, first to last sequence". `skip` is the cheap way through
a batch that nothing waits for: it looks at the last tick only, and gives the same state as `take` on each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from services.errors import FxError, Kind
from services.market.calendar import calendar
from services.market.instruments import Instrument, instrument
from services.market.quality import jumped
from services.market.ticks import TickBatch
from services.money.rounding import power_of_ten, rescale_exact


class Flaw(Enum):
    """Why a quote is not traded on."""

    NONE = "none"
    CROSSED = "crossed"
    GAPPED = "gapped"
    """The first after missing ticks, a long silence or an implausible jump."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of book at one tick. Prices raw at the instrument's digits, sizes raw at its size digits, None
    unknown.
    """

    session_id: str
    symbol: str
    sequence: int
    time_ns: int
    bid: int
    ask: int
    bid_size: int | None
    ask_size: int | None
    flaw: Flaw = Flaw.NONE

    @property
    def tradable(self) -> bool:
        """True for a quote without a flaw."""
        return self.flaw is Flaw.NONE


@dataclass(frozen=True, slots=True)
class FeedState:
    """All of a feed that outlives the process."""

    scope: str
    symbol: str
    session_id: str = ""
    sequence: int = 0
    """Last tick read; 0 before the first."""
    marked: int = 0
    """Last tick that the journal names."""
    time_ns: int = 0
    """Market time up to which the symbol is complete."""
    tick_ns: int = 0
    twice_middle: int = 0
    """Of the last tick that was not crossed; 0 before one."""
    always_open: bool = False
    ended: bool = False
    resting: bool = False
    """A replay has taken the symbol: no live tick came since."""
    quote: Quote | None = None
    good: Quote | None = None
    """The last tradable quote of this or an earlier session: what amounts are converted and valued at."""


class Feed:
    """The ticks of one symbol in one scope (the live market, or one replay), in order."""

    def __init__(self, state: FeedState) -> None:
        self.state = state
        self.instrument: Instrument = instrument(state.symbol)
        self._gap = False

    @property
    def calendar_name(self) -> str:
        """The calendar that its market keeps."""
        return "always_open" if self.state.always_open else self.instrument.calendar

    def join(self, session_id: str, *, always_open: bool) -> None:
        """Follow another session from its start; the last good quote stays for conversion."""
        if session_id != self.state.session_id:
            self._gap = False
            self.state = FeedState(
                self.state.scope,
                self.state.symbol,
                session_id,
                always_open=always_open,
                time_ns=self.state.time_ns,
                good=self.state.good,
            )

    def fresh(self, batch: TickBatch) -> TickBatch:
        """The ticks of `batch` that were not read yet, at the instrument's digits.

        Raises FxError INVALID_ARGUMENT `PRICE_PRECISION` for prices that need more.
        """
        new = batch.trimmed_after(self.state.sequence)
        if new.digits == self.instrument.digits:
            return new
        try:
            return _rescaled(new, self.instrument.digits)
        except ValueError as failure:
            detail = f"{batch.batch_id}: {failure}"
            raise FxError(Kind.INVALID_ARGUMENT, "PRICE_PRECISION", detail) from failure

    def gapped_by(self, batch: TickBatch) -> bool:
        """True when ticks are missing before a fresh batch. Where nothing was read yet, nothing is missed."""
        return 0 < self.state.sequence < batch.first_sequence - 1

    def begin(self, batch: TickBatch) -> None:
        """A fresh batch does not follow on what was read: the journal goes on at its first tick, and a first
        tick after missing ones is not traded on. Mark what was read before.
        """
        self._gap = self.gapped_by(batch)
        self.state = replace(self.state, marked=batch.first_sequence - 1)

    def take(self, batch: TickBatch, index: int) -> None:
        """Read the tick at `index` of a fresh batch, those before it having been read."""
        state = self.state
        time_ns, bid, ask = batch.times_ns[index], batch.bids[index], batch.asks[index]
        flaw = self._flaw(time_ns, bid, ask, state.tick_ns, state.twice_middle)
        self._gap = False
        quote = self._quote(batch, index, flaw)
        self.state = replace(
            state,
            sequence=quote.sequence,
            time_ns=max(state.time_ns, time_ns),
            tick_ns=time_ns,
            twice_middle=bid + ask if flaw is not Flaw.CROSSED else state.twice_middle,
            resting=False,
            quote=quote,
            good=quote if quote.tradable else state.good,
        )

    def skip(self, batch: TickBatch, start: int, stop: int) -> None:
        """Read ticks `start` to `stop` of a fresh batch at once: the same state as taking each."""
        last = stop - 1
        before = last - 1
        if before >= start and batch.bids[before] <= batch.asks[before]:
            time_ns, bid, ask = batch.times_ns[last], batch.bids[last], batch.asks[last]
            twice_middle = batch.bids[before] + batch.asks[before]
            gap, self._gap = self._gap, False
            if self._flaw(time_ns, bid, ask, batch.times_ns[before], twice_middle) is Flaw.NONE:
                quote = self._quote(batch, last, Flaw.NONE)
                self.state = replace(
                    self.state,
                    sequence=quote.sequence,
                    time_ns=max(self.state.time_ns, time_ns),
                    tick_ns=time_ns,
                    twice_middle=bid + ask,
                    resting=False,
                    quote=quote,
                    good=quote,
                )
                return
            self._gap = gap
        for index in range(start, stop):
            self.take(batch, index)

    def reach(self, time_ns: int) -> None:
        """The market time moved on without a tick."""
        if time_ns > self.state.time_ns:
            self.state = replace(self.state, time_ns=time_ns)

    def seed(self, quote: Quote) -> None:
        """A quote asked for, until the first tick comes; it does not count as a tick read."""
        if self.state.quote is None and quote.session_id == self.state.session_id:
            good = quote if quote.tradable else self.state.good
            time_ns = max(self.state.time_ns, quote.time_ns)
            self.state = replace(self.state, quote=quote, good=good, time_ns=time_ns)

    def rest(self) -> None:
        """No tick comes for a while, and the price is not that of the market any more."""
        self.state = replace(self.state, resting=True)

    def end(self) -> None:
        """No tick follows in this session."""
        self.state = replace(self.state, ended=True)

    @property
    def unmarked(self) -> bool:
        """True when ticks were read that the journal does not name yet."""
        return self.state.sequence > self.state.marked

    def mark(self) -> tuple[int, int]:
        """The first and last tick that the journal does not name yet; from now on it does."""
        first, last = self.state.marked + 1, self.state.sequence
        self.state = replace(self.state, marked=last)
        return first, last

    def _flaw(self, time_ns: int, bid: int, ask: int, before_ns: int, twice_middle: int) -> Flaw:
        if bid > ask or bid <= 0:
            return Flaw.CROSSED
        if self._gap or (before_ns and self._silent(before_ns, time_ns)):
            return Flaw.GAPPED
        if twice_middle and jumped(twice_middle, bid + ask, self.instrument.max_jump_bp):
            return Flaw.GAPPED
        return Flaw.NONE

    def _silent(self, before_ns: int, time_ns: int) -> bool:
        """Longer without a tick than the instrument allows, weekends and pauses not counted."""
        limit = self.instrument.max_price_age_ns
        if time_ns - before_ns <= limit:
            return False
        return calendar(self.calendar_name).open_between(before_ns, time_ns) > limit

    def _quote(self, batch: TickBatch, index: int, flaw: Flaw) -> Quote:
        unit = power_of_ten(self.instrument.size_digits)
        return Quote(
            batch.session_id,
            batch.symbol,
            batch.first_sequence + index,
            batch.times_ns[index],
            batch.bids[index],
            batch.asks[index],
            batch.bid_sizes[index] * unit if batch.bid_sizes else None,
            batch.ask_sizes[index] * unit if batch.ask_sizes else None,
            flaw,
        )


def _rescaled(batch: TickBatch, digits: int) -> TickBatch:
    return replace(
        batch,
        digits=digits,
        bids=[rescale_exact(raw, batch.digits, digits) for raw in batch.bids],
        asks=[rescale_exact(raw, batch.digits, digits) for raw in batch.asks],
    )
