"""Answers as text and as JSON."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fxmesh.marketdata.v1 import market_pb2 as market
from fxmesh.trading.v1 import trading_pb2 as trading
from fxmesh.types.v1 import market_pb2 as types
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli import paint, render
from services.cli.render import Printer, Table


def test_enums_are_words() -> None:
    assert (
        render.word(trading.Order(status=trading.ORDER_STATUS_PARTIALLY_FILLED), "status")
        == "partially filled"
    )
    assert render.word(trading.Order(), "status") == ""
    assert render.word(types.Bar(timeframe=types.TIMEFRAME_M15), "timeframe") == "15m"
    newer = trading.Order.FromString(b"\x60\x63")  # status 99, of a contract to come
    assert render.word(newer, "status") == ""


def test_times_have_no_idle_fraction() -> None:
    assert render.clock(Timestamp(seconds=1)) == "1970-01-01 00:00:01"
    assert render.clock(Timestamp(seconds=1, nanos=5_000_000)) == "1970-01-01 00:00:01.005"
    assert render.clock(Timestamp()) == ""


def test_json_keeps_decimals_and_long_numbers_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    quote = market.Quote(symbol="EURUSD", bid="1.30000", sequence=2**60)
    Printer(True).answer({"quote": quote, "n": 1}, "not shown")
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["n"] == 1
    assert data["quote"]["bid"] == "1.30000"
    assert data["quote"]["sequence"] == str(2**60)
    assert data["quote"]["bidSize"] == ""


def test_json_of_a_stream_is_an_object_a_line_and_remarks_are_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Printer(True)
    out.item(market.Quote(bid="1"), "not shown")
    out.note("not shown")
    printed = capsys.readouterr()
    assert (printed.out.count("\n"), printed.err) == (1, "")
    assert json.loads(printed.out)["bid"] == "1"


def test_plain_tables(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("A", "B"), [("x", "1"), ("y", "22")], right=("B",), title="Title")
    Printer(False).answer({}, table, Table(("A",), [], empty="None."), render.pairs([("a", "1"), ("b", "")]))
    assert capsys.readouterr().out == "Title\nA   B\nx   1\ny  22\n\nNone.\n\na  1\n"


def test_numbers_of_a_column_have_their_points_one_below_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("EURUSD", "10000", "-1.5"), ("USDJPY", "-0.25", "no quote"), ("XAUUSD", "1,200.5", "12.00")]
    Printer(False).answer({}, Table(("SYMBOL", "SIZE", "PROFIT"), rows, points=("SIZE", "PROFIT")))
    assert capsys.readouterr().out.splitlines() == [
        "SYMBOL      SIZE    PROFIT",
        "EURUSD  10000        -1.5",
        "USDJPY     -0.25  no quote",
        "XAUUSD  1,200.5      12.00",
    ]


def test_ages_are_read_at_a_glance() -> None:
    now = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
    ages = {0: "0s", 42: "42s", 423: "7m 03s", 19_200: "5h 20m", 1_051_200: "12d 4h", -5: "0s"}
    for seconds, shown in ages.items():
        then = Timestamp()
        then.FromDatetime(now - timedelta(seconds=seconds))
        assert render.age(then, now) == shown
        assert render.market_age("replay-x", then, now) == ""
    assert render.age(Timestamp(), now) == ""


def test_a_margin_level_is_shown_in_percent() -> None:
    assert [render.percent(each) for each in ("1.2345", "0.5", "")] == ["123.45 %", "50.00 %", ""]


@pytest.mark.parametrize(
    ("painted", "colours"),
    [
        (paint.side, {"buy": "green", "long": "green", "sell": "red", "short": "red", "flat": ""}),
        (paint.gain, {"1.00": "green", "-0.01": "red", "0.00": "", "no quote": "", "": ""}),
        (paint.state, {"filled": "green", "halted": "red", "reducing": "yellow", "accepted": ""}),
        (paint.level, {"99.99 %": "red", "100.00 %": "yellow", "250.00 %": "green", "": ""}),
    ],
)
def test_colours_say_what_the_words_say(painted: Callable[[str], str], colours: dict[str, str]) -> None:
    assert {text: painted(text) for text in colours} == colours


def test_colours_are_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table(("SIDE", "SIZE"), [("sell", "1.5")], points=("SIZE",), paint={"SIDE": paint.side})
    Printer(False).answer({}, table)
    assert "\x1b" not in capsys.readouterr().out
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    render.print_table(table)
    assert "\x1b[31msell" in terminal.getvalue()
    painted = terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    render.print_table(table)
    assert "\x1b[31m" not in terminal.getvalue().removeprefix(painted)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_tables_on_a_terminal_take_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    render.print_table(Table(("A", "ID"), [("[red]x[/red]", "o-" + "y" * 30)]))
    assert "[red]x" in terminal.getvalue()
    assert terminal.getvalue().count("y") == 30
    assert Printer(False).live
    assert not Printer(True).live
