from __future__ import annotations

import pytest
from fxmesh.analysis.v1.events_pb2 import BarClosed, IndicatorCalculated
from fxmesh.pipeline.v1.events_pb2 import PipelineExecutionCompleted, PipelineExecutionStarted
from fxmesh.types.v1.market_pb2 import TIMEFRAME_M1, MarketClock
from google.protobuf.message import Message

from services.errors import FxError, Kind
from services.runtime.bus.events import event_type, event_type_named, message_class
from services.runtime.fatal import FatalError
from tests.kit.events import order, ticks


def test_an_event_is_addressed_by_its_policy() -> None:
    address = event_type(ticks(1).DESCRIPTOR).address(ticks(3, size=100))

    assert address.subject == "fxmesh.marketdata.v1.PriceTickReceived.market.11.EURUSD"
    assert address.key == "EURUSD"
    assert address.id == "fxmesh.marketdata.v1.PriceTickReceived/s-1/EURUSD/201/300"


def test_enums_in_an_id_read_as_they_do_elsewhere() -> None:
    bar = BarClosed(session_id="s", symbol="EURUSD", timeframe=TIMEFRAME_M1, open_time_ns=60)

    assert event_type(bar.DESCRIPTOR).address(bar).id == "fxmesh.analysis.v1.BarClosed/s/EURUSD/M1/60"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PipelineExecutionStarted(execution_id="x"), PipelineExecutionCompleted(execution_id="x")),
        (
            BarClosed(session_id="s", symbol="EURUSD", timeframe=TIMEFRAME_M1, open_time_ns=60),
            IndicatorCalculated(session_id="s", symbol="EURUSD", timeframe=TIMEFRAME_M1, open_time_ns=60),
        ),
    ],
)
def test_events_of_one_stream_with_equal_id_fields_have_different_ids(one: Message, other: Message) -> None:
    kinds = event_type(one.DESCRIPTOR), event_type(other.DESCRIPTOR)

    assert kinds[0].stream == kinds[1].stream
    assert kinds[0].address(one).id != kinds[1].address(other).id


@pytest.mark.parametrize("account", ["", "a b", "a.b", "ä", "x" * 65])
def test_an_event_without_a_usable_key_is_refused(account: str) -> None:
    event = order(1, account)

    with pytest.raises(FxError) as refused:
        event_type(event.DESCRIPTOR).address(event)

    assert refused.value.kind is Kind.INVALID_ARGUMENT
    assert refused.value.violations[0].field == "account_id"


@pytest.mark.parametrize("session", ["", "with space", "with\r\nnewline", "x" * 250])
def test_an_event_without_a_usable_id_is_refused(session: str) -> None:
    event = ticks(1, session=session)

    with pytest.raises(FxError, match="cannot be identified by session_id") as refused:
        event_type(event.DESCRIPTOR).address(event)

    assert refused.value.kind is Kind.INVALID_ARGUMENT


def test_a_message_without_a_policy_is_no_event() -> None:
    with pytest.raises(FatalError, match=r"fxmesh\.types\.v1\.MarketClock is no event"):
        event_type(MarketClock.DESCRIPTOR)


def test_an_unknown_event_names_where_it_was_looked_for() -> None:
    with pytest.raises(FatalError, match=r"fxmesh\.nowhere\.v1\.events_pb2"):
        event_type_named("fxmesh.nowhere.v1.Nothing")


def test_an_event_is_found_by_name() -> None:
    assert message_class("fxmesh.pipeline.v1.PipelineExecutionStarted") is PipelineExecutionStarted
