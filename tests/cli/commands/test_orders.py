"""`order`, `orders`, `fills`, `positions`, `close`."""

import json
import uuid
from typing import Any

import pytest

from services.cli.output import ExitCode
from tests.cli.commands.conftest import Fxmesh, Watch


def account_of_its_own(fxmesh: Fxmesh, prefix: str = "t") -> str:
    name = f"{prefix}-{uuid.uuid4().hex[:12]}"
    assert fxmesh("accounts", "open", name, "--deposit", "50000").code == 0
    return name


def test_a_market_order_fills_shows_and_closes(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    done = fxmesh("order", "buy", "EURUSD", "10000", "--account", account, "--client-order-id", "first")
    assert (done.code, done.err) == (0, "")
    assert "client order id  first" in done.out

    order = fxmesh("order", "find", "first", "--account", account, "--json").data["order"]
    assert (order["side"], order["size"], order["type"]) == ("SIDE_BUY", "10000", "ORDER_TYPE_MARKET")
    assert order["orderId"] in fxmesh("orders", "--account", account).out
    (position,) = fxmesh("positions", "--account", account, "--json").data["positions"]
    assert position["size"] == "10000"
    assert "EURUSD" in fxmesh("positions", "--account", account).out
    assert account in {each["accountId"] for each in fxmesh("positions", "--json").data["positions"]}
    assert fxmesh("positions", "--account", "nobody", "--json").error["reason"] == "UNKNOWN_ACCOUNT"
    (fill,) = fxmesh("fills", "--account", account, "--json").data["fills"]
    assert fill["orderId"] == order["orderId"]
    assert order["orderId"] in fxmesh("fills", "EURUSD", "--account", account).out

    assert fxmesh("close", "EURUSD", "--account", account).code == 0
    assert "No open positions." in fxmesh("positions", "--account", account).out
    done = fxmesh("account", account, "--reconcile")
    assert done.code == 0
    assert "The books, the fills (2) and the postings (3 transactions) are equal:" in done.out
    assert "venue:EURUSD" not in done.out  # all is closed and settled: nothing is left there
    assert done.out.count("cash") == 1
    assert fxmesh("account", account, "--reconcile", "--json").data["reconciliation"]["reconciled"] is True


def test_the_same_key_is_one_order_and_another_order_is_refused(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    arguments = ("order", "sell", "EURUSD", "10000", "--account", account, "--client-order-id", "k", "--json")
    first, again = fxmesh(*arguments), fxmesh(*arguments)
    assert first.data["order"]["orderId"] == again.data["order"]["orderId"]
    other = fxmesh(
        "order", "sell", "EURUSD", "20000", "--account", account, "--client-order-id", "k", "--json"
    )
    assert (other.code, other.error["reason"]) == (4, "DUPLICATE_CLIENT_ORDER_ID")


def test_a_size_in_lots_becomes_units_and_a_limit_order_waits(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    far = f"{float(quote['bid']) * 0.97:.5f}"
    placed = fxmesh("order", "buy", "eurusd", "0.25lot", "--limit", far, "--account", account, "--json")
    order = placed.data["order"]
    assert (order["size"], order["timeInForce"]) == ("25000", "TIME_IN_FORCE_GTC")
    assert order["orderId"] in fxmesh("orders", "--open", "--account", account).out

    nearer = f"{float(far) + 0.001:.5f}"
    amended = fxmesh("order", "amend", order["orderId"], "--limit", nearer, "--size", "20000", "--json")
    assert amended.data["order"]["size"] == "20000"
    assert nearer in fxmesh("order", "show", order["orderId"]).out
    stale = fxmesh("order", "amend", order["orderId"], "--size", "1000", "--revision", "1", "--json")
    assert (stale.code, stale.error["details"]["kind"]) == (4, "ABORTED")

    assert fxmesh("order", "cancel", order["orderId"]).code == 0
    done = fxmesh("order", "cancel", order["orderId"])
    assert done.code == 4
    assert "fxmesh orders" in done.err
    assert "No orders." in fxmesh("orders", "--open", "--account", account).out


def test_orders_of_every_type_show_what_they_wait_for(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    above, higher, below = (f"{float(quote['ask']) * factor:.5f}" for factor in (1.02, 1.021, 0.98))

    def place(side: str, *options: str) -> dict[str, Any]:
        done = fxmesh("order", side, "EURUSD", "1000", *options, "--account", account, "--json")
        assert done.code == 0, done.err
        order: dict[str, Any] = done.data["order"]
        return order

    limit = place("buy", "--limit", below, "--post-only")
    stop_limit = place("buy", "--stop", above, "--limit", higher)
    touch = place("buy", "--touch", below, "--trigger", "mid")
    place("buy")
    trailing = place("sell", "--trail", "0.01000", "--reduce-only", "--tif", "day")
    assert [each["type"].removeprefix("ORDER_TYPE_") for each in (limit, stop_limit, touch, trailing)] == [
        "LIMIT",
        "STOP_LIMIT",
        "MARKET_IF_TOUCHED",
        "TRAILING_STOP",
    ]
    assert (limit["postOnly"], touch["triggerSide"]) == (True, "TRIGGER_SIDE_MID")
    assert (trailing["reduceOnly"], trailing["trailDistance"]) == (True, "0.01000")
    shown = fxmesh("orders", "--open", "--account", account).out
    for text in ("limit gtc post-only", f"{above} then {higher}", f"{below} mid", " by 0.01000"):
        assert text in shown
    assert "trailing stop day reduce-only" in shown

    wider = fxmesh("order", "amend", trailing["orderId"], "--trail", "0.02000", "--json").data["order"]
    assert wider["trailDistance"] == "0.02000"
    taking = fxmesh("order", "buy", "EURUSD", "1000", "--limit", above, "--post-only", "--account", account)
    assert taking.code == 4
    assert "fxmesh quotes" in taking.err
    assert fxmesh("close", "EURUSD", "--account", account).code == 0
    assert trailing["orderId"] not in fxmesh("orders", "--open", "--account", account).out


def test_an_order_comes_with_its_take_profit_and_stop_loss(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    below = f"{float(quote['bid']) * 0.98:.5f}"
    place = ("order", "buy", "EURUSD", "1000", "--limit", below, "--account", account)
    bracket = (*place, "--take-profit", "+0.01000", "--stop-loss-trail", "0.00500")

    done = fxmesh(*bracket, "--client-order-id", "entry")
    assert done.code == 0
    assert "0.01000 from the fill" in done.out
    answer = fxmesh(*bracket, "--client-order-id", "entry", "--json").data
    entry, (profit, loss) = answer["order"], answer["attached"]
    assert {profit["status"], loss["status"]} == {"ORDER_STATUS_HELD"}
    assert profit["parentOrderId"] == loss["parentOrderId"] == loss["linkId"] == entry["orderId"]
    shown = fxmesh("order", "show", entry["orderId"]).out
    assert profit["orderId"] in shown
    assert loss["orderId"] in shown

    after = fxmesh(*place, "--after", entry["orderId"], "--link", "pair", "--json").data["order"]
    assert (after["status"], after["linkId"]) == ("ORDER_STATUS_HELD", "pair")
    assert entry["orderId"] in fxmesh("order", "show", after["orderId"]).out

    assert fxmesh("order", "cancel", entry["orderId"]).code == 0
    assert "No orders." in fxmesh("orders", "--open", "--account", account).out
    wrong = fxmesh(*place, "--take-profit", below, "--json")
    assert (wrong.code, wrong.error["reason"]) == (4, "TAKE_PROFIT_WRONG_SIDE")
    both = fxmesh(*place, "--stop-loss", "1.0", "--stop-loss-trail", "0.1")
    assert both.code == 4
    assert "stop_loss.trail_distance" in both.err


def test_all_working_orders_go_at_once(fxmesh: Fxmesh) -> None:
    account = account_of_its_own(fxmesh)
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    above = f"{float(quote['ask']) * 1.02:.5f}"
    for _ in range(2):
        assert fxmesh("order", "buy", "EURUSD", "1000", "--stop", above, "--account", account).code == 0
    cancelled = fxmesh("order", "cancel", "--all", "--account", account, "--json").data["orders"]
    assert len(cancelled) == 2
    assert "No order was working." in fxmesh("order", "cancel", "--all", "--account", account).out


@pytest.mark.parametrize("size", ["1e5", "NaN", "1_000", "１０００", "-5", "lot"])
def test_a_hostile_size_is_named(fxmesh: Fxmesh, size: str) -> None:
    done = fxmesh("order", "buy", "EURUSD", "--", size)
    assert done.code == 4
    assert "\n  size: " in done.err


def test_a_refused_check_says_which(fxmesh: Fxmesh) -> None:
    done = fxmesh("order", "buy", "EURUSD", "10000", "--limit", "9.00000", "--json")
    assert (done.code, done.error["reason"]) == (4, "PRICE_COLLAR")
    done = fxmesh("order", "buy", "EURUSD", "10000", "--account", "nobody")
    assert done.code == 4
    assert "fxmesh accounts" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("order", "cancel"),
        ("order", "cancel", "o-1", "--all"),
        ("order", "buy", "EURUSD", "1000", "--tif", "never"),
        ("order", "buy", "EURUSD"),
        ("order", "buy", "EURUSD", "1000", "--stop", "1.1", "--touch", "1.1"),
        ("order", "sell", "EURUSD", "1000", "--trail", "0.01", "--limit", "1.1"),
        ("order", "sell", "EURUSD", "1000", "--trail", "0.01", "--trigger", "last"),
        ("order", "buy", "EURUSD", "1000", "--limit", "1.1", "--expires", "soon"),
    ],
)
def test_wrong_usage_of_order(fxmesh: Fxmesh, arguments: tuple[str, ...]) -> None:
    assert fxmesh(*arguments).code == ExitCode.USAGE


def test_nothing_is_known_of_what_was_never_placed(fxmesh: Fxmesh) -> None:
    for command in (("order", "show", "o-none"), ("order", "find", "none"), ("order", "cancel", "o-none")):
        assert fxmesh(*command, "--json").error["reason"] == "UNKNOWN_ORDER"
    assert fxmesh("close", "USDCHF").code == 4


def test_a_watch_of_orders_begins_with_those_that_work(fxmesh: Fxmesh, watched: Watch) -> None:
    account = account_of_its_own(fxmesh)
    (quote,) = fxmesh("quotes", "EURUSD", "--json").data["quotes"]
    far = f"{float(quote['bid']) * 0.97:.5f}"
    placed = fxmesh("order", "buy", "EURUSD", "1000", "--limit", far, "--account", account, "--json")
    with watched("orders", "--account", account) as watch:
        assert watch.stdout is not None
        working = json.loads(watch.stdout.readline())
        fxmesh("order", "cancel", placed.data["order"]["orderId"])
        after = json.loads(watch.stdout.readline())
        watch.terminate()
    assert working["orderId"] == after["orderId"] == placed.data["order"]["orderId"]
    assert after["status"] in ("ORDER_STATUS_PENDING_CANCEL", "ORDER_STATUS_CANCELLED")


def test_positions_of_a_hedging_account_are_closed_by_their_ids(fxmesh: Fxmesh) -> None:
    account = f"h-{uuid.uuid4().hex[:12]}"
    opened = fxmesh("accounts", "open", account, "--deposit", "50000", "--hedging")
    assert "hedging" in opened.out
    long = fxmesh("order", "buy", "EURUSD", "10000", "--account", account, "--json").data["order"]["orderId"]
    short = fxmesh("order", "sell", "EURUSD", "4000", "--account", account, "--json").data["order"]["orderId"]
    shown = fxmesh("positions", "--account", account).out.splitlines()
    assert shown[0].split()[-2:] == ["AGE", "POSITION"]
    assert [(line.split()[2], line.split()[-1]) for line in shown[1:3]] == [("long", long), ("short", short)]
    level = shown[5].split()[-4:-2]  # of the account that holds them, in percent
    assert (float(level[0]) > 1_000, level[1]) == (True, "%")
    refused = fxmesh("close", "EURUSD", "--account", account)
    assert refused.code == 4
    assert "fxmesh positions" in refused.err
    assert fxmesh("close", "EURUSD", "--account", account, "--position", long, "--size", "4000").code == 0
    done = fxmesh("order", "buy", "EURUSD", "4000", "--account", account, "--position", short)
    assert done.code == 0
    (left,) = fxmesh("positions", "--account", account, "--json").data["positions"]
    assert (left["positionId"], left["size"]) == (long, "6000")
    assert fxmesh("account", account, "--reconcile").code == 0
