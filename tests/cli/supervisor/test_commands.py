"""`fxmesh up`, `down`, `status` and `logs` as a person uses them: real processes, real signals."""

import json
import os
import pty
import re
import signal
import socket

import pytest

from services.cli.supervisor import lock, state
from services.cli.supervisor.preflight import make_folders
from services.cli.supervisor.state import Condition, Phase
from tests.kit.command import LIMIT_S, Fxmesh, read_until
from tests.kit.nats import until
from tests.kit.processes import alive

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_says_where_to_look_and_a_signal_ends_all(fxmesh: Fxmesh, number: signal.Signals) -> None:
    up = fxmesh.start("up")
    said = read_until(up, "stop      fxmesh down")
    assert "fxmesh is up: 3 processes ready in" in said
    assert "fxmesh order buy EURUSD 10000" in said
    pids = fxmesh.pids()
    assert set(pids) == {"nats", "trading", "analysis"}
    up.send_signal(number)
    assert up.wait(LIMIT_S) == 0
    assert not any(alive(pid) for pid in pids.values())
    assert not lock.held(fxmesh.home)
    assert "drained" in fxmesh.home.log("trading").read_text()


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach")])
async def test_ctrl_c_during_the_start_ends_what_was_started(
    fxmesh: Fxmesh, arguments: tuple[str, ...]
) -> None:
    fxmesh.behave(trading="never ready", analysis="serves")
    up = fxmesh.start(*arguments)
    await until(lambda: set(fxmesh.pids()) == {"nats", "trading", "analysis"})
    pids = fxmesh.pids()
    up.send_signal(signal.SIGINT)
    assert up.wait(LIMIT_S) == 130
    assert not any(alive(pid) for pid in pids.values())
    assert not lock.held(fxmesh.home)


def test_a_second_up_says_so(fxmesh: Fxmesh) -> None:
    up = fxmesh.start("up")
    read_until(up, "fxmesh is up")
    code, out, err = fxmesh.run("up")
    assert (code, out) == (3, "")
    assert f"already runs in {fxmesh.home.root} (ready, supervisor pid {up.pid})" in err
    assert "fxmesh down" in err
    assert up.poll() is None


async def test_nothing_is_left_when_the_supervisor_is_killed(fxmesh: Fxmesh) -> None:
    up = fxmesh.start("up")
    read_until(up, "fxmesh is up")
    pids = fxmesh.pids()
    up.kill()
    await until(lambda: not any(alive(pid) for pid in pids.values()))
    await until(lambda: not lock.held(fxmesh.home))
    assert "drained" in fxmesh.home.log("trading").read_text()


async def test_one_that_ignores_the_supervisors_death_is_killed(fxmesh: Fxmesh) -> None:
    fxmesh.behave(drain_s=0.3, trading="deaf", analysis="parent")
    up = fxmesh.start("up")
    read_until(up, "fxmesh is up")
    pids = [*fxmesh.pids().values(), int((fxmesh.home.data / "analysis" / "grandchild").read_text())]
    up.kill()
    await until(lambda: not any(alive(pid) for pid in pids))
    await until(lambda: not lock.held(fxmesh.home))


async def test_a_home_stays_locked_until_all_that_a_killed_supervisor_left_has_ended(fxmesh: Fxmesh) -> None:
    fxmesh.behave(drain_s=1.0, trading="deaf")
    up = fxmesh.start("up")
    read_until(up, "fxmesh is up")
    pid = fxmesh.pids()["trading"]
    up.kill()
    await until(lambda: not lock.held(fxmesh.home))
    assert not alive(pid)


def test_up_waits_for_what_a_killed_supervisor_left(fxmesh: Fxmesh) -> None:
    make_folders(fxmesh.home)
    left = lock.acquire(fxmesh.home)
    assert left is not None
    up = fxmesh.start("up")
    assert up.stderr is not None
    assert "waiting for what a killed supervisor left" in up.stderr.readline()
    os.close(left)
    read_until(up, "fxmesh is up")


def test_a_daemon_is_watched_until_ready_and_taken_down(fxmesh: Fxmesh) -> None:
    code, out, err = fxmesh.run("up", "--detach")
    assert (code, err) == (0, "")
    assert "fxmesh is up: 3 processes ready in" in out
    running = state.load(fxmesh.home)
    assert running.phase is Phase.READY
    pids = fxmesh.pids()
    code, out, err = fxmesh.run("down")
    assert (code, err) == (0, "")
    assert out.startswith("stopping\n")
    assert re.search(r"trading +stopped\n", out)
    assert out.endswith(f"fxmesh is down; its data stays in {fxmesh.home.root}\n")
    assert not any(alive(pid) for pid in [*pids.values(), running.supervisor_pid])
    code, _, err = fxmesh.run("down")
    assert code == 3
    assert "No platform runs in" in err


def test_a_failing_start_shows_the_log_and_what_to_do(fxmesh: Fxmesh) -> None:
    fxmesh.behave(trading="crash No module named 'duckdb'", analysis="serves")
    for detach in ((), ("--detach",)):
        code, out, err = fxmesh.run("up", *detach)
        assert code == 1
        assert "trading               failed        exit code 7" in out
        assert "  | 03:04:05.678 info    line 19" in err
        assert (
            "trading is missing the Python module duckdb. Set the environment up again with `make setup`."
            in err
        )
        assert not lock.held(fxmesh.home)


