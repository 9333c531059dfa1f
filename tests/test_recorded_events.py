"""What earlier builds published is still read as what it was: each recorded event, by its bytes.

The samples come from running platforms (tools/record_events.py) and are only added: what is stored in streams
and files does not change either. `tools/contracts.py breaking` refuses a change of one that is frozen.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.runtime import ruled, rules
from services.runtime.bus.events import event_type_named, message_class
from services.runtime.policy import service_policies

FOLDER = Path(__file__).with_name("recorded_events")
SAMPLES = sorted(FOLDER.glob("*/*.binpb"))


def test_every_event_of_the_contracts_has_been_recorded() -> None:
    published = {name for policy in service_policies() for name in policy.publishes}
    recorded = {path.parent.name for path in SAMPLES}
    assert published - recorded == set(), "run: .venv/bin/python tools/record_events.py"


def test_nothing_but_samples_and_their_meaning_lies_there() -> None:
    files = {path for path in FOLDER.rglob("*") if path.is_file()}
    assert files == {each for path in SAMPLES for each in (path, path.with_suffix(".json"))}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_event_means_what_it_meant(path: Path) -> None:
    name, payload = path.parent.name, path.read_bytes()
    assert path.stem == hashlib.sha256(payload).hexdigest()[:16], "the sample was changed"
    event = message_class(name).FromString(payload)
    address = event_type_named(name).address(event)
    assert json.loads(path.with_suffix(".json").read_text()) == {
        "subject": address.subject,
        "key": address.key,
        "id": address.id,
        "event": MessageToDict(event),
    }
    assert list(_unknown(event, name)) == []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_event_obeys_the_rules_of_its_contract(path: Path) -> None:
    event = message_class(path.parent.name).FromString(path.read_bytes())
    assert rules.violations(event) == ()


def test_every_event_but_bulk_ticks_has_rules() -> None:
    without = {
        name
        for policy in service_policies()
        for name in policy.publishes
        if not ruled.has_rules(message_class(name).DESCRIPTOR)
    }
    assert without == {"fxmesh.marketdata.v1.PriceTickReceived"}


def _unknown(message: Message, where: str) -> list[str]:
    """Fields that the contracts do not know, here and inside."""
    unknown = UnknownFieldSet(message)
    found = [f"{where}: field {unknown[at].field_number}" for at in range(len(unknown))]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = [each for each in value.values() if isinstance(each, Message)]
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            found += _unknown(part, f"{where}.{field.name}")
    return found
