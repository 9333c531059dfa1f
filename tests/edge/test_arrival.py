"""What the gate lets pass arrives as it was typed: through a real Envoy, where the bytes are kept."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from edge import body
from edge.rest import RestForm, RestForms
from services.runtime.policy import service_policies
from tests.kit.edge import Alive, Edge

pytestmark = pytest.mark.integration

FORMS = [form for form in RestForms(service_policies()).all if form.body]
TIMES = [
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.123456789+01:00",
    "9999-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "2026-1-2T3:4:5Z",
    "2026-01-02T03:04:05.1_0Z",
    "2026-01-02T03:04:05+1:00",
    "2026-01-02T03:04:05+24:00",
]
SPANS = ["1s", "-1.5s", "0.000000001s", "1.0000000001s", "315576000001s", "1", ".5s"]
SPANS += ["1_0s", "+1s", " 10s", "1.1_1s"]
WHOLE = [
    0,
    1,
    -1,
    2**31,
    2**32,
    2**63,
    -(2**63),
    2**53 + 1,
    1.0,
    1e18,
    1.5,
    "1",
    "-0",
    "1.0",
    "18446744073709551615",
    True,
]
REAL = [0, -1.5, 1e39, 5e-324, 2**70, "1.5", "NaN", "-Infinity", "1e5", "0x1", "", True]
TEXT = ["EURUSD", "", "é\u0000\U0001f600", '\\"', 1, True]


class Keeper(grpc.GenericRpcHandler):
    """Takes every call, keeps its bytes, answers with an empty message."""

    def __init__(self) -> None:
        self.kept: bytes | None = None

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def keep(request: bytes, context: Any) -> bytes:
            self.kept = request
            return b""

        return grpc.unary_unary_rpc_method_handler(keep)


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[tuple[Keeper, Edge]]:
    made, server = Keeper(), grpc.aio.server()
    server.add_generic_rpc_handlers((Alive(), made))
    port = server.add_insecure_port("127.0.0.1:0")
    edge = Edge(tmp_path, {service.name: port for service in service_policies()})
    await server.start()
    await edge.start()
    yield made, edge
    await edge.close()
    await server.stop(None)


def drawn(chance: random.Random, field: Field) -> Any:
    """A value for the field, or something near one."""
    if body.is_map(field):
        return {key: chance.choice(TEXT) for key in chance.sample(["a", "b", "1"], chance.randint(0, 2))}
    if field.is_repeated:
        return [_single(chance, field) for _ in range(chance.randint(0, 2))]
    return _single(chance, field)


def _single(chance: random.Random, field: Field) -> Any:
    message = field.message_type
    if message is not None:
        known = {"Timestamp": TIMES, "Duration": SPANS}.get(message.name)
        return chance.choice(known) if known else drawn_message(chance, list(message.fields))
    match field.type:
        case Field.TYPE_BOOL:
            return chance.choice([True, False, "true", 1])
        case Field.TYPE_ENUM:
            names = field.enum_type.values_by_name if field.enum_type else {}
            return chance.choice([*names, 1, 99, -1, 2**31, "1", "nothing"])
        case Field.TYPE_BYTES:
            return chance.choice(["AA==", "-_8", "++//", "A", "AB==", 1])
        case Field.TYPE_STRING:
            return chance.choice(TEXT)
        case Field.TYPE_DOUBLE | Field.TYPE_FLOAT:
            return chance.choice(REAL)
        case _:
            return chance.choice(WHOLE)


def drawn_message(chance: random.Random, fields: list[Field]) -> dict[str, Any]:
    some = chance.sample(fields, min(len(fields), chance.randint(0, 3)))
    return {chance.choice([field.name, field.json_name]): drawn(chance, field) for field in some}


def expected(form: RestForm, value: dict[str, Any]) -> Message:
    message: Any = json_format.ParseDict(value, GetMessageClass(form.request)())
    for name in form.fields_in_path:
        setattr(message, name, name)
    return message  # type: ignore[no-any-return]


async def test_what_passes_arrives_as_it_was_typed(keeper: tuple[Keeper, Edge]) -> None:
    seed = random.randrange(2**32)
    chance, (made, edge), arrived = random.Random(seed), keeper, 0
    for _ in range(300):
        form = chance.choice(FORMS)
        value = drawn_message(chance, [f for f in form.request.fields if f.name not in form.fields_in_path])
        text, made.kept = json.dumps(value), None
        answer = await edge.ask(form.verb, form.template.replace("{", "").replace("}", ""), text.encode())
        told = f"seed {seed}, {form.method}, {text}: {answer.content!r}"
        if body.violations(body.parse(text.encode()), form.request):
            assert (answer.status, answer.reason, made.kept) == (400, "VALIDATION_FAILED", None), told
            continue
        assert made.kept is not None, told
        got = GetMessageClass(form.request).FromString(made.kept)
        assert str(got) == str(expected(form, value)), told  # as text, in which NaN equals itself
        arrived += 1
    assert arrived > 50
