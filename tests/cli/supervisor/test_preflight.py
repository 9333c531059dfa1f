"""The obstacles of a start, each as one sentence that says what to do."""

import os
import socket
from pathlib import Path

import pytest

from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import failure, preflight
from services.cli.supervisor.plan import Choices, make_plan, ports_to_move
from services.runtime.policy import service_policies
from tests.kit.ports import HOST
from tests.kit.processes import plan_of, stand_in


def test_the_folders_of_a_home_are_made(home: Home) -> None:
    preflight.make_folders(home)
    assert {path.name for path in home.root.iterdir()} == {"run", "logs", "data", "nats"}
    assert not list(home.root.glob("*/.writable"))
    assert {path.stat().st_mode & 0o777 for path in home.root.iterdir()} == {0o700}


def test_every_wrong_setting_is_said_once_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check_settings(service_policies())
    monkeypatch.setenv("FXMESH_LOG_LEVEL", "loud")
    monkeypatch.setenv("FXMESH_BULKHEADS", "oders=1/2")
    monkeypatch.setenv("FXMESH_MARKET_DATA_SYMBLOS", "EURUSD")
    monkeypatch.setenv("FXMESH_TRADING_GATEWAY_HAIRCUT", "30")
    with pytest.raises(CliError) as refused:
        preflight.check_settings(service_policies())
    assert (refused.value.reason, refused.value.exit_code) == ("WRONG_SETTINGS", ExitCode.USAGE)
    said = refused.value.message
    assert "FXMESH_LOG_LEVEL is 'loud', but should be 'debug', 'info', 'warning' or 'error'" in said
    assert "FXMESH_BULKHEADS is 'oders=1/2', but there is no group 'oders': known are cancels, orders" in said
    assert "did you mean FXMESH_MARKET_DATA_SYMBOLS?" in said
    assert "FXMESH_TRADING_GATEWAY_HAIRCUT is set but is not a setting" in said
    assert said.count("loud") == 1


def test_the_rules_of_a_drill_are_checked_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_FAULTS", "PlaceOrder abort=UNAVAILABLE")
    preflight.check_settings(service_policies())  # it has no effect
    monkeypatch.setenv("FXMESH_DRILLS", "true")
    with pytest.raises(CliError, match=r"did you mean fxmesh\.trading\.v1\.TradingService/PlaceOrder\?"):
        preflight.check_settings(service_policies())


def test_a_home_that_cannot_be_written_is_named() -> None:
    # Even root cannot make folders there.
    with pytest.raises(
        CliError, match=r"The folder /proc/fxmesh cannot be used: .* choose another folder"
    ) as refused:
        preflight.make_folders(Home.at(Path("/proc/fxmesh")))
    assert refused.value.reason == "HOME_NOT_WRITABLE"


def test_too_little_room_on_the_disk_is_said_before_anything_starts(home: Home) -> None:
    preflight.make_folders(home)
    preflight.check_disk(home)
    with pytest.raises(
        CliError, match=r"has \d+ MB left; fxmesh needs at least \d+ MB\. Free some space"
    ) as full:
        preflight.check_disk(home, floor=1 << 62)
    assert full.value.reason == "DISK_FULL"


@pytest.mark.parametrize("address", [HOST, "0.0.0.0"])
def test_a_port_in_use_names_who_wanted_it_and_who_has_it(home: Home, address: str) -> None:
    plan = plan_of(home, trading="serves")
    preflight.check_ports(plan)
    with socket.create_server((address, plan.services[0].ports["http"])), pytest.raises(CliError) as taken:
        preflight.check_ports(plan)
    assert taken.value.reason == "PORT_IN_USE"
    assert taken.value.details["process"] == "trading"
    assert f"(pid {os.getpid()})" in taken.value.message
    bus = plan.bus.ports["nats"]
    with socket.create_server((address, bus)), pytest.raises(CliError, match=rf"Port {bus} \(nats\) is"):
        preflight.check_ports(plan)


def test_a_port_of_the_edge_in_use_names_the_options_about_it(home: Home) -> None:
    choices = Choices(port_offset=preflight.free_offset(HOST, ports_to_move(Choices(), service_policies())))
    plan = make_plan(home, Path("nats-server"), choices, service_policies(), Path("envoy"))
    ports = {label: port for each in plan.edge for label, port in each.ports.items()}
    with socket.create_server((HOST, ports["edge"])), pytest.raises(CliError) as taken:
        preflight.check_ports(plan)
    assert f"Port {ports['edge']} (edge) is already used by" in taken.value.message
    assert "start with --edge-port, --no-edge or --port-offset auto." in str(taken.value)
    with socket.create_server((HOST, ports["grpc"])), pytest.raises(CliError, match="with --no-edge or"):
        preflight.check_ports(plan)


def test_a_shared_port_is_in_use_all_the_same(home: Home) -> None:
    # gRPC servers set SO_REUSEPORT: two of them on one port would split the calls.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((HOST, 0))
        taken.listen()
        assert not preflight.port_free(HOST, taken.getsockname()[1])


def test_a_free_offset_moves_every_port_to_a_free_one() -> None:
    base = ports_to_move(Choices(), service_policies())
    assert {4222, 8080, 50051, 9057} < set(base)
    offset = preflight.free_offset(HOST, base)
    assert all(preflight.port_free(HOST, port + offset) for port in base)


@pytest.mark.parametrize(
    ("log", "reason", "message"),
    [
        ("[FTL] write /x: no space left on device", "DISK_FULL", "the disk is full"),
        ("FATAL: the disk of the data folder /x is full: free some space", "DISK_FULL", "free some space."),
        ("PermissionError: [Errno 13] Permission denied: '/x'", "DATA_NOT_WRITABLE", "may not write"),
        ("ModuleNotFoundError: No module named 'talib.abstract'", "ENVIRONMENT_INCOMPLETE", "talib.abstract"),
        (
            "FATAL: FXMESH_X is set but is not a setting: unset it.",
            "START_FAILED",
            "is not a setting: unset it.",
        ),
        ("Traceback of something else", "START_FAILED", "(exit code 1)."),
        ("", "START_FAILED", "(exit code 1)."),
    ],
)
def test_a_log_is_read_for_the_cause(home: Home, log: str, reason: str, message: str) -> None:
    preflight.make_folders(home)
    home.log("trading").write_text(f"first\n{log}\n")
    found = failure.explain(stand_in(home, "trading"), "exit code 1", home.log("trading"))
    assert (found.reason, found.process) == (reason, "trading")
    assert message in found.message
    assert found.hint


@pytest.mark.parametrize(
    "log",
    [
        "[FTL] Error listening on port: 127.0.0.1:4222, bind: address already in use",
        "FATAL: gRPC port 50051 on 127.0.0.1 is in use: stop what uses it or set FXMESH_GRPC_PORT",
    ],
)
def test_a_port_that_was_taken_meanwhile_names_its_holder(home: Home, log: str) -> None:
    preflight.make_folders(home)
    home.log("trading").write_text(log)
    spec = stand_in(home, "trading")
    with socket.create_server((HOST, spec.ports["http"])):
        found = failure.explain(spec, "exit code 1", home.log("trading"))
    assert found.reason == "PORT_IN_USE"
    assert f"port {spec.ports['http']} (grpc) is in use by" in found.message
    assert str(os.getpid()) in found.message
