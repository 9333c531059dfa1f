"""What answers look like: protobuf JSON, or tables (rich on a terminal, aligned columns otherwise).

JSON is canonical protobuf JSON: names in lowerCamelCase (the REST edge answers with those of the contracts),
decimal strings stay strings, 64-bit integers are strings, times are RFC 3339, fields without a value are
there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli import output

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NUMBER = re.compile(r"-?[0-9][0-9,]*(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headers; columns named in `right` align right, numbers of those in `points` by their
    point. `empty` is shown for no rows; `paint` gives the colour of a column's cells on a terminal.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    empty: str = "Nothing yet."
    title: str = ""
    points: Sequence[str] = ()
    paint: Mapping[str, Callable[[str], str]] = field(default_factory=dict)

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The rows with the numbers of their `points` columns padded behind the point."""
        columns = [
            _by_point(column) if header in self.points else column
            for header, column in zip(self.headers, zip(*self.rows, strict=True), strict=True)
        ]
        return list(zip(*columns, strict=True))

    @property
    def rightward(self) -> frozenset[str]:
        """Columns that align right."""
        return frozenset((*self.right, *self.points))


class Printer:
    """Standard output in the form asked for; remarks go to standard error, and nowhere with JSON."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def answer(self, document: Message | Mapping[str, Any], *shown: Table | str) -> None:
        """The whole answer: `document` as JSON, else each of `shown`."""
        if self.as_json:
            output.print_json(plain(document))
            return
        for number, each in enumerate(shown):
            if number:
                print()
            print_table(each) if isinstance(each, Table) else print(each)
        sys.stdout.flush()

    def item(self, document: Message, line: str) -> None:
        """One of a stream of answers, on a line."""
        if self.as_json:
            output.print_json_line(plain(document))
        else:
            print(line, flush=True)

    def note(self, text: str) -> None:
        """A remark that is no part of the answer."""
        if not self.as_json:
            print(f"fxmesh: {text}", file=sys.stderr, flush=True)

    @property
    def live(self) -> bool:
        """Whether standard output is a terminal whose lines may be redrawn."""
        return not self.as_json and sys.stdout.isatty()


def plain(document: Message | Mapping[str, Any]) -> dict[str, Any]:
    """Messages, at any depth of mappings, as protobuf JSON."""
    if isinstance(document, Message):
        return MessageToDict(document, always_print_fields_with_no_presence=True)
    return {
        name: plain(value) if isinstance(value, Message | Mapping) else value
        for name, value in document.items()
    }


def print_table(table: Table) -> None:
    """The table as suits standard output."""
    if not table.rows:
        print(table.empty)
        return
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(table))
        return
    if table.title:
        print(table.title)
    right = frozenset(number for number, each in enumerate(table.headers) if each in table.rightward)
    text = output.text_table(table.headers, table.cells, right)
    print(text if any(table.headers) else text.partition("\n")[2])


def rich_table(table: Table) -> Any:
    """The same as a renderable of rich."""
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        title=table.title or None,
        title_justify="left",
        show_header=any(table.headers),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for header in table.headers:
        right = header in table.rightward
        # Fold: an id that is cut short cannot be copied.
        made.add_column(header, justify="right" if right else "left", no_wrap=right, overflow="fold")
    paints = [table.paint.get(header, _plainly) for header in table.headers]
    for row in table.cells:
        # Text: a bracket in an answer is no markup
        made.add_row(*(Text(cell, paint(cell.strip())) for cell, paint in zip(row, paints, strict=True)))
    return made


def _plainly(_: str) -> str:
    return ""


def _by_point(column: Sequence[str]) -> Sequence[str]:
    """Numbers with blanks where others have decimals, so that their points come one below the other."""
    behind = [len(each) - each.index(".") if "." in each else 0 for each in column]
    longest = max(
        (size for each, size in zip(column, behind, strict=True) if _NUMBER.fullmatch(each)), default=0
    )
    return [
        each + " " * (longest - size) if _NUMBER.fullmatch(each) else each
        for each, size in zip(column, behind, strict=True)
    ]


def word(message: Message, field: str) -> str:
    """An enum field as people write it: ORDER_STATUS_PARTIALLY_FILLED is `partially filled`, TIMEFRAME_M15
    `15m`; empty when unset or from a newer contract.
    """
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    assert enum is not None
    value = enum.values_by_number.get(getattr(message, field))
    if value is None or value.number == 0:
        return ""
    text = value.name.removeprefix(_WORD_START.sub("_", enum.name).upper() + "_")
    return timeframe_text(text) if enum.name == "Timeframe" else text.replace("_", " ").lower()


def timeframe_text(name: str) -> str:
    """`M15` as `15m`."""
    return f"{name[1:]}{name[0].lower()}"


def clock(time: Timestamp) -> str:
    """A time in UTC to the millisecond, without the fraction where it is none; empty when unset."""
    if not time.seconds and not time.nanos:
        return ""
    text = time.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{time.nanos // 1_000_000:03d}" if time.nanos else text


def age(time: Timestamp, now: datetime) -> str:
    """How long ago a time was, as `42s`, `7m 03s`, `5h 20m`, `12d 4h`; empty when unset."""
    if not time.seconds and not time.nanos:
        return ""
    seconds = max(int((now - time.ToDatetime(UTC)).total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60:02d}m"
    return f"{minutes}m {seconds % 60:02d}s" if minutes else f"{seconds}s"


def market_age(account: str, time: Timestamp, now: datetime) -> str:
    """How long ago a market time was; empty for the account of a replay, whose market is at another time."""
    return "" if account.startswith("replay-") else age(time, now)


def percent(share: str) -> str:
    """A share of one, as a decimal, in percent: `1.2345` is `123.45 %`; empty stays empty."""
    return f"{Decimal(share) * 100:.2f} %" if share else ""


def sentence(text: str) -> str:
    """The text of a service, ended by a full stop unless something else ends it."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def count(number: int) -> str:
    """A count with thousands apart."""
    return f"{number:,}"


def pairs(rows: Sequence[tuple[str, str]], title: str = "") -> Table:
    """Names and values, one a row; rows without a value are left out."""
    return Table(("", ""), [row for row in rows if row[1]], title=title)
