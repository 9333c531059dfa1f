"""Field rules of the contract, checked before the handler in every shape."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fxmesh.policy.v1 import patterns_pb2
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2

from interceptors import validation
from services.errors import FxError, Kind, Violation
from tests.fakes.echo import service_pb2
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo

BAD = Request(
    count=-1, legs=[service_pb2.Leg(), service_pb2.Leg(size="1e5")], named={"a": service_pb2.Leg(size="x")}
)


async def test_every_violation_is_named_by_its_path(echo: Echo) -> None:
    with pytest.raises(FxError) as caught:
        await echo.stub.Unary(BAD)
    error = caught.value
    assert (error.kind, error.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert [each.field for each in error.violations] == ["count", "legs[1].size", 'named["a"].size']
    assert error.violations[0] == Violation(
        "count", "must be greater than or equal to 0 and less than or equal to 1000"
    )
    assert echo.servicer.finished == []


async def test_a_stream_is_checked_message_by_message(echo: Echo) -> None:
    with pytest.raises(FxError) as gather:
        await echo.stub.Gather(iter([Request(), BAD]))
    stream = echo.stub.Converse(iter([Request(), BAD]))
    assert (await stream.read()).text
    with pytest.raises(FxError) as converse:
        await stream.read()
    assert gather.value == converse.value


async def test_the_only_request_of_a_stream_of_answers_is_checked(echo: Echo) -> None:
    with pytest.raises(FxError, match="VALIDATION_FAILED"):
        await echo.stub.Spread(Request(count=1001)).read()
    assert echo.servicer.finished == []


def test_what_is_wrong_is_said_in_words() -> None:
    order = trading.PlaceOrderRequest(
        account_id="demo 1", client_order_id="c", symbol="eur", size="1e5", type=trading_pb2.ORDER_TYPE_MARKET
    )
    with pytest.raises(FxError) as caught:
        validation.check(order)
    assert {each.field: each.description for each in caught.value.violations} == {
        "account_id": "must be 1 to 64 letters, digits, hyphens or underscores",
        "symbol": "must be six capital letters such as EURUSD",
        "side": "must be given",
        "size": "must be a plain decimal such as 10000 or 0.5, without sign, exponent or separators",
    }


def test_every_pattern_of_the_contracts_has_its_sentence(repository: Path) -> None:
    """And no sentence is left over; both as they are written in the contracts."""
    used = {
        pattern.replace(r"\\", "\\")
        for path in (repository / "protos").rglob("*.proto")
        for pattern in re.findall(r'pattern(?::| =) "([^"]+)"', path.read_text())
    }
    texts = [
        value.GetOptions().Extensions[patterns_pb2.pattern]
        for value in patterns_pb2.FieldPattern.DESCRIPTOR.values[1:]
    ]
    assert {text.regex for text in texts} == used
    assert all(text.sentence.startswith("must ") for text in texts)
