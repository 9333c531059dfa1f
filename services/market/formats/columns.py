"""Which column of a text file holds what: fixed for some formats, read from a header for others."""

from __future__ import annotations

from dataclasses import dataclass

from services.market.formats.stamps import Stamps

SIDE = ("open", "high", "low", "close")
BID_ASK = tuple(f"{side}_{each}" for side in ("bid", "ask") for each in SIDE)
PRICES = frozenset(("bid", "ask", *SIDE, *BID_ASK))
_KNOWN = PRICES | {"timestamp", "symbol", "bid_size", "ask_size", "volume"}

_ALIASES = {
    **dict.fromkeys(("time", "datetime", "date_time", "open_time"), "timestamp"),
    **dict.fromkeys(("instrument", "instrument_id", "pair"), "symbol"),
    **dict.fromkeys(("bidsize", "bid_volume", "bidvolume"), "bid_size"),
    **dict.fromkeys(("asksize", "ask_volume", "askvolume"), "ask_size"),
    "tick_volume": "volume",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Places (0-based) of the fields of a file by name; `count` fields a line, unknown names included.

    Names: timestamp, symbol, bid, ask, bid_size, ask_size, volume; open, high, low, close with or without
    `bid_` or `ask_` before them. Only a layout taken from a header has `header`.
    """

    places: dict[str, int]
    count: int
    stamps: Stamps
    header: bool = False

    def place(self, name: str) -> int | None:
        """Where `name` is, None when the file has no such column."""
        return self.places.get(name)

    def has(self, *names: str) -> bool:
        """True when the file has all of these columns."""
        return all(name in self.places for name in names)


def header_columns(line: str, stamps: Stamps) -> Columns | None:
    """The layout that a header line names; None when the line is no header: no known column, or one twice."""
    names = [name.strip().strip('"').lower() for name in line.split(",")]
    names = [_ALIASES.get(name, name) for name in names]
    known = [name for name in names if name in _KNOWN]
    if not known or len(set(known)) != len(known):
        return None
    places = {name: place for place, name in enumerate(names) if name in _KNOWN}
    return Columns(places, len(names), stamps, header=True)
