"""A change that would break callers or stored events is refused once the contracts are tagged.

Runs tools/contracts.py in a repository of its own that holds the present contracts under the tag. Needs npm
once, for buf; without it the tests fail and say so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.protos, pytest.mark.timeout(300)]

TAG = "contracts-v1"
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


class Contracts:
    """A git repository with contracts and the tool; what it fetches is shared with the real one."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=self.top, capture_output=True, check=True)

    def change(self, path: str, old: str, new: str) -> None:
        file = self.top / "protos" / "fxmesh" / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} is not once in {path}"
        file.write_text(text.replace(old, new))

    def breaking(self) -> tuple[int, str]:
        command = [sys.executable, "tools/contracts.py", "breaking"]
        done = subprocess.run(command, cwd=self.top, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository_of_contracts(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    top = tmp_path_factory.mktemp("contracts")
    for folder in ("protos", "tools"):
        shutil.copytree(repository / folder, top / folder)
    for file in ("buf.yaml", "requirements/protos.txt"):
        (top / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(repository / file, top / file)
    for fetched in (".tools", "third_party"):
        (repository / fetched).mkdir(exist_ok=True)
        (top / fetched).symlink_to(repository / fetched)
    contracts = Contracts(top)
    contracts.git("init", "--quiet")
    (top / RECORDED).parent.mkdir(parents=True)
    (top / RECORDED).write_bytes(b"as it was")
    contracts.git("add", "protos", "tools", "buf.yaml", "requirements", "tests")
    contracts.git("commit", "--quiet", "-m", "Contracts")
    return contracts


@pytest.fixture
def tagged(repository_of_contracts: Contracts) -> Iterator[Contracts]:
    repository_of_contracts.git("tag", TAG)
    yield repository_of_contracts
    repository_of_contracts.git("tag", "--delete", TAG)
    repository_of_contracts.git("checkout", "--quiet", "--", "protos", "tests")


def test_without_the_tag_it_says_so_and_carries_on(repository_of_contracts: Contracts) -> None:
    repository_of_contracts.change(ORDERS, "string client_order_id = 3;", "string client_order_id = 99;")
    code, said = repository_of_contracts.breaking()
    repository_of_contracts.git("checkout", "--quiet", "--", "protos")
    assert (code, said.partition(":")[0]) == (0, "NOT COMPARED")
    assert f"git fetch origin tag {TAG}" in said


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
def test_an_addition_breaks_nothing(tagged: Contracts, path: str, old: str, new: str) -> None:
    tagged.change(path, old, new)
    assert tagged.breaking() == (0, f"nothing broken since {TAG}\n")


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
        (ORDERS, "ORDER_TYPE_STOP = 3;", "ORDER_TYPE_HALT = 3;", 'changed name from "ORDER_TYPE_STOP"'),
        (SERVICE, "  rpc GetOrder(", "  rpc ReadOrder(", 'Previously present RPC "GetOrder"'),
    ],
    ids=["renumbered", "removed", "renamed", "retyped", "enum value", "method"],
)
def test_what_breaks_is_refused_with_a_sentence(
    tagged: Contracts, path: str, old: str, new: str, sentence: str
) -> None:
    tagged.change(path, old, new)
    code, said = tagged.breaking()
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
    tagged: Contracts, path: str, old: str, new: str, sentence: str
) -> None:
    tagged.change(path, old, new)
    code, said = tagged.breaking()
    assert code == 1
    assert sentence.replace("{path}", "/api/v1/trading/orders/{order_id}") in said


def test_recorded_events_are_only_added(tagged: Contracts) -> None:
    recorded = tagged.top / RECORDED
    another = recorded.with_name("4567.binpb")
    another.write_bytes(b"another")
    assert tagged.breaking()[0] == 0
    another.unlink()
    recorded.write_bytes(b"as it is now")
    code, said = tagged.breaking()
    assert (code, said) == (1, f"recorded events are only added, never changed: {RECORDED}\n")
    recorded.unlink()
    assert tagged.breaking()[0] == 1
