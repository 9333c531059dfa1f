"""`account`, `accounts`, `risk`, `halt`, `resume`."""

import uuid

import pytest

from tests.cli.commands.conftest import Fxmesh


@pytest.fixture
def account(fxmesh: Fxmesh) -> str:
    name = f"a-{uuid.uuid4().hex[:12]}"
    done = fxmesh("accounts", "open", name, "--currency", "eur", "--deposit", "500.5")
    assert (done.code, done.err) == (0, "")
    assert "500.50 EUR" in done.out
    assert "request id  " in done.out
    return name


def test_an_account_in_both_forms(fxmesh: Fxmesh, account: str) -> None:
    done = fxmesh("account", account)
    assert done.code == 0
    assert "balance      500.50 EUR" in done.out
    assert fxmesh("account", account, "--json").data["account"]["balance"] == "500.50"
    assert account in fxmesh("accounts").out
    assert account in {each["accountId"] for each in fxmesh("accounts", "--json").data["accounts"]}
    assert "demo" in fxmesh("account").out


def test_a_request_happens_once(fxmesh: Fxmesh) -> None:
    name = f"a-{uuid.uuid4().hex[:12]}"
    arguments = ("accounts", "open", name, "--request-id", f"r-{name}", "--json")
    assert fxmesh(*arguments).data == fxmesh(*arguments).data
    again = fxmesh("accounts", "open", name, "--json")
    assert (again.code, again.error["reason"]) == (4, "ACCOUNT_EXISTS")
    reused = fxmesh("accounts", "open", f"{name}-b", "--request-id", f"r-{name}", "--json")
    assert reused.error["reason"] == "REQUEST_ID_REUSED"


def test_auto_trading_is_switched(fxmesh: Fxmesh, account: str) -> None:
    assert fxmesh("accounts", "auto-trade", account, "on", "--json").data["account"]["autoTrade"] is True
    assert fxmesh("accounts", "auto-trade", account, "off").code == 0
    assert fxmesh("account", account, "--json").data["account"]["autoTrade"] is False
    assert fxmesh("accounts", "auto-trade", account, "maybe").code == 2


@pytest.mark.parametrize("command", [("account",), ("risk",), ("accounts", "auto-trade")])
def test_an_unknown_account_says_where_the_known_ones_are(fxmesh: Fxmesh, command: tuple[str, ...]) -> None:
    done = fxmesh(*command, "nobody", *(("on",) if len(command) == 2 else ()))
    assert done.code == 4
    assert "fxmesh accounts" in done.err


def test_a_halted_account_refuses_and_resumes(fxmesh: Fxmesh, account: str) -> None:
    assert "halted" in fxmesh("halt", "--account", account, "--reason", "news").out
    risk = fxmesh("risk", account)
    assert risk.code == 0
    assert "news" in risk.out
    order = ("order", "buy", "EURUSD", "1000", "--account", account)
    refused = fxmesh(*order)
    assert refused.code == 4
    assert "fxmesh resume" in refused.err
    assert fxmesh("risk", account, "--json").data["riskState"]["refusals"] == {"TRADING_HALTED": "1"}
    assert "reducing" in fxmesh("halt", "--reducing", "--account", account).out
    assert fxmesh(*order, "--json").error["reason"] == "TRADING_REDUCING"
    (state,) = fxmesh("resume", "--account", account, "--json").data["accounts"]
    assert state["tradingState"] == "TRADING_STATE_ACTIVE"
    assert fxmesh("halt", "--account", "nobody").code == 4


def test_a_halt_tells_what_it_leaves_at_the_venue(fxmesh: Fxmesh, account: str) -> None:
    halt = ("halt", "--account", account)
    assert "No entry order is working." in fxmesh(*halt).out
    assert fxmesh(*halt, "--json").data["workingEntries"] == {}
    fxmesh("resume", "--account", account)
    far = ("--limit", "1.05", "--account", account)
    for _ in range(2):
        assert fxmesh("order", "buy", "EURUSD", "1000", *far).code == 0
    told = fxmesh(*halt, "--reducing").out
    assert f"2 in {account}" in told
    assert f"`fxmesh order cancel --all --account {account}`" in told
    answer = fxmesh(*halt, "--json").data
    assert answer["workingEntries"] == {account: 2}
    assert [each["tradingState"] for each in answer["accounts"]] == ["TRADING_STATE_HALTED"]
    assert fxmesh("order", "cancel", "--all", "--account", account).code == 0
    assert "No entry order is working." in fxmesh(*halt).out


def test_a_halt_withdraws_entries_where_that_is_asked_for_and_leaves_exits(fxmesh: Fxmesh) -> None:
    name = f"halt-{uuid.uuid4().hex[:12]}"
    fxmesh("accounts", "open", name, "--deposit", "50000")
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    below, above = (f"{float(quote['bid']) * share:.5f}" for share in (0.97, 1.03))
    at = ("EURUSD", "1000", "--account", name)
    fxmesh("order", "buy", *at, "--stop-loss", below, "--take-profit", above)
    entries = [
        fxmesh("order", "buy", *at, "--limit", below, "--json").data["order"]["orderId"] for _ in range(2)
    ]
    halt = ("halt", "--cancel-entries", "--account", name)
    done = fxmesh(*halt, "--request-id", f"r-{name}")
    assert (done.code, done.err) == (0, "")
    assert f"Entry orders withdrawn: 2 in {name}." in done.out
    assert "No entry order is working." in done.out
    again = fxmesh(*halt, "--request-id", f"r-{name}", "--json")
    assert (again.data["cancelledEntries"], again.data["workingEntries"]) == ({name: "2"}, {})
    gone = [fxmesh("order", "show", each, "--json").data["order"] for each in entries]
    told = {(each["status"], each["reason"]) for each in gone}
    assert told == {("ORDER_STATUS_CANCELLED", "TRADING_HALTED")}
    left = fxmesh("orders", "--open", "--account", name, "--json").data["orders"]
    assert [each["reduceOnly"] for each in left] == [True, True]
    fxmesh("resume", "--account", name)
    assert "Entry orders withdrawn: none." in fxmesh(*halt).out


