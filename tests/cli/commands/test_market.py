"""`quotes`, `books`, `instruments`."""

import json
import signal

from tests.cli.commands.conftest import Fxmesh, Watch


def test_quotes_are_a_table_with_the_market_s_own_digits(fxmesh: Fxmesh) -> None:
    done = fxmesh("quotes", "eur/usd", "USDJPY")
    assert (done.code, done.err) == (0, "")
    header, euro, yen = done.out.splitlines()
    assert header.split()[:5] == ["SYMBOL", "BID", "ASK", "QUALITY", "MARKET"]
    assert euro.split()[0] == "EURUSD"
    assert len(euro.split()[1].partition(".")[2]) == 5
    assert len(yen.split()[1].partition(".")[2]) == 3
    assert "good" in euro


def test_quotes_as_json_are_the_contract_s(fxmesh: Fxmesh) -> None:
    done = fxmesh("quotes", "EURUSD", "--json")
    assert done.code == 0
    (quote,) = done.data["quotes"]
    assert isinstance(quote["bid"], str)
    assert isinstance(quote["sequence"], str)
    assert quote["quality"] == "QUOTE_QUALITY_GOOD"


def test_an_unknown_symbol_says_where_the_known_ones_are(fxmesh: Fxmesh) -> None:
    done = fxmesh("quotes", "XXXYYY")
    assert (done.code, done.out) == (4, "")
    assert "XXXYYY" in done.err
    assert "fxmesh instruments" in done.err
    assert "correlation id " in done.err
    assert fxmesh("quotes", "XXXYYY", "--json").error["reason"] == "UNKNOWN_SYMBOL"


def test_a_broken_rule_is_shown_field_by_field(fxmesh: Fxmesh) -> None:
    done = fxmesh("quotes", "EUR!", "E")
    assert done.code == 4
    assert "\n  symbol[0]: " in done.err
    assert "\n  symbol[1]: " in done.err
    fields = [each["field"] for each in fxmesh("quotes", "E", "--json").error["details"]["violations"]]
    assert fields == ["symbol[0]"]


def test_a_watch_writes_an_object_a_line_until_ctrl_c(watched: Watch) -> None:
    watch = watched("quotes", "EURUSD")
    assert watch.stdout is not None
    first, second = json.loads(watch.stdout.readline()), json.loads(watch.stdout.readline())
    assert int(second["sequence"]) > int(first["sequence"])
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate()
    assert (watch.returncode, errors) == (0, "")


def test_a_book_has_the_best_prices_first(fxmesh: Fxmesh) -> None:
    done = fxmesh("books", "EURUSD", "--depth", "2")
    assert done.code == 0
    _, _, best, next_best = done.out.splitlines()
    assert float(best.split()[1]) > float(next_best.split()[1])
    assert float(best.split()[2]) < float(next_best.split()[2])
    (book,) = fxmesh("books", "EURUSD", "--depth", "2", "--json").data["orderBooks"]
    assert [len(book["bids"]), len(book["asks"])] == [2, 2]


def test_a_depth_beyond_the_most_is_wrong_usage(fxmesh: Fxmesh) -> None:
    assert fxmesh("books", "EURUSD", "--depth", "99").code == 2


def test_instruments_show_their_conventions(fxmesh: Fxmesh) -> None:
    done = fxmesh("instruments", "USDJPY")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[:2] == ["USDJPY", "0.01"]
    assert len(fxmesh("instruments", "--json").data["instruments"]) >= 28
    assert fxmesh("instruments", "XXXYYY").code == 4
