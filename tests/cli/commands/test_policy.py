"""`fxmesh policy`: what applies to a method and who says so, without a platform."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from interceptors import breaker
from services.cli.main import main
from services.runtime import ejection
from services.runtime.policy import BUILT_IN, method_policies, service_policies

PLACE = "fxmesh.trading.v1.TradingService/PlaceOrder"
TRADING_PROTO = "protos/fxmesh/trading/v1/service.proto"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("FXMESH_"):
            monkeypatch.delenv(name)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fxmesh", "policy", *arguments])
    try:
        return main()
    except SystemExit as ended:  # how typer ends a command that worked
        return int(ended.code or 0)


def concerns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str
) -> dict[str, tuple[str, str]]:
    assert run(monkeypatch, "show", method, "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return {each["concern"]: (each["applies"], each["source"]) for each in shown["concerns"]}


@pytest.mark.parametrize("name", [PLACE, f"/{PLACE}", "TradingService/PlaceOrder", "PlaceOrder"])
def test_a_method_is_found_by_each_of_its_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(monkeypatch, "show", name) == 0
    assert capsys.readouterr().out.startswith(f"{PLACE}\n")


def test_each_concern_says_what_applies_and_where_that_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = concerns(monkeypatch, capsys, PLACE)
    option = f"{TRADING_PROTO}: (fxmesh.policy.v1.method)"
    assert shown["deadline"] == ("2 s, when the caller sets none", f"{option}.default_deadline")
    assert shown["authorization"] == ("scope trading.orders:write", f"{option}.scope")
    assert shown["retry"] == (
        "may be repeated under the same client_order_id",
        f"{option}.idempotency_key",
    )
    assert shown["rate limit"][0].startswith("costs 2 of")
    assert shown["rate limit"][1] == f"{option}.cost; rates: default of the mesh"
    assert shown["bulkhead"][0].startswith("orders: ")
    assert shown["request size"] == ("at most 256 KiB", "default of the mesh")
    assert shown["trace"] == ("every call begins one", f"{option}.traced")
    assert shown["cache"] == ("never cached", "default of the mesh")
    assert shown["faults"] == ("none", "FXMESH_DRILLS: no drill is on in the settings of this shell")
    assert shown["REST form"] == ("POST /api/v1/trading/orders", f"{TRADING_PROTO}: (google.api.http)")


def test_what_callers_do_about_failures_is_shown_as_the_mesh_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(breaker, "OPEN_S", 7.5)
    monkeypatch.setattr(ejection, "LONGEST_S", 77.0)
    shown = concerns(monkeypatch, capsys, PLACE)
    assert shown["attempts"][0].startswith("at most 3 attempts on UNAVAILABLE, 0.1 s apart, doubling to 1 s")
    assert "of a client 10% of its calls of 10 s" in shown["retry budget"][0]
    assert "50% of at least 20 attempts" in shown["breaker"][0]
    assert "open 7.5 s, then 3 probes" in shown["breaker"][0]
    assert "at most 77 s; never the last one" in shown["ejection"][0]


@pytest.mark.parametrize(
    ("method", "broken"), [("UploadTickFile", "one a target"), ("grpc.health.v1.Health/Check", "none")]
)
def test_what_is_sent_once_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str, broken: str
) -> None:
    shown = concerns(monkeypatch, capsys, method)
    assert shown["attempts"][0] == shown["retry budget"][0] == "none: calls are sent once"
    assert shown["breaker"][0].startswith(broken)


def test_the_standard_option_is_named_where_it_decides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = concerns(monkeypatch, capsys, "GetOrder")
    assert shown["retry"] == ("may be repeated", f"{TRADING_PROTO}: idempotency_level = NO_SIDE_EFFECTS")


def test_what_makes_risk_smaller_is_never_shed_or_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = concerns(monkeypatch, capsys, "CancelOrder")
    assert shown["admission"] == ("never shed", "default of the mesh for the group cancels")
    assert shown["rate limit"][0] == "takes no tokens"


def test_settings_of_the_shell_are_shown_as_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FXMESH_BULKHEADS", "orders=5/6")
    monkeypatch.setenv("FXMESH_RATE_KEYS", "7/8")
    monkeypatch.setenv("FXMESH_ADMISSION", "false")
    monkeypatch.setenv("FXMESH_DRILLS", "true")
    monkeypatch.setenv("FXMESH_FAULTS", f"{PLACE} delay=20ms abort=UNAVAILABLE percent=5")
    shown = concerns(monkeypatch, capsys, PLACE)
    assert shown["bulkhead"][0].startswith("orders: 5 at work, 6 waiting")
    assert shown["bulkhead"][1].endswith("; FXMESH_BULKHEADS")
    assert "keys 7/s up to 8" in shown["rate limit"][0]
    assert shown["rate limit"][1].endswith("rates: FXMESH_RATE_KEYS")
    assert shown["admission"] == ("never shed", "FXMESH_ADMISSION")
    assert shown["faults"] == (
        "5 % are 0.02 s late and failed with UNAVAILABLE",
        f"FXMESH_FAULTS of this shell: {PLACE}",
    )
    other = concerns(monkeypatch, capsys, "ListAccounts")
    assert other["faults"] == ("none", "FXMESH_FAULTS: no rule fits in the settings of this shell")


def test_it_says_that_it_speaks_of_this_shell_and_where_a_running_drill_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", PLACE) == 0
    shown = capsys.readouterr().out
    assert "Settings are those of this shell." in shown
    assert "`fxmesh_fault_rules`" in shown


def test_wrong_settings_are_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FXMESH_BULKHEADS", "order=5/6")
    assert run(monkeypatch, "show", PLACE) == 2
    assert "FXMESH_BULKHEADS is 'order=5/6'" in capsys.readouterr().err


def test_every_method_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = [each for service in service_policies() for each in method_policies(service.full_name)]
    for method in (*methods, *BUILT_IN.values()):
        assert {"deadline", "retry", "bulkhead"} <= set(concerns(monkeypatch, capsys, method.path))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("PlaceOder", "no contract has a method PlaceOder; near: PlaceOrder"),
        (f"{PLACE}s", f"near: {PLACE}"),
        ("GetSessionProgress", "is a method of several services: fxmesh.trading"),
        ("xyzzy", "no contract has a method xyzzy. See `fxmesh policy list`"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_near(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    assert run(monkeypatch, "show", name) == 2
    assert sentence in capsys.readouterr().err


def test_the_list_has_every_method_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list", "--json") == 0
    listed = [each["method"] for each in json.loads(capsys.readouterr().out)["data"]]
    methods = [each for service in service_policies() for each in method_policies(service.full_name)]
    assert sorted(listed) == sorted(each.path[1:] for each in (*methods, *BUILT_IN.values()))


@pytest.mark.parametrize("service", ["trading_gateway", "fxmesh.trading.v1.TradingService"])
def test_the_list_of_one_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str
) -> None:
    assert run(monkeypatch, "list", service) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["METHOD", "DEADLINE", "SCOPE", "REPEAT", "COST", "BULKHEAD"]
    assert len(rows) == len(method_policies("fxmesh.trading.v1.TradingService"))


def test_an_unknown_service_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list", "tradin") == 2
    assert "no contract has a service tradin; known: fxmesh.trading" in capsys.readouterr().err


def test_it_needs_no_platform_and_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "policy", "show", "PlaceOrder"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(PLACE)
