"""What is wrong with a tick: crossed, locked, wide, the first after a gap. Data is flagged, not refused."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Flag

from services.market.calendar import calendar
from services.market.instruments import Instrument
from services.market.ticks import TickBatch


class Flaw(Flag):
    """Flaws of one tick; `Flaw.NONE` is false. Every tick is stored and published, flawed or not."""

    NONE = 0
    CROSSED = 1
    """Bid above ask. Not traded on: at least one side is wrong."""
    LOCKED = 2
    """Bid equals ask. Common on aggregated feeds and tradable."""
    WIDE = 4
    """Spread above the instrument's limit. Tradable; a risk check or strategy may say no."""
    GAPPED = 8
    """The feed was silent for longer than the instrument's price age limit while its market was open."""
    JUMPED = 16
    """The middle moved further from the tick before than the instrument's jump limit."""


UNTRADABLE = Flaw.CROSSED | Flaw.GAPPED | Flaw.JUMPED
"""A quote with any of these is not traded on; the next tick without them is."""


def spread_flaws(bid: int, ask: int, max_spread: int) -> Flaw:
    """CROSSED, LOCKED or WIDE from the tick alone (raw prices of the same scale)."""
    spread = ask - bid
    if spread < 0:
        return Flaw.CROSSED
    if spread == 0:
        return Flaw.LOCKED
    return Flaw.WIDE if spread > max_spread else Flaw.NONE


def jumped(previous: int, middle: int, max_jump_bp: int) -> bool:
    """True when twice the middle price moved by more than `max_jump_bp` ten-thousandths of what it was."""
    return abs(middle - previous) * 10_000 > previous * max_jump_bp


class TickInspector:
    """Flags the ticks of one feed of one instrument, in order; keeps the time and middle of the last one.

    A crossed tick does not move the remembered middle, lest the good tick after it looked like a jump.
    """

    def __init__(self, instrument: Instrument, calendar_name: str | None = None) -> None:
        """`calendar_name` replaces the instrument's own (`always_open` for a synthetic feed)."""
        self._instrument = instrument
        self._calendar = calendar(calendar_name or instrument.calendar)
        self._time_ns: int | None = None
        self._twice_middle: int | None = None

    def inspect(self, time_ns: int, bid: int, ask: int) -> Flaw:
        """Flaws of the next tick, prices raw at the instrument's digits."""
        # Runs for every tick: the flag operators are slow, so the common good tick touches none of them.
        limits = self._instrument
        spread = ask - bid
        flaws = Flaw.NONE if 0 < spread <= limits.max_spread else spread_flaws(bid, ask, limits.max_spread)
        last_ns, self._time_ns = self._time_ns, time_ns
        if last_ns is not None and self._silent(last_ns, time_ns):
            flaws |= Flaw.GAPPED
        if spread >= 0:
            last, self._twice_middle = self._twice_middle, bid + ask
            if last is not None and jumped(last, bid + ask, limits.max_jump_bp):
                flaws |= Flaw.JUMPED
        return flaws

    def _silent(self, last_ns: int, time_ns: int) -> bool:
        """Silence counts only while the market was open: no weekend is a gap in the feed."""
        limit = self._instrument.max_price_age_ns
        return time_ns - last_ns > limit and self._calendar.open_between(last_ns, time_ns) > limit

    def inspect_batch(self, batch: TickBatch) -> Iterator[Flaw]:
        """Flaws of each tick in order. Raises ValueError for a batch of another symbol or scale."""
        if (batch.symbol, batch.digits) != (self._instrument.symbol, self._instrument.digits):
            raise ValueError(
                f"not a batch of {self._instrument.symbol}: {batch.batch_id}, digits {batch.digits}"
            )
        return map(self.inspect, batch.times_ns, batch.bids, batch.asks)
