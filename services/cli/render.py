"""What answers look like: protobuf JSON, or tables (rich on a terminal, aligned columns otherwise).

JSON is canonical protobuf JSON: names in lowerCamelCase (the REST edge answers with those of the contracts),
decimal strings stay strings, 64-bit integers are strings, times are RFC 3339, fields without a value are
there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli import output

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headers; columns named in `right` align right. `empty` is shown for no rows."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    empty: str = "Nothing yet."
    title: str = ""


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
    right = frozenset(number for number, each in enumerate(table.headers) if each in table.right)
    text = output.text_table(table.headers, table.rows, right)
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
        right = header in table.right
        # Fold: an id that is cut short cannot be copied.
        made.add_column(header, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row))  # Text: a bracket in an answer is no markup
    return made


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


def sentence(text: str) -> str:
    """The text of a service, ended by a full stop unless something else ends it."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def count(number: int) -> str:
    """A count with thousands apart."""
    return f"{number:,}"


def pairs(rows: Sequence[tuple[str, str]], title: str = "") -> Table:
    """Names and values, one a row; rows without a value are left out."""
    return Table(("", ""), [row for row in rows if row[1]], title=title)
