"""Times of requests: every one in every contract is refused when it cannot be computed with or stored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fxmesh.trading.v1 import service_pb2 as trading
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from interceptors import validation
from services.errors import FxError, Kind
from services.runtime.policy import service_policies

MALFORMED = (
    Timestamp(seconds=10**15),
    Timestamp(seconds=-(10**15)),
    Timestamp(seconds=253_402_300_799),
    Timestamp(seconds=1_400_000_000, nanos=-5),
    Timestamp(seconds=1_400_000_000, nanos=2_147_483_647),
)


def requests() -> Iterator[Descriptor]:
    """Every request type of the platform."""
    for policy in service_policies():
        service = descriptor_pool.Default().FindServiceByName(policy.full_name)
        yield from (method.input_type for method in service.methods)


def planted(message: Message, value: Timestamp, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Put `value` into each time of a message in turn, with the path it is at; nothing else is set."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.message_type.full_name in above:
            continue
        if field.is_repeated and field.message_type.GetOptions().map_entry:
            continue  # no contract has times in a map
        held = getattr(message, field.name)
        inner, path = (held.add(), f"{field.name}[0]") if field.is_repeated else (held, field.name)
        if isinstance(inner, Timestamp):
            inner.CopyFrom(value)
            yield path
        else:
            names = (*above, field.message_type.full_name)
            yield from (f"{path}.{deeper}" for deeper in planted(inner, value, names))
        message.ClearField(field.name)


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: f"{value.seconds}s{value.nanos}ns")
def test_a_malformed_time_is_named_in_every_request_that_has_one(value: Timestamp) -> None:
    found = set()
    for descriptor in requests():
        message = message_factory.GetMessageClass(descriptor)()
        for path in planted(message, value):
            with pytest.raises(FxError) as caught:
                validation.check(message)
            assert caught.value.kind is Kind.INVALID_ARGUMENT
            assert [each.field for each in caught.value.violations] == [path]
            found.add(f"{descriptor.name}.{path}")
    assert {"PlaceOrderRequest.expires_at", "ListBarsRequest.start", "PredictRequest.bar_open_time"} <= found


def test_times_up_to_the_bounds_pass_and_the_sentence_says_them() -> None:
    for seconds in (-2_208_988_800, -1, 0, 7_258_118_399):
        assert "expires_at" not in faults(Timestamp(seconds=seconds, nanos=999_999_999))
    assert faults(Timestamp(seconds=7_258_118_400))["expires_at"] == "must be a time from 1900 to 2199"


def faults(time: Timestamp) -> dict[str, str]:
    with pytest.raises(FxError) as caught:  # what else an order needs is missing
        validation.check(trading.PlaceOrderRequest(expires_at=time))
    return {each.field: each.description for each in caught.value.violations}
