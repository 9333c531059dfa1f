"""A JSON body against a message type: what would be dropped, doubled or guessed is named."""

import json
from typing import Any

import pytest
from fxmesh.monitoring.v1 import service_pb2 as monitoring
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.workbench.v1 import service_pb2 as workbench
from google.protobuf import descriptor_pb2, duration_pb2, json_format, struct_pb2, type_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from edge import body
from edge.rest import RestForms
from services.errors import FxError
from services.runtime.policy import service_policies

ORDER = trading.PlaceOrderRequest.DESCRIPTOR


def found(text: str | bytes, message: Descriptor = ORDER) -> dict[str, str]:
    content = text if isinstance(text, bytes) else text.encode()
    return {each.field: each.description for each in body.violations(body.parse(content), message)}


def test_both_spellings_of_a_name_are_known() -> None:
    assert found('{"account_id": "demo", "clientOrderId": "a", "size": "1", "expires_at": null}') == {}


def test_an_unknown_field_is_named_with_its_nearest() -> None:
    assert found('{"stop_prise": "1.1"}') == {
        "stop_prise": "PlaceOrderRequest has no such field: did you mean stop_price?"
    }


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("[]", "", "must be a JSON object"),
        ("null", "", "must be a JSON object"),
        ('{"size": 1}', "size", "must be a JSON string"),
        ('{"size": ["1"]}', "size", "must be a JSON string"),
        (r'{"symbol": "\ud800"}', "symbol", "holds half a character"),
        ('{"side": "BUY"}', "side", "must be one of SIDE_UNSPECIFIED, SIDE_BUY, SIDE_SELL"),
        ('{"side": 1e99}', "side", "must be from -2147483648 to 2147483647"),
        ('{"side": "SIDE_BUY", "side": "SIDE_SELL"}', "side", "is given twice"),
        ('{"clientOrderId": "a", "client_order_id": "b"}', "client_order_id", "is given twice"),
        ('{"expires_at": "tomorrow"}', "expires_at", 'must be a time, as "2026-01-02T03:04:05Z"'),
        ('{"expires_at": 5}', "expires_at", 'must be a time, as "2026-01-02T03:04:05Z"'),
    ],
)
def test_a_value_of_another_type_is_named(text: str, field: str, says: str) -> None:
    assert found(text) == {field: says}


@pytest.mark.parametrize(
    ("message", "text", "field", "says"),
    [
        (
            workbench.StartTrainingRequest.DESCRIPTOR,
            '{"parameters": {"a": 1}}',
            'parameters["a"]',
            "must be a JSON string",
        ),
        (
            descriptor_pb2.FileDescriptorSet.DESCRIPTOR,
            '{"file": [{}, {"nam": 1}]}',
            "file[1].nam",
            "no such field",
        ),
        (descriptor_pb2.FileDescriptorSet.DESCRIPTOR, '{"file": {}}', "file", "must be a JSON array"),
        (
            descriptor_pb2.FileDescriptorProto.DESCRIPTOR,
            '{"weakDependency": [1.5]}',
            "weak_dependency[0]",
            "whole",
        ),
        (
            descriptor_pb2.FieldDescriptorProto.DESCRIPTOR,
            '{"proto3Optional": "true"}',
            "proto3_optional",
            "true or",
        ),
        (
            descriptor_pb2.UninterpretedOption.DESCRIPTOR,
            '{"stringValue": "é"}',
            "string_value",
            "must be base64",
        ),
        (type_pb2.Field.DESCRIPTOR, '{"number": "0x1"}', "number", "must be a whole number"),
    ],
)
def test_the_path_leads_to_the_place(message: Descriptor, text: str, field: str, says: str) -> None:
    ((path, sentence),) = found(text, message).items()
    assert path == field
    assert says in sentence


@pytest.mark.parametrize("text", ["1_0s", "+1s", " 10s", "1s ", "1.1_1s", "1.s", "", 1, None])
def test_a_duration_has_the_one_form_of_the_mapping(text: Any) -> None:
    said = body.wrong_form(duration_pb2.Duration.DESCRIPTOR, text)
    assert said == 'must be a duration, as "1.5s"'


def test_only_one_of_a_choice_may_be_given() -> None:
    text = '{"numberValue": 1, "boolValue": true}'
    assert found(text, struct_pb2.Value.DESCRIPTOR) == {
        "bool_value": "cannot be given together with number_value"
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON: Expecting property name"),
        (b'{"a": 1} x', "Extra data at line 1, column 10"),
        (b"NaN", "NaN is no JSON number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"account_id=demo", "Expecting value at line 1, column 1"),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(FxError, match=says) as refused:
        body.parse(content)
    assert refused.value.reason == "MALFORMED_REQUEST"


def test_no_answer_lists_more_than_a_few() -> None:
    assert len(found(json.dumps(dict.fromkeys(map(str, range(10_000)))))) == 20


BODIES = [form.request for form in RestForms(service_policies()).all if form.body]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["1", "-5", "1.5", "NaN", "true", "", "AA==", "SIDE_BUY", "2026-01-02T03:04:05Z", "1.5s"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["1", "a", "name"]), inner),
    max_leaves=4,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[Descriptor, Any]:
    message = draw(st.sampled_from(BODIES))
    names = [name for field in message.fields for name in (field.name, field.json_name)]
    return message, draw(st.dictionaries(st.sampled_from([*names, "nothing"]), VALUES, max_size=4))


@given(requests())
def test_what_passes_is_what_protobuf_takes_whole(case: tuple[Descriptor, Any]) -> None:
    message, value = case
    if not body.violations(value, message):
        json_format.ParseDict(value, GetMessageClass(message)())  # raises for an unknown field too


def test_every_request_type_with_a_body_was_there() -> None:
    assert {monitoring.CreateAlertRuleRequest.DESCRIPTOR, workbench.StartTrainingRequest.DESCRIPTOR} <= set(
        BODIES
    )
