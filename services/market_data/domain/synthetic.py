"""The synthetic feed: seeded random prices of all pairs that hang together: regimes, spreads, gaps, depth.

One random walk a currency (its worth in US dollars); a pair's middle is the quotient, so crosses agree with
the majors up to rounding. Regimes (calm, trending, stormy) change volatility, drift and spread. Everything
follows from the seed and the steps taken: no clock, no global state. Floats end here: ticks are integers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.market.instruments import Instrument

# Worth of one unit in US dollars where the walk starts: the order of magnitude of recent years, no forecast.
START_USD = {
    "USD": 1.0,
    "EUR": 1.0850,
    "GBP": 1.2650,
    "JPY": 1 / 148.50,
    "CHF": 1 / 0.8850,
    "AUD": 0.6570,
    "NZD": 0.6080,
    "CAD": 1 / 1.3550,
    "XAU": 2350.0,
    "XAG": 28.50,
}
SECONDS_A_YEAR = 365.25 * 86_400


@dataclass(frozen=True, slots=True)
class Regime:
    """A mood of the market: yearly volatility, drift in volatilities an hour, spread factor, mean length
    in s.
    """

    name: str
    volatility: float
    drift: float
    spread: float
    mean_s: float


REGIMES = (
    Regime("calm", 0.06, 0.0, 1.0, 900.0),
    Regime("trending", 0.09, 0.9, 1.2, 600.0),
    Regime("stormy", 0.30, 0.0, 2.6, 120.0),
)
# From each regime to (calm, trending, stormy).
TRANSITIONS = ((0.0, 0.85, 0.15), (0.8, 0.0, 0.2), (0.7, 0.3, 0.0))
GAP_CHANCE = 1 / 7200
"""Chance a second that a currency jumps by several of its usual daily moves' hundredths: news."""
BOOK_LEVELS = 10


@dataclass(frozen=True, slots=True)
class SyntheticTick:
    """One tick with its depth: prices raw at the instrument's digits, sizes in whole units, levels best
    first.
    """

    symbol: str
    time_ns: int
    bid: int
    ask: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class SyntheticFeed:
    """Steps all currencies together; each step gives ticks of the pairs that happen to quote."""

    def __init__(self, seed: int, instruments: Sequence[Instrument], ticks_per_second: float) -> None:
        """`ticks_per_second`: mean rate of each pair. The same arguments and steps give the same ticks."""
        self._random = random.Random(seed)
        self._instruments = tuple(instruments)
        self._rate = ticks_per_second
        names = sorted({code for each in instruments for code in (each.base, each.quote)} - {"USD"})
        self._log_usd = {code: math.log(START_USD[code]) for code in names}
        self._log_start = dict(self._log_usd)
        self._regime = 0
        self._regime_left = self._random.expovariate(1 / REGIMES[0].mean_s)
        self._trend = dict.fromkeys(names, 0.0)
        self._opening = True

    @property
    def regime(self) -> Regime:
        """The mood of the market now."""
        return REGIMES[self._regime]

    def step(
        self, start_ns: int, elapsed_s: float, resting: frozenset[str] = frozenset()
    ) -> Iterator[SyntheticTick]:
        """Ticks of the `elapsed_s` seconds from `start_ns`, in time order; `resting` pairs move but do not
        quote.

        Prices move once a step, so steps are short (about 0.1 s).
        """
        self._move(elapsed_s)
        # Every pair quotes in the first step, so that nobody waits for a price.
        expected, self._opening = (1.0 if self._opening else 1 - math.exp(-self._rate * elapsed_s)), False
        due = []
        for instrument in self._instruments:
            # One draw a pair whether it rests or not: pausing one pair leaves the others' prices as they
            # were.
            chance, when = self._random.random(), self._random.random()
            if chance < expected and instrument.symbol not in resting:
                due.append((start_ns + int(when * elapsed_s * 1e9), instrument))
        for time_ns, instrument in sorted(due, key=lambda item: (item[0], item[1].symbol)):
            yield self._tick(instrument, time_ns)

    def _move(self, elapsed_s: float) -> None:
        self._regime_left -= elapsed_s
        if self._regime_left <= 0:
            self._regime = self._random.choices(range(len(REGIMES)), TRANSITIONS[self._regime])[0]
            self._regime_left = self._random.expovariate(1 / self.regime.mean_s)
            self._trend = {
                code: self._random.choice((-1.0, 0.0, 1.0)) * self.regime.drift for code in self._trend
            }
        deviation = self.regime.volatility * math.sqrt(elapsed_s / SECONDS_A_YEAR)
        hourly = self.regime.volatility * math.sqrt(3600 / SECONDS_A_YEAR)
        for code, value in self._log_usd.items():
            # A weak pull to the start keeps a feed that runs for weeks within plausible prices.
            pull = (self._log_start[code] - value) * elapsed_s / (20 * 86_400)
            drift = self._trend[code] * hourly * elapsed_s / 3600
            jump = (
                self._random.gauss(0, 8 * hourly) if self._random.random() < GAP_CHANCE * elapsed_s else 0.0
            )
            self._log_usd[code] = value + self._random.gauss(0, deviation) + drift + pull + jump

    def _tick(self, instrument: Instrument, time_ns: int) -> SyntheticTick:
        base, quote = (
            0.0 if code == "USD" else self._log_usd[code] for code in (instrument.base, instrument.quote)
        )
        middle = math.exp(base - quote) * 10**instrument.digits
        # Majors quote at about a pip, wider pairs in proportion to what the instrument table calls wide.
        usual = max(4.0, instrument.max_spread / 20)
        spread = max(2, round(usual * self.regime.spread * self._random.uniform(0.7, 1.5)))
        bid = max(instrument.tick, round(middle - spread / 2 + self._random.gauss(0, usual / 6)))
        ask = bid + spread
        bids = self._levels(bid, -1, spread, instrument.lot_units)
        asks = self._levels(ask, 1, spread, instrument.lot_units)
        return SyntheticTick(instrument.symbol, time_ns, bid, ask, bids, asks)

    def _levels(self, best: int, direction: int, spread: int, lot: int) -> tuple[tuple[int, int], ...]:
        """Depth grows with the distance from the top: levels half a spread or more apart, of five lots up."""
        levels, price = [], best
        for level in range(BOOK_LEVELS):
            if price <= 0:
                break
            size = round(self._random.uniform(0.5, 2.0) * (1 + level)) * 5 * lot + 5 * lot
            levels.append((price, size))
            price += direction * max(1, round(spread / 2 * self._random.uniform(0.6, 1.6)))
        return tuple(levels)
