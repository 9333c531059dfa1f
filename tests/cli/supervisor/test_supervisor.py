"""The supervisor keeps its promises over real child processes."""

import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from services.cli.home import Home
from services.cli.supervisor.state import Condition, Phase
from tests.kit.nats import until
from tests.kit.processes import QUICK, alive, plan_of, running, stand_in

pytestmark = pytest.mark.integration


async def test_all_are_ready_and_a_degraded_one_counts_as_ready(home: Home) -> None:
    async with running(plan_of(home, trading="serves", analysis="degraded"), home) as run:
        state = await run.ready()
        assert [each.condition for each in state.processes] == ["serving", "serving", "degraded"]
        assert all(each.pid and alive(each.pid) and each.ready_after_s for each in state.processes)


async def test_services_start_after_the_bus_serves_and_end_before_it(home: Home) -> None:
    async with running(plan_of(home, trading="serves"), home) as run:
        await run.ready()
        run.supervisor.stop()
        await run.until(lambda state: state.phase is Phase.STOPPED)
    conditions = [(state.process("nats").condition, state.process("trading").condition) for state in run.told]
    launched = next(i for i, (_, service) in enumerate(conditions) if service is Condition.STARTING)
    assert conditions[launched][0] is Condition.SERVING
    stopped = next(i for i, (_, service) in enumerate(conditions) if service is Condition.STOPPED)
    assert conditions[stopped][0] is Condition.SERVING
    assert conditions[-1] == (Condition.STOPPED, Condition.STOPPED)
    assert "drained" in home.log("trading").read_text()


async def test_envoy_starts_once_those_whose_health_it_asks_are_there(home: Home) -> None:
    gate, envoy = stand_in(home, "edge_gate"), stand_in(home, "edge")
    async with running(replace(plan_of(home, trading="serves"), edge=(gate, envoy)), home) as run:
        await run.ready()
    launched = next(state for state in run.told if state.process("edge").condition is not Condition.WAITING)
    others = [launched.process(name).condition for name in ("nats", "trading", "edge_gate")]
    assert others == [Condition.SERVING] * 3


@pytest.mark.parametrize("name", ["trading", "nats"])
async def test_a_killed_process_is_restarted(home: Home, name: str) -> None:
    async with running(plan_of(home, trading="serves"), home) as run:
        await run.ready()
        first = run.process(name).pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await run.until(lambda state: state.process(name).restarts == 1)
        after = await run.condition(name, Condition.SERVING)
        assert after.pid not in {None, first}
        assert after.last_exit == "killed by SIGKILL"
        assert run.supervisor.state.phase is Phase.READY
    assert "launch 1" in home.log(name).read_text()
    assert "launch 2" in home.log(name).read_text()


