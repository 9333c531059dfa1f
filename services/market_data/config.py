"""Settings of market data: FXMESH_MARKET_DATA_<FIELD>."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from services.market.instruments import INSTRUMENTS
from services.runtime.settings import CommaSeparated, service_config

PAIRS = tuple(symbol for symbol, each in INSTRUMENTS.items() if each.calendar == "fx")


def _known(symbols: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [symbol for symbol in symbols if symbol not in INSTRUMENTS]
    if unknown:
        raise ValueError(f"no instrument {', '.join(unknown)}; known are {', '.join(INSTRUMENTS)}")
    return tuple(dict.fromkeys(symbols))


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("market_data")

    synthetic: bool = True
    """Run the synthetic feed. Off: prices come from replays only."""
    symbols: Annotated[CommaSeparated, AfterValidator(_known)] = PAIRS
    """Symbols of the synthetic feed. Fewer symbols, less work for every service when idle."""
    seed: int = 20140501
    """Seed of the synthetic feed: the same seed and steps, the same prices."""
    ticks_per_second: float = Field(default=1.0, gt=0, le=1000)
    """Mean synthetic ticks a second of each symbol."""
    flush_seconds: float = Field(default=0.25, gt=0, le=5)
    """How long synthetic ticks are gathered into a batch; adds as much latency."""
    history_ticks: int = Field(default=20_000, ge=1000)
    """Ticks of a session and symbol held for stream readers that resume; about 100 bytes each."""
    backlog_bound: int = Field(default=256, ge=1)
    """An unpaced replay waits while a required consumer has more tick batches than this still to handle."""
    consumer_timeout_seconds: float = Field(default=60.0, gt=0)
    """A replay fails when a consumer it waits for has handled nothing for so long: unpaced one that must not
    miss ticks, in lockstep analysis or trading. Shorter than a restart takes, a restart ends replays."""
