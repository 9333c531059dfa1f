"""From raw lines to fields, and from a refusal to a `Reject`: what the readers of ticks and bars share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from services.market.formats.columns import PRICES, Columns
from services.market.formats.rejects import (
    BAD_ENCODING,
    BAD_FIELD_COUNT,
    NOT_TEXT,
    TRUNCATED,
    LineError,
    Reject,
    shown,
)
from services.market.formats.source import MAX_LINE, LineBlock

Row = TypeVar("Row")

# Bytes no line of text holds; a tab is text.
_CONTROL = bytes(set(range(32)) - {9}) + b"\x7f"


def without_header(blocks: Iterator[LineBlock]) -> Iterator[LineBlock]:
    """The blocks after the first line that is not blank."""
    for block in blocks:
        for index, line in enumerate(block.lines):
            if line.strip():
                yield replace(block, first_line=block.first_line + index + 1, lines=block.lines[index + 1 :])
                yield from blocks
                return


def judged(
    block: LineBlock,
    parse: Callable[[int, str], Row | None],
    check_uncut: Callable[[str], None] | None = None,
) -> Iterator[Row | Reject]:
    """What `parse(line number, text)` makes of each line that is not blank, or why the line is refused.

    A last line without a newline may have been cut: it is taken only if nothing speaks for that, neither
    `parse` nor `check_uncut(text)`. A line of which `parse` makes None is passed over.
    """
    unfinished = None if block.terminated else block.last_line
    for number, line in enumerate(block.lines, block.first_line):
        if not line.strip():
            continue
        try:
            text = _text(line)
            if number == unfinished and check_uncut:
                check_uncut(text)
            row = parse(number, text)
            if row is not None:
                yield row
        except LineError as refused:
            reason, detail = refused.reason, refused.detail
            if number == unfinished:
                reason, detail = TRUNCATED, f"the file ends inside this line, without a newline: {detail}"
            yield Reject(number, reason, detail, shown(line))
    if block.damage:
        yield block.damage


def judged_columns(
    block: LineBlock, columns: Columns, parse: Callable[[int, list[str]], Row]
) -> Iterator[Row | Reject]:
    """As `judged`, with lines cut at their commas: `parse(line number, fields)`."""

    def parse_text(number: int, text: str) -> Row:
        fields = text.split(",")
        if len(fields) != columns.count:
            raise LineError(BAD_FIELD_COUNT, f"the line has {len(fields)} fields, expected {columns.count}")
        return parse(number, fields)

    return judged(block, parse_text, lambda text: _check_uncut(text.split(","), columns))


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise LineError(BAD_FIELD_COUNT, f"the line has more than {MAX_LINE} bytes: are newlines missing?")
    if len(line.translate(None, _CONTROL)) != len(line):
        raise LineError(NOT_TEXT, "the line holds control characters, expected plain text")
    try:
        return line.decode()
    except UnicodeDecodeError as refused:
        detail = f"byte {refused.start + 1} of the line is not UTF-8, expected plain text"
        raise LineError(BAD_ENCODING, detail) from None


def _check_uncut(fields: list[str], columns: Columns) -> None:
    """Refuses a line that ends in a price with fewer decimals than its other prices: 1.38 may once have been
    1.38686.
    """
    if len(fields) != columns.count:
        return
    decimals = {
        place: len(fields[place].partition(".")[2])
        for name, place in columns.places.items()
        if name in PRICES
    }
    last = columns.count - 1
    if last in decimals and decimals[last] < max(decimals.values()):
        raise LineError(
            TRUNCATED, f"its last price has {decimals[last]} decimals, others {max(decimals.values())}"
        )