def test_the_ledger_and_its_double_entry(fxmesh: Fxmesh, account: str) -> None:
    done = fxmesh("ledger", account)
    assert (done.code, done.err) == (0, "")
    assert "deposit" in done.out and "500.50" in done.out
    postings = fxmesh("ledger", account, "--postings", "-n", "1")
    assert [line.split()[-3:] for line in postings.out.splitlines()[-2:]] == [
        ["cash", "500.5", "EUR"],
        ["funding", "-500.5", "EUR"],
    ]
    (made,) = fxmesh("ledger", account, "--postings", "--json").data["transactions"]
    assert (made["kind"], made["entry"]) == ("TRANSACTION_KIND_DEPOSIT", "1")
    assert fxmesh("ledger", "nobody", "--json").error["reason"] == "UNKNOWN_ACCOUNT"


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_the_kill_switch_does_not_guess_whom_an_argument_means(typed: Fxmesh, command: str) -> None:
    done = typed(command, "demo")
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean `fxmesh {command} --account demo`?" in done.err
    assert "nothing was sent" in done.err


def test_limits_are_set_shown_and_audited(fxmesh: Fxmesh, account: str) -> None:
    done = fxmesh("risk", account, "--set", "order_notional=100", "--set", "leverage=5", "--reason", "news")
    assert (done.code, done.err) == (0, "")
    assert "order notional" in done.out and "100.00" in done.out
    shown = fxmesh("risk", account, "--json").data["riskState"]["limits"]
    assert {each["name"]: each["limit"] for each in shown if each.get("setAtRunTime")} == {
        "leverage": "5",
        "order_notional": "100.00",
    }
    assert fxmesh("risk", account, "--set", "order_notional=", "--symbol", "EURUSD").out.startswith("Nothing")
    assert fxmesh("risk", account, "--set", "order_notional=").code == 0
    changes = fxmesh("risk", account, "--changes")
    assert changes.code == 0
    assert "news" in changes.out and "anonymous:nobody" in changes.out  # as who this test calls
    assert len(fxmesh("risk", account, "--changes", "--json").data["changes"]) == 3
    wrong = fxmesh("risk", account, "--set", "sizes=1")
    assert (wrong.code, "order_notional" in wrong.err) == (2, True)
    refused = fxmesh("risk", account, "--set", "daily_loss=2", "--json")
    assert refused.error["reason"] == "VALIDATION_FAILED"


def test_an_account_is_flattened_once_for_each_request_though_it_is_halted(fxmesh: Fxmesh) -> None:
    name = f"flat-{uuid.uuid4().hex[:12]}"
    fxmesh("accounts", "open", name, "--deposit", "50000")
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    far = f"{float(quote['bid']) * 0.97:.5f}"
    fxmesh("order", "buy", "EURUSD", "10000", "--account", name)
    fxmesh("order", "buy", "EURUSD", "1000", "--limit", far, "--account", name)
    fxmesh("halt", "--account", name)
    done = fxmesh("flatten", name, "--request-id", f"r-{name}")
    assert (done.code, done.err) == (0, "")
    assert f"{name} is flat." in done.out
    again = fxmesh("flatten", name, "--request-id", f"r-{name}", "--json").data
    ((closed,), (cancelled,)) = again["positions"], again["orders"]
    assert (closed["size"], closed["order"]["filledSize"]) == ("10000", "10000")
    assert (cancelled["status"], cancelled["reason"]) == ("ORDER_STATUS_CANCELLED", "FLATTENED")
    assert again["flat"] is True
    fxmesh("resume", "--account", name)
    assert "Nothing was open." in fxmesh("flatten", name, "--symbol", "EURUSD").out
    assert fxmesh("flatten", "nobody").code == 4


def test_a_difference_from_the_venue_is_shown_and_adopted(fxmesh: Fxmesh) -> None:
    name = "typed-far"  # has 2000 there
    assert fxmesh("accounts", "open", name, "--venue", "far", "--deposit", "1500").code == 0
    seen = fxmesh("account", name, "--json")
    while "venueDifferences" not in seen.data["account"] or not seen.data["account"]["venueDifferences"]:
        seen = fxmesh("account", name, "--json")
    shown = fxmesh("account", name).out
    assert "AT THE VENUE" in shown
    figures = ("--venue-figure", "2000", "--books-figure", "1500", "--reason", "opening")
    stale = fxmesh("accounts", "adopt", name, "balance", *figures[:3], "1", *figures[4:], "--json")
    assert (stale.code, stale.error["reason"]) == (4, "DIFFERENCE_CHANGED")
    done = fxmesh("accounts", "adopt", name, "balance", *figures)
    assert (done.code, done.err) == (0, "")
    assert "2000.00 USD" in done.out
    assert "AT THE VENUE" not in done.out
    assert "2000 at the venue for 1500 here" in fxmesh("ledger", name).out
