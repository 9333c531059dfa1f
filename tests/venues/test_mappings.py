"""Recorded messages of OANDA v20 and FIX 4.4 as values of the port: nothing that books need is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.trading_gateway.domain import links
from services.trading_gateway.domain.reports import Accepted, AmendRefused, CancelRefused, Executed
from services.trading_gateway.domain.values import OrderStatus, Side
from services.trading_gateway.domain.venue_views import Holding, Snapshot, VenueOrder
from tests.trading_gateway.kit import open_floor
from tests.venues import mappings
from tests.venues.subjects import ACCOUNT, asked


def oanda(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "oanda_v20" / f"{name}.json").read_text())


def fix(shared_data: Path, name: str) -> list[dict[str, str]]:
    lines = (shared_data / "fix" / f"{name}.txt").read_text().splitlines()
    return [mappings.fix_fields(line) for line in lines if line.strip()]


def test_an_oanda_account_is_a_snapshot(shared_data: Path) -> None:
    response = oanda(shared_data, "accounts_v3_account_by_accountID")["response"]
    seen = mappings.oanda_snapshot(response, ACCOUNT)
    assert seen == Snapshot(
        cursor="833",
        orders=(
            VenueOrder(
                "myID", ACCOUNT, OrderStatus.ACCEPTED, 1467962327623211321, 5_000_000, 0, limit=87_000
            ),
        ),
        holdings=(Holding(ACCOUNT, "DE30_EUR", -2_000),),
        balances=((ACCOUNT, "48695.6580"),),
    )
    # Against books that know of none of it, all are differences: nothing is taken for ours.
    floor = open_floor()
    floor.open(ACCOUNT)
    found = links.compare(floor.engine.book, "paper", seen, (), ())
    assert len(found.differences[ACCOUNT]) == 3


def test_orders_and_transactions_of_oanda_are_views_and_reports(shared_data: Path) -> None:
    for name in ("orders_v3_accounts_accountID_orders_list", "orders_v3_accounts_accountID_order_details"):
        response = oanda(shared_data, name)["response"]
        for order in response.get("orders") or [response["order"]]:
            seen = mappings.oanda_order(order, ACCOUNT)
            assert (seen.size, seen.limit, seen.status) == (10_000, 120_000, OrderStatus.ACCEPTED)
    created = oanda(shared_data, "orders_v3_accounts_accountID_orders_create")["response"]
    transaction = created["orderCreateTransaction"]
    assert mappings.oanda_report(transaction) == Accepted(1477345698593753865, "oanda-2304")
    single = oanda(shared_data, "transactions_v3_accounts_transaction_details")["response"]["transaction"]
    assert mappings.oanda_report(single) == mappings.oanda_report(transaction)


def test_positions_of_oanda_are_holdings(shared_data: Path) -> None:
    response = oanda(shared_data, "positions_v3_accounts_accountID_positions")["response"]
    assert mappings.oanda_holdings(response["positions"], ACCOUNT) == (Holding(ACCOUNT, "DE30_EUR", -2_000),)


def test_an_order_of_ours_is_a_request_that_oanda_knows(shared_data: Path) -> None:
    sample = oanda(shared_data, "orders_v3_accounts_accountID_orders_create")["body"]["order"]
    ours = mappings.oanda_request(asked("k1", Side.SELL, "100", limit="1.20000"))["order"]
    same = {"type", "instrument", "units", "timeInForce", "positionFill"}
    assert {key: ours[key] for key in same} == {key: sample[key] for key in same}
    assert float(ours["price"]) == float(sample["price"])
    assert ours["clientExtensions"]["id"] == asked("k1", Side.SELL).order_id


def test_execution_reports_of_fix_are_fills(shared_data: Path) -> None:
    known = {each: f"o-{each}" for each in ("ORD001", "ORD002", "ORD003", "638644257007460000")}
    reports = [mappings.fix_report(each, known) for each in fix(shared_data, "fix44_fx_venue_samples")]
    at = 1705314600 * 10**9
    assert reports == [
        Executed(at, "o-ORD001", "EXEC001", 100_000_000, 108_500),
        Executed(at, "o-ORD002", "EXEC002", 500_000_000, 109_000),
        Executed(at, "o-ORD003", "EXEC003", 1_000_000_000, 148_500),
    ]
    session = [each for each in fix(shared_data, "fix44_fixsim_session") if each["35"] == "8"]
    (fill,) = [mappings.fix_report(each, known) for each in session]
    assert isinstance(fill, Executed)
    assert (fill.order_id, fill.execution_id, fill.size) == (
        "o-638644257007460000",
        "41638644256253512000",
        10_000,
    )


def test_cancel_rejects_of_fix_answer_a_cancel_or_an_amendment(shared_data: Path) -> None:
    (first,) = fix(shared_data, "fix44_order-cancel-reject_random")
    refused = mappings.fix_report(first, {})
    assert isinstance(refused, CancelRefused)
    assert (refused.order_id, refused.detail) == ("elit", "CxlRejReason 99: lectus.")
    answered = mappings.fix_report({**first, "434": "2", "11": "o-abc.7"}, {})
    assert isinstance(answered, AmendRefused)
    assert (answered.order_id, answered.revision) == ("o-abc", 7)


def test_an_order_of_ours_has_the_tags_of_a_new_order_single(shared_data: Path) -> None:
    (sample,) = [each for each in fix(shared_data, "fix44_fixsim_session") if each["35"] == "D"]
    ours = mappings.fix_request(asked("k1", Side.BUY, "100", limit="1.10000"))
    optional = {"1"}
    assert ours.keys() - optional <= sample.keys()
    same = ("35", "38", "40", "54")
    assert {key: ours[key] for key in same} == {key: sample[key] for key in same}
