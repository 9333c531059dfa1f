"""Rules seen to be kept without the library: never where the library finds one broken."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from buf.validate import validate_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1 import market_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from services.runtime.plain_rules import MOST_ITEMS, compiled, surely_kept
from services.runtime.policy import method_policies, service_policies
from services.runtime.ruled import has_rules, reached
from services.runtime.rules import asked
from tests.fakes.echo import service_pb2
from tests.kit import fuzz

SEED = random.SystemRandom().randrange(2**32)
EXAMPLES = 25


def ruled() -> Iterator[Descriptor]:
    """Every request with rules, and all with rules that it holds."""
    pool = Default()
    for method in (each for service in service_policies() for each in method_policies(service.full_name)):
        request = pool.FindServiceByName(method.service).methods_by_name[method.method].input_type
        yield from filter(has_rules, reached(request))


RULED = sorted(set(ruled()), key=lambda each: each.full_name)
PLAIN = [each for each in RULED if compiled(each)]


def order(**changed: Any) -> trading.PlaceOrderRequest:
    fields: dict[str, Any] = {
        "account_id": "demo",
        "client_order_id": "first-1",
        "symbol": "EURUSD",
        "side": market_pb2.SIDE_BUY,
        "size": "1000",
        "type": trading_pb2.ORDER_TYPE_MARKET,
    }
    return trading.PlaceOrderRequest(**{**fields, **changed})


def test_what_is_plain_is_all_but_rules_of_a_whole_message() -> None:
    """Whoever adds a rule of another kind to a contract learns here that its requests are checked slowly."""

    def is_of_a_message(each: Descriptor) -> bool:
        return each.GetOptions().HasExtension(validate_pb2.message)

    expected = [each.full_name for each in RULED if not any(map(is_of_a_message, reached(each)))]
    assert [each.full_name for each in PLAIN] == expected
    assert 0 < len(PLAIN) < len(RULED)


@pytest.mark.parametrize("descriptor", PLAIN, ids=lambda each: each.full_name)
def test_never_kept_where_the_library_finds_one_broken(descriptor: Descriptor) -> None:
    sys.stdout.write(f"seed {SEED}\n")

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(fuzz.requests(descriptor))
    def check(message: Message) -> None:
        if surely_kept(message):
            assert asked(message) == ()

    check()


@seed(SEED)
@settings(max_examples=200, deadline=None, database=None)
@given(st.one_of(st.from_regex(r"[0-9]{0,9}", fullmatch=True), st.sampled_from(fuzz.HOSTILE)), st.data())
def test_a_text_matches_as_the_library_says(text: str, data: st.DataObject) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    end = data.draw(st.sampled_from(("", "\n", " ", "\x00", "٣", "a")))
    leg = service_pb2.Leg(size=text + end)
    assert surely_kept(leg) == (asked(leg) == ())


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        pytest.param(order(), True, id="good"),
        pytest.param(order(limit_price="1.0800"), True, id="a pattern that may be empty"),
        pytest.param(order(limit_price="1e5"), False, id="a pattern that is broken"),
        pytest.param(order(symbol="EURUSD\n"), False, id="a line that goes on"),
        pytest.param(order(symbol=""), False, id="a pattern of nothing"),
        pytest.param(order(side=market_pb2.SIDE_UNSPECIFIED), False, id="a choice not made"),
        pytest.param(order(side=17), False, id="a choice that is none"),
        pytest.param(
            trading.ListPositionsRequest(account_id="demo", symbol=["EURUSD"]), True, id="one of each"
        ),
        pytest.param(
            trading.ListPositionsRequest(account_id="demo", symbol=["EURUSD"] * 2), False, id="the same twice"
        ),
        pytest.param(pipeline.ImportFileRequest(), False, id="none of several"),
        pytest.param(pipeline.ImportFileRequest(content=b"EURUSD"), True, id="one of several"),
        pytest.param(service_pb2.EchoRequest(), True, id="nothing"),
        pytest.param(service_pb2.EchoRequest(count=1000), True, id="the highest"),
        pytest.param(service_pb2.EchoRequest(count=1001), False, id="above the highest"),
        pytest.param(service_pb2.EchoRequest(count=-1), False, id="below the least"),
        pytest.param(service_pb2.EchoRequest(legs=[service_pb2.Leg(size="x")]), False, id="in a list"),
        pytest.param(service_pb2.EchoRequest(named={"a": service_pb2.Leg(size="x")}), False, id="in a map"),
        pytest.param(service_pb2.EchoRequest(named={"a": service_pb2.Leg(size="1")}), True, id="a good map"),
    ],
)
def test_what_is_seen_at_once(message: Message, *, kept: bool) -> None:
    assert surely_kept(message) == kept == (asked(message) == ())


def test_a_long_list_is_left_to_the_library() -> None:
    leg = service_pb2.Leg(size="1")
    assert surely_kept(service_pb2.EchoRequest(legs=[leg] * MOST_ITEMS))
    longer = service_pb2.EchoRequest(legs=[leg] * (MOST_ITEMS + 1))
    assert not surely_kept(longer)
    assert asked(longer) == ()