async def test_a_crash_loop_is_shown_and_backs_off_up_to_its_limit(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_clock = SimpleNamespace(time=lambda: 0.0, monotonic=time.monotonic)
    monkeypatch.setattr("services.cli.supervisor.process.time", stopped_clock)
    doubling = replace(QUICK, backoff_first=0.1, backoff_limit=0.4)
    async with running(plan_of(home, trading="serves once"), home, doubling) as run:
        pid = (await run.ready()).process("trading").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await run.until(lambda state: state.process("trading").restarts >= 5)
        assert run.process("trading").last_exit == "exit code 9"
        trading = [state.process("trading") for state in run.told]
        waits = {each.restarts: each.retry_at for each in trading if each.condition is Condition.RESTARTING}
        assert waits == {1: 0.1, 2: 0.2, 3: 0.4, 4: 0.4, 5: 0.4}
        assert run.supervisor.state.phase is Phase.READY


async def test_a_process_that_lived_long_has_its_back_off_forgiven(home: Home) -> None:
    forgiving = replace(QUICK, stable=0.0, backoff_first=0.05, backoff_limit=600.0)
    async with running(plan_of(home, trading="serves once"), home, forgiving) as run:
        pid = (await run.ready()).process("trading").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # Doubling from 0.05 s, twelve restarts would take 205 s.
        await run.until(lambda state: state.process("trading").restarts >= 12, seconds=90)


async def test_a_failing_start_ends_all_and_shows_the_end_of_the_log(home: Home) -> None:
    plan = plan_of(home, trading="serves", analysis="crash FATAL: it has no store: make one")
    async with running(plan, home) as run:
        await run.task
        state = run.supervisor.state
        assert state.phase is Phase.FAILED
        assert state.failure is not None
        assert state.failure.process == "analysis"
        assert state.failure.message == "analysis could not start: it has no store: make one."
        assert len(state.failure.log_tail) == 15
        assert state.failure.log_tail[-1] == "FATAL: it has no store: make one"
        assert state.process("analysis").condition is Condition.FAILED
        pids = {each.pid for told in run.told for each in told.processes if each.pid}
        assert len(pids) == 3
        assert not any(alive(pid) for pid in pids)


async def test_a_failing_bus_starts_no_service(home: Home) -> None:
    async with running(plan_of(home, nats="crash", trading="serves"), home) as run:
        await run.task
        assert run.supervisor.state.phase is Phase.FAILED
        assert run.process("trading").condition is Condition.WAITING
        assert run.supervisor.state.failure is not None
        assert "nats could not start (exit code 7)." in run.supervisor.state.failure.message


async def test_a_process_that_never_gets_ready_fails_the_start(home: Home) -> None:
    impatient = replace(QUICK, start_limit=0.5)
    async with running(plan_of(home, trading="never ready"), home, impatient) as run:
        await run.task
        assert run.supervisor.state.failure is not None
        assert "not ready after 0.5 s" in run.supervisor.state.failure.message


async def test_a_program_that_cannot_be_run_is_named(home: Home) -> None:
    plan = plan_of(home, trading="serves")
    broken = replace(plan, services=(replace(plan.services[0], argv=("/no/such/program",)),))
    async with running(broken, home) as run:
        await run.task
        failure = run.supervisor.state.failure
        assert failure is not None
        assert failure.log_tail == ("cannot run /no/such/program: No such file or directory",)


async def test_the_edge_goes_down_between_the_services_and_the_bus(home: Home) -> None:
    plan = replace(plan_of(home, trading="serves"), edge=(stand_in(home, "edge"),))
    async with running(plan, home) as run:
        await run.ready()
        run.supervisor.stop()
        await run.task
        ends = [
            (name, condition)
            for state in run.told
            for name in ("trading", "edge", "nats")
            if (condition := state.process(name).condition) in {Condition.STOPPING, Condition.STOPPED}
        ]
        order = list(dict.fromkeys(ends))
        assert [name for name, condition in order if condition is Condition.STOPPED] == [
            "trading",
            "edge",
            "nats",
        ]
        assert order.index(("trading", Condition.STOPPED)) < order.index(("edge", Condition.STOPPING))
        assert order.index(("edge", Condition.STOPPED)) < order.index(("nats", Condition.STOPPING))


async def test_one_that_ignores_the_stop_is_killed_after_its_drain(home: Home) -> None:
    async with running(plan_of(home, drain_s=0.2, trading="deaf"), home) as run:
        pid = (await run.ready()).process("trading").pid
        run.supervisor.stop()
        await run.task
        assert run.supervisor.state.phase is Phase.STOPPED
        assert pid is not None
        assert not alive(pid)


async def test_a_second_stop_does_not_wait_for_the_drain(home: Home) -> None:
    async with running(plan_of(home, drain_s=3600, trading="deaf"), home) as run:
        await run.ready()
        run.supervisor.stop()
        await run.condition("trading", Condition.STOPPING)
        run.supervisor.stop()
        await run.until(lambda state: state.phase is Phase.STOPPED)


async def test_a_stop_during_the_start_ends_what_was_launched(home: Home) -> None:
    async with running(plan_of(home, trading="never ready"), home) as run:
        pid = (await run.condition("trading", Condition.STARTING)).pid
        run.supervisor.stop()
        await run.task
        assert run.supervisor.state.phase is Phase.STOPPED
        assert run.supervisor.state.failure is None
        assert pid is not None
        assert not alive(pid)


async def test_a_frozen_process_is_shown_and_can_still_be_stopped(home: Home) -> None:
    async with running(plan_of(home, trading="serves"), home, replace(QUICK, unanswered=1)) as run:
        pid = (await run.ready()).process("trading").pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await run.condition("trading", Condition.UNRESPONSIVE)
        run.supervisor.stop()
        await run.task
        assert not alive(pid)
    assert "drained" in home.log("trading").read_text()


async def test_what_a_killed_process_had_started_ends_with_it(home: Home) -> None:
    async with running(plan_of(home, trading="parent"), home) as run:
        pid = (await run.ready()).process("trading").pid
        grandchild = int((home.data / "trading" / "grandchild").read_text())
        assert pid is not None
        assert alive(grandchild)
        os.kill(pid, signal.SIGKILL)
        await run.until(lambda state: state.process("trading").restarts == 1)
        await until(lambda: not alive(grandchild))


async def test_the_log_of_the_run_before_is_kept(home: Home) -> None:
    for _ in range(2):
        async with running(plan_of(home, trading="serves"), home) as run:
            await run.ready()
    assert "launch 2" in home.log("trading").read_text()
    assert "launch 1" in home.previous_log("trading").read_text()
