"""Stored events as they are answered."""

import json

from google.protobuf.json_format import Parse

from services.data_pipeline.wire import event_record, stored_event
from services.runtime.ports import Delivery
from tests.kit.events import order


def test_the_json_of_a_stored_event_has_the_names_of_its_contract() -> None:
    event = order(1)
    answer = stored_event(event_record(Delivery(event, "id", "subject", "demo", 1)))
    assert {"account_id", "order_id", "revision"} <= set(json.loads(answer.json))
    assert Parse(answer.json, type(event)()) == event
