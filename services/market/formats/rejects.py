"""What is wrong with a line of a file: the reasons, the `Reject` that reports a line, text made safe to show.

The reasons are names of `fxmesh.errors.v1.Reason`. A reject never stops a reader; `strict` turns it into
FxError.
"""

from __future__ import annotations

from dataclasses import dataclass

BAD_ENCODING = "BAD_ENCODING"
BAD_FIELD_COUNT = "BAD_FIELD_COUNT"
BAD_JSON = "BAD_JSON"
BAD_PRICE = "BAD_PRICE"
BAD_SIZE = "BAD_SIZE"
BAD_TIMESTAMP = "BAD_TIMESTAMP"
DATE_REQUIRED = "DATE_REQUIRED"
DUPLICATE_BAR = "DUPLICATE_BAR"
EMPTY_FILE = "EMPTY_FILE"
FILE_NOT_FOUND = "FILE_NOT_FOUND"
FILE_UNREADABLE = "FILE_UNREADABLE"
MISSING_HOUR = "MISSING_HOUR"
NON_POSITIVE_PRICE = "NON_POSITIVE_PRICE"
NOT_TEXT = "NOT_TEXT"
NOT_TRADEABLE = "NOT_TRADEABLE"
OHLC_INCONSISTENT = "OHLC_INCONSISTENT"
OUTSIDE_MARKET_HOURS = "OUTSIDE_MARKET_HOURS"
PRICE_IMPLAUSIBLE = "PRICE_IMPLAUSIBLE"
PRICE_PRECISION = "PRICE_PRECISION"
SYMBOL_REQUIRED = "SYMBOL_REQUIRED"
TIMEFRAME_REQUIRED = "TIMEFRAME_REQUIRED"
TIME_BACKWARDS = "TIME_BACKWARDS"
TRUNCATED = "TRUNCATED"
UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
WRONG_SYMBOL = "WRONG_SYMBOL"

SHOWN_TEXT = 120
"""Characters of an offending line that a reject carries: enough to find it, too few to flood a log."""
SHOWN_FIELD = 40


@dataclass(frozen=True, slots=True)
class Reject:
    """One line (or record) that is not data. `line` counts from 1, header and blank lines included.

    `detail` is one sentence that says what was found and what was expected; `text` the line itself, escaped
    and cut to 120 characters (`…` marks the cut).
    """

    line: int
    reason: str
    detail: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.detail}"


class LineError(Exception):
    """Why one line is refused; raised by the parsers of fields, turned into a `Reject` by who reads lines."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def shown(text: str | bytes, limit: int = SHOWN_TEXT) -> str:
    """`text` fit for a terminal or a log: unprintable characters escaped, cut to `limit` characters."""
    if isinstance(text, bytes):
        text = text[: limit * 4 + 4].decode("utf-8", "backslashreplace")
    safe = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def quoted(text: str) -> str:
    """A field within a sentence: escaped, cut to 40 characters, in quotes."""
    return f"'{shown(text, SHOWN_FIELD)}'"
