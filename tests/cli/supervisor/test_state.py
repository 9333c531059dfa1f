"""What other commands read, and the lock that tells whether it is true."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from services.cli.home import Home
from services.cli.output import CliError
from services.cli.supervisor import lock, state
from services.cli.supervisor.preflight import make_folders
from services.cli.supervisor.state import Condition, Failure, Phase, ProcessState, RunState

STATE = RunState(
    Phase.FAILED,
    "/home",
    "127.0.0.1",
    "nats://127.0.0.1:4222",
    17,
    1.5,
    None,
    (
        ProcessState("market_data", Condition.SERVING, {"grpc": 50052, "http": 9052}, "/log", 18, 2.0, 0.5),
        ProcessState(
            "nats", Condition.RESTARTING, {"nats": 4222}, "/log", None, restarts=3, last_exit="exit code 1"
        ),
    ),
    Failure("nats", "PORT_IN_USE", "taken", "free it", ("a", "b")),
)


@pytest.fixture
def home(home: Home) -> Home:
    make_folders(home)
    return home


def test_a_saved_state_is_read_back_whole(home: Home) -> None:
    state.save(home, STATE)
    assert state.read(home) == STATE


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"phase": "dancing"}', "null"])
def test_a_file_that_makes_no_sense_is_no_state(home: Home, text: str) -> None:
    home.state.write_text(text)
    assert state.read(home) is None


def test_addresses_come_by_service(home: Home) -> None:
    assert STATE.grpc_addresses("market_data") == ("127.0.0.1:50052",)
    assert STATE.http_address("market_data") == "127.0.0.1:9052"
    with pytest.raises(CliError, match=r"no process bank.*Known: market_data, nats"):
        STATE.grpc_addresses("bank")
    assert STATE.priority_addresses("market_data") == ()
    trading = ProcessState("trading_gateway", Condition.SERVING, {"grpc": 50051, "priority": 50061}, "/log")
    with_trading = replace(STATE, processes=(*STATE.processes, trading))
    assert with_trading.priority_addresses("trading_gateway") == ("127.0.0.1:50061",)


def test_a_state_counts_only_while_the_lock_is_held(home: Home) -> None:
    state.save(home, STATE)
    with pytest.raises(CliError) as not_running:
        state.load(home)
    assert (not_running.value.reason, not_running.value.exit_code) == ("NOT_RUNNING", 3)
    held = lock.acquire(home)
    assert held is not None
    assert state.load(home) == STATE
    os.close(held)
    assert not lock.held(home)


def test_a_lock_is_held_once_and_asking_does_not_take_it(home: Home) -> None:
    assert not lock.held(home)
    held = lock.acquire(home)
    assert held is not None
    assert lock.acquire(home) is None
    assert lock.held(home)
    os.close(held)
    again = lock.acquire(home)
    assert again is not None
    os.close(again)


def test_a_lock_lasts_as_long_as_anybody_who_inherited_it(home: Home) -> None:
    held = lock.acquire(home)
    assert held is not None
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(held,)
    ) as heir:
        os.close(held)
        assert lock.held(home)
        heir.kill()
        heir.wait()
    assert not lock.held(home)


def test_without_a_home_nothing_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not lock.held(Home.at(tmp_path_factory.mktemp("empty") / "none"))
