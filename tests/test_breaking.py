"""A change that would break callers or stored events is refused: it is compared with what frozen/ holds.

Runs tools/contracts.py in a copy of the contracts, frozen as they are now, outside any git repository. Needs
npm once, for buf; without it the tests fail and say so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.protos, pytest.mark.timeout(300)]

UNBROKEN = "nothing frozen is broken\n"
RECORDED = "tests/recorded_events/fxmesh.trading.v1.OrderPlaced/0123.binpb"
ORDERS, SERVICE = "trading/v1/trading.proto", "trading/v1/service.proto"
EVENTS = "workbench/v1/events.proto"
LEVEL = "    option idempotency_level = NO_SIDE_EFFECTS;\n    option (google.api.http) = "
KEY = '      idempotency_key: "client_order_id"\n'
AFTER_PLACING = """      bulkhead: "orders"
      cost: 2
      traced: true
    };
  }

  // Changes size"""
GET_ORDER = '{get: "/api/v1/trading/orders/{order_id}"}'


KEPT = ("protos", "frozen", "tests")


class Contracts:
    """A folder with contracts and the tool; what it fetches is shared with the real one."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def change(self, path: str, old: str, new: str) -> None:
        file = self.top / "protos" / "fxmesh" / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} is not once in {path}"
        file.write_text(text.replace(old, new))

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and all that `tools/contracts.py COMMAND` says."""
        program = [sys.executable, "tools/contracts.py", command]
        done = subprocess.run(program, cwd=self.top, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def breaking(self) -> tuple[int, str]:
        return self.run("breaking")


@pytest.fixture(scope="module")
def as_frozen(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    """The contracts as they are, frozen."""
    top = tmp_path_factory.mktemp("contracts")
    for folder in ("protos", "tools"):
        shutil.copytree(repository / folder, top / folder)
    for file in ("buf.yaml", "requirements/protos.txt"):
        (top / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(repository / file, top / file)
    for fetched in (".tools", "third_party"):
        (repository / fetched).mkdir(exist_ok=True)
        (top / fetched).symlink_to(repository / fetched)
    (top / RECORDED).parent.mkdir(parents=True)
    (top / RECORDED).write_bytes(b"as it was")
    contracts = Contracts(top)
    assert contracts.run("freeze") == (0, "frozen: commit frozen/\n")
    return contracts


@pytest.fixture
def frozen(as_frozen: Contracts, tmp_path: Path) -> Iterator[Contracts]:
    """They may be changed; afterwards they are as before."""
    for folder in KEPT:
        shutil.copytree(as_frozen.top / folder, tmp_path / folder)
    yield as_frozen
    for folder in KEPT:
        shutil.rmtree(as_frozen.top / folder, ignore_errors=True)
        shutil.copytree(tmp_path / folder, as_frozen.top / folder)


def test_what_is_frozen_here_is_not_broken(repository: Path) -> None:
    """And is part of the tree: no tag and no history is needed."""
    assert Contracts(repository).breaking() == (0, UNBROKEN)


def test_without_what_was_frozen_nothing_passes(frozen: Contracts) -> None:
    shutil.rmtree(frozen.top / "frozen")
    code, said = frozen.breaking()
    assert code == 1
    assert "frozen/contracts.binpb.gz, frozen/recorded_events.sha256 is missing" in said


def test_an_addition_is_promised_once_it_is_frozen(frozen: Contracts) -> None:
    frozen.change(ORDERS, "message Fill {", "message Fill {\n  string note = 99;")
    assert frozen.run("freeze")[0] == 0
    frozen.change(ORDERS, "  string note = 99;\n", "")
    code, said = frozen.breaking()
    assert code == 1
    assert '"99" with name "note"' in said


def test_a_break_cannot_be_frozen(frozen: Contracts) -> None:
    image = frozen.top / "frozen" / "contracts.binpb.gz"
    before = image.read_bytes()
    frozen.change(ORDERS, "string client_order_id = 3;", "")
    code, said = frozen.run("freeze")
    assert code == 1
    assert '"3" with name "client_order_id"' in said
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ORDERS, "message Fill {", "message Fill {\n  string note = 99;"),
        (
            ORDERS,
            "message Fill {",
            "// Another.\nmessage Added {\n  string note = 1;\n}\n\nmessage Fill {",
        ),
        (
            SERVICE,
            GET_ORDER,
            GET_ORDER.replace('}"}', '}", additional_bindings: {get: "/orders/{order_id}"}}'),
        ),
    ],
    ids=["a field", "a message", "a REST form"],
)
def test_an_addition_breaks_nothing(frozen: Contracts, path: str, old: str, new: str) -> None:
    frozen.change(path, old, new)
    assert frozen.breaking() == (0, UNBROKEN)


