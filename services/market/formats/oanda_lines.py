"""OANDA's pricing stream as it is recorded: one JSON object a line.

`PRICE` objects are ticks: the best of their bids and asks with its liquidity, or the close-out price where a
side has no levels (size 0: nothing is on offer there). `HEARTBEAT` objects are passed over, a price that
nobody could trade on is noted. Numbers stay the text they are, so no float is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from services.errors import FxError, Kind
from services.market.formats.format import Head, TickFormat
from services.market.formats.lines import judged
from services.market.formats.prices import Prices, check_symbol, parse_size, symbol_of
from services.market.formats.rejects import (
    BAD_JSON,
    BAD_PRICE,
    NOT_TRADEABLE,
    SYMBOL_REQUIRED,
    LineError,
    Reject,
    shown,
)
from services.market.formats.rows import TickBlock
from services.market.formats.source import LineBlock, Source
from services.market.formats.stamps import ISO, Stamps
from services.market.formats.tick_blocks import Row, TickBlocks
from services.market.instruments import Instrument

_STAMPS = Stamps(ISO, "2016-10-27T08:38:43.094548890Z")
_EXAMPLE = '{"type":"PRICE","instrument":"EUR_USD","time":"...","bids":[...],"asks":[...]}'


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_number)


class OandaLines:
    """Reads the blocks of one recorded stream in order."""

    def __init__(self, instrument: Instrument) -> None:
        self._prices = Prices(instrument)
        self._ticks = TickBlocks(instrument)
        self._notes: list[Reject] = []

    def read(self, block: LineBlock) -> TickBlock:
        """The ticks, rejects and notes of the next block of lines."""
        self._notes.clear()
        rows = judged(block, self._tick)
        return self._ticks.of_rows(block.first_line, block.last_line, rows, notes=self._notes)

    def _tick(self, line: int, text: str) -> Row | None:
        found = _object(text)
        if found.get("type", "PRICE") == "HEARTBEAT":
            return None
        if found.get("type", "PRICE") != "PRICE":
            raise LineError(BAD_JSON, f"its type is {_said(found['type'])}, expected PRICE or HEARTBEAT")
        check_symbol(_text(found, "instrument"), self._ticks.symbol)
        time_ns = _STAMPS.parse(_text(found, "time"))
        if not _tradeable(found):
            detail = "the price was not tradeable then: no tick is made of it"
            self._notes.append(Reject(line, NOT_TRADEABLE, detail, shown(text)))
            return None
        bid, bid_size = self._best(found, "bids", "closeoutBid")
        ask, ask_size = self._best(found, "asks", "closeoutAsk")
        self._ticks.accept(line, time_ns)
        return line, time_ns, bid, ask, bid_size, ask_size

    def _best(self, found: Mapping[str, Any], side: str, closeout: str) -> tuple[int, int]:
        levels = found.get(side, [])
        if not isinstance(levels, list) or not all(isinstance(level, dict) for level in levels):
            raise LineError(BAD_JSON, f"{side} is {_said(levels)}, expected a list of prices")
        if not levels:
            if closeout not in found:
                raise LineError(BAD_PRICE, f"the line has neither {side} nor {closeout}")
            return self._prices.parse(_text(found, closeout), closeout), 0
        best = levels[0]  # OANDA lists the best first
        price = self._prices.parse(_text(best, "price"), side)
        return price, parse_size(_text(best, "liquidity"), f"liquidity of {side}")


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError) as refused:
        why = refused.msg if isinstance(refused, json.JSONDecodeError) else "it is not sound"
        raise LineError(BAD_JSON, f"the line is no JSON object: {why}") from None
    if not isinstance(found, dict):
        raise LineError(BAD_JSON, f"the line is {_said(found)}, expected a JSON object")
    return found


def _text(found: Mapping[str, Any], name: str) -> str:
    """A field as text; numbers are text already."""
    value = found.get(name)
    if not isinstance(value, str):
        raise LineError(BAD_JSON, f"{name} is {_said(value)}, expected text")
    return value


def _tradeable(found: Mapping[str, Any]) -> bool:
    """Newer streams say it in `tradeable`, older ones in `status`."""
    return found.get("tradeable", True) is True and found.get("status", "tradeable") == "tradeable"


def _said(value: object) -> str:
    return "missing" if value is None else shown(json.dumps(value), 40)


def _known(line: str) -> Mapping[str, Any] | None:
    """The object of a head's line that looks like one of the stream's."""
    if not line.startswith("{"):
        return None
    try:
        found = _object(line)
    except LineError:
        return None
    price = "instrument" in found and ("bids" in found or "closeoutBid" in found)
    heartbeat = found.get("type") == "HEARTBEAT" and "time" in found
    return found if price or heartbeat else None


def _sniff(head: Head) -> int:
    return sum(_known(line) is not None for line in head.lines)


def _symbol(head: Head) -> str | None:
    """The one symbol of the head's lines; a stream of several is asked which is meant."""
    objects = (_known(line) or {} for line in head.lines)
    names = (symbol_of(found["instrument"]) for found in objects if isinstance(found.get("instrument"), str))
    symbols = list(dict.fromkeys(name for name in names if name))
    if len(symbols) > 1:
        several = ", ".join(symbols[:8])
        detail = f"{shown(head.path.name)} is a stream of several symbols ({several}): say which"
        raise FxError(Kind.INVALID_ARGUMENT, SYMBOL_REQUIRED, detail)
    return symbols[0] if symbols else None


def _read(source: Source, head: Head, instrument: Instrument, block: int) -> Iterator[TickBlock]:
    reader = OandaLines(instrument)
    return map(reader.read, source.line_blocks(block))


OANDA_TICKS = TickFormat(
    "oanda-json",
    "OANDA v20 pricing stream: a JSON object a line, times in UTC",
    _EXAMPLE,
    _sniff,
    _symbol,
    _read,
)