def test_a_failing_start_as_json(fxmesh: Fxmesh) -> None:
    fxmesh.behave(trading="crash FATAL: no key: set one")
    code, body = fxmesh.json("up", "-d")
    assert code == 1
    assert body["error"]["reason"] == "START_FAILED"
    assert body["error"]["message"] == "trading could not start: no key: set one."
    assert body["error"]["details"]["process"] == "trading"
    assert body["error"]["details"]["log_tail"][-1] == "FATAL: no key: set one"


def test_a_port_in_use_is_named_with_its_holder(fxmesh: Fxmesh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fxmesh.behave(ports={"trading": port}, trading="serves")
        code, _, err = fxmesh.run("up")
        assert code == 1
        assert f"Port {port} (trading http) is already used by " in err
        assert f"(pid {os.getpid()})" in err
        assert err.count("\n") == 1


def test_an_unusable_home_is_one_sentence(fxmesh: Fxmesh) -> None:
    fxmesh.home.root.write_text("a file where the folder should be")
    code, _, err = fxmesh.run("up")
    assert code == 1
    assert f"The folder {fxmesh.home.root} cannot be used: " in err
    assert err.count("\n") == 1


async def test_status_shows_a_killed_service_and_its_return(fxmesh: Fxmesh) -> None:
    fxmesh.behave(trading="serves", analysis="degraded")
    assert fxmesh.run("up", "--detach")[0] == 0
    code, body = fxmesh.json("status")
    report = {each["name"]: each for each in body["data"]["processes"]}
    assert code == 0
    assert body["data"]["well"] is True
    assert report["analysis"]["condition"] == "degraded"
    assert report["analysis"]["dependencies"]["peer"]["detail"] == "not found"
    assert report["trading"]["memory"]["resident_bytes"] > 1 << 20
    watched = sum(each["memory"]["resident_bytes"] for each in report.values())
    supervisor = body["data"]["memory"]["resident_bytes"] - watched
    assert 1 << 20 < supervisor < 80 << 20  # its own and the guard's, not those of the others once more

    os.kill(report["trading"]["pid"], signal.SIGKILL)
    await until(lambda: state.load(fxmesh.home).process("trading").condition is Condition.RESTARTING)
    code, body = fxmesh.json("status")
    trading = next(each for each in body["data"]["processes"] if each["name"] == "trading")
    assert trading["restarts"] == 1
    assert trading["last_exit"] == "killed by SIGKILL"
    back = trading["condition"] == "serving"
    assert (code, body["data"]["well"]) == ((0, True) if back else (1, False))

    await until(lambda: state.load(fxmesh.home).process("trading").condition is Condition.SERVING)
    code, out, _ = fxmesh.run("status")
    assert code == 0
    assert re.search(r"trading +serving +\d+ .* 1 +\d+ MB +.*last killed by SIGKILL", out)
    assert "peer down (not found)" in out


def test_status_and_logs_say_when_there_is_nothing(fxmesh: Fxmesh) -> None:
    code, body = fxmesh.json("status")
    assert (code, body["error"]["reason"]) == (3, "NOT_RUNNING")
    code, _, err = fxmesh.run("logs")
    assert code == 3
    assert "There are no logs in" in err


def test_logs_are_readable_as_text_and_raw_as_json(fxmesh: Fxmesh) -> None:
    assert fxmesh.run("up", "--detach")[0] == 0
    code, out, _ = fxmesh.run("logs", "trading")
    assert code == 0
    assert out.splitlines() == [
        "trading  03:04:05.678 info    launch 1",
        "trading  03:04:05.678 info    serving",
    ]
    code, out, _ = fxmesh.run("logs", "trading", "nats", "-n", "1", "--json")
    assert sorted(json.loads(line)["process"] for line in out.splitlines()) == ["nats", "trading"]
    code, _, err = fxmesh.run("logs", "nobody")
    assert code == 2
    assert "Known: analysis, nats, supervisor, trading." in err


def test_followed_logs_go_on_until_ctrl_c(fxmesh: Fxmesh) -> None:
    assert fxmesh.run("up", "--detach")[0] == 0
    following = fxmesh.start("logs", "-f", "trading")
    read_until(following, "serving")
    assert fxmesh.run("down")[0] == 0
    read_until(following, "drained")
    following.send_signal(signal.SIGINT)
    assert following.wait(LIMIT_S) == 0


def test_on_a_terminal_a_table_shows_the_start(fxmesh: Fxmesh) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        up = fxmesh.start("up", stdout=terminal)
    seen = ""
    while "stop      fxmesh down" not in seen:
        seen += os.read(ours, 4096).decode()
    for heading in ("process", "state", "pid", "ports", "seconds", "memory"):
        assert heading in seen
    assert re.search(r"trading +\x1b\[32mserving", seen)
    os.kill(fxmesh.pids()["trading"], signal.SIGKILL)
    while "killed by SIGKILL; again in 1 s (restart 1)" not in seen:
        seen += os.read(ours, 4096).decode()
    up.send_signal(signal.SIGINT)
    assert up.wait(LIMIT_S) == 0
    os.close(ours)


def test_a_wrong_setting_is_told_once_and_nothing_is_started(
    fxmesh: Fxmesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FXMESH_LOG_LEVEL", "loud")
    code, out, err = fxmesh.run("up")
    assert (code, out) == (2, "")
    assert err.startswith("fxmesh: Nothing was started: FXMESH_LOG_LEVEL is 'loud', but should be 'debug'")
    assert err.count("loud") == err.count("\n") == 1
    assert not fxmesh.home.logs.exists()
