"""How far the paper venue is from a perfect one: slippage, latency, partial fills, refusals, lost answers.

What happens to an order is drawn from the seed and the order alone, so it is the same in every run, after a
restart, and however ticks are cut into batches.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

PPM = 1_000_000


class Fate(Enum):
    """What becomes of an order on its way to the venue and of the answer on its way back."""

    ANSWERED = "answered"
    LOST = "lost"
    """The venue never gets it."""
    UNANSWERED = "unanswered"
    """The venue works it, and its answer never comes."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Shares in millionths. The defaults are a perfect venue."""

    seed: int = 0
    slippage_ticks: int = 0
    """Most that a fill at market is worse than the quote."""
    latency_ns: int = 0
    """Market time between acceptance and the first quote that an order may fill at."""
    partial_ppm: int = 0
    """Fills that get only a part of what the quote holds; not those of fill-or-kill orders."""
    reject_ppm: int = 0
    lost_ppm: int = 0
    unanswered_ppm: int = 0
    drop_ppm: int = 0
    """Requests after which the session with a simulated venue ends; the paper venue inside has none."""
    financing_ppm: int = 0
    """Largest annual rate, paid or received, at which a simulated venue finances a position overnight."""
    bust_ppm: int = 0
    """Fills that a simulated venue takes back at a later quote."""
    settle_ns: int = 5_000_000_000
    """Market time after which a venue that did not answer is asked, and its word taken."""

    def fate(self, order_id: str) -> Fate:
        """Of an order."""
        drawn = self._draw("answer", order_id) % PPM
        if drawn < self.lost_ppm:
            return Fate.LOST
        return Fate.UNANSWERED if drawn < self.lost_ppm + self.unanswered_ppm else Fate.ANSWERED

    def rejects(self, order_id: str) -> bool:
        """True for an order that the venue refuses."""
        return self._draw("reject", order_id) % PPM < self.reject_ppm

    def drops(self, order_id: str, request: str) -> bool:
        """True for a request after which the session ends, before anything that came of it is heard."""
        return self._draw("drop", request, order_id) % PPM < self.drop_ppm

    def busts(self, execution_id: str) -> bool:
        """True for a fill that is taken back."""
        return bool(self.bust_ppm) and self._draw("bust", execution_id) % PPM < self.bust_ppm

    def slippage(self, order_id: str, number: int) -> int:
        """Ticks by which the `number`-th fill of an order is worse."""
        return self._draw("slip", order_id, number) % (self.slippage_ticks + 1) if self.slippage_ticks else 0

    def overnight_ppm(self, account_id: str, symbol: str, day: str) -> int:
        """Annual rate of a position at a roll, below zero where its holder pays."""
        most = self.financing_ppm
        return self._draw("financing", account_id, symbol, day) % (2 * most + 1) - most

    def part(self, order_id: str, number: int, size: int, step: int) -> int:
        """How much of `size`, in whole steps and more than nothing, a fill gets that is the `number`-th."""
        drawn = self._draw("part", order_id, number)
        if drawn % PPM >= self.partial_ppm:
            return size
        percent = 10 + drawn // PPM % 81
        return max(size * percent // 100 // step * step, min(step, size))

    def _draw(self, *of: object) -> int:
        digest = hashlib.sha256(repr((self.seed, *of)).encode()).digest()
        return int.from_bytes(digest[:8], "big")


PERFECT = Conditions()