@pytest.mark.parametrize(
    ("path", "old", "new", "sentence"),
    [
        (
            ORDERS,
            "string client_order_id = 3;",
            "string client_order_id = 99;",
            '"3" with name "client_order_id"',
        ),
        (ORDERS, "string client_order_id = 3;", "", '"3" with name "client_order_id"'),
        (
            ORDERS,
            "string client_order_id = 3;",
            "string key = 3;",
            'changed name from "client_order_id" to "key"',
        ),
        (
            ORDERS,
            "string client_order_id = 3;",
            "bytes client_order_id = 3;",
            'changed type from "string" to "bytes"',
        ),
        (
            ORDERS,
            "string client_order_id = 3;",
            'string client_order_id = 3 [json_name = "key"];',
            'changed option "json_name" from "clientOrderId" to "key"',
        ),
        (ORDERS, "ORDER_TYPE_STOP = 3;", "ORDER_TYPE_HALT = 3;", 'changed name from "ORDER_TYPE_STOP"'),
        (SERVICE, "  rpc GetOrder(", "  rpc ReadOrder(", 'Previously present RPC "GetOrder"'),
    ],
    ids=["renumbered", "removed", "renamed", "retyped", "renamed in JSON", "enum value", "method"],
)
def test_what_breaks_is_refused_with_a_sentence(
    frozen: Contracts, path: str, old: str, new: str, sentence: str
) -> None:
    frozen.change(path, old, new)
    code, said = frozen.breaking()
    assert code == 1
    assert sentence in said


OPTIONS = [
    (SERVICE, GET_ORDER, GET_ORDER.replace("get:", "delete:"),
     "TradingService/GetOrder: REST was GET {path}, is DELETE {path}"),
    (SERVICE, GET_ORDER, GET_ORDER.replace("/orders", "/order"),
     "TradingService/GetOrder: REST was GET {path}, is GET /api/v1/trading/order/{order_id}"),
    (SERVICE, f"    option (google.api.http) = {GET_ORDER};\n", "",
     "TradingService/GetOrder: REST was GET {path}, is nothing"),
    (SERVICE, ':autoTrade"\n      body: "*"', ':autoTrade"\n      body: "enabled"',
     ":autoTrade body *, is POST /api/v1/trading/accounts/{account_id}:autoTrade body enabled"),
    (SERVICE, KEY + AFTER_PLACING, AFTER_PLACING,
     "TradingService/PlaceOrder: idempotency_key was client_order_id, is nothing"),
    (SERVICE, LEVEL + GET_ORDER, "    option (google.api.http) = " + GET_ORDER,
     'RPC "GetOrder" on service "TradingService" changed option "idempotency_level"'),
    (EVENTS, 'OPERATIONS\n    key_field: "endpoint_name"', 'MONEY\n    key_field: "endpoint_name"',
     "workbench.v1.ModelDeployed: retention was RETENTION_CLASS_OPERATIONS, is RETENTION_CLASS_MONEY"),
    (EVENTS, 'key_field: "endpoint_name"', 'key_field: "revision"',
     "workbench.v1.ModelDeployed: key_field was endpoint_name, is revision"),
    (EVENTS, '      "endpoint_name",\n      "revision"\n', '      "revision"\n',
     "workbench.v1.ModelDeployed: id_fields was endpoint_name/revision, is revision"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "old", "new", "sentence"),
    OPTIONS,
    ids=["verb", "path", "no REST", "body", "key", "level", "retention", "event's key", "event's id"],
)
def test_what_options_promise_is_kept(
    frozen: Contracts, path: str, old: str, new: str, sentence: str
) -> None:
    frozen.change(path, old, new)
    code, said = frozen.breaking()
    assert code == 1
    assert sentence.replace("{path}", "/api/v1/trading/orders/{order_id}") in said


def test_recorded_events_are_only_added(frozen: Contracts) -> None:
    recorded = frozen.top / RECORDED
    another = recorded.with_name("4567.binpb")
    another.write_bytes(b"another")
    assert frozen.breaking()[0] == 0
    another.unlink()
    recorded.write_bytes(b"as it is now")
    code, said = frozen.breaking()
    assert (code, said) == (1, f"recorded events are only added, never changed: {RECORDED}\n")
    recorded.unlink()
    assert frozen.breaking()[0] == 1
