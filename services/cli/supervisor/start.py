"""`fxmesh up` behind its options: claim the home, check what can be checked, run here or as a daemon.

Takes the plan as a function of the home, so that a test starts small stand-ins through the very same code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from services.cli import edge, nats, nats_users
from services.cli.config import inherited_environment
from services.cli.fetch import Say
from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import lock, logs, preflight, state
from services.cli.supervisor.child import Guard
from services.cli.supervisor.plan import DRAIN_S, LOOPBACK, OPERATOR, Choices, Plan, make_plan, ports_to_move
from services.cli.supervisor.process import Timings
from services.cli.supervisor.state import Phase, RunState
from services.cli.supervisor.supervisor import Supervisor
from services.cli.supervisor.view import LineView, View
from services.runtime.policy import service_policies

if TYPE_CHECKING:
    from services.cli.supervisor.authority import Authority

SUPERVISOR_LOG = "supervisor"
_POLL_S = 0.05
_UPKEEP_S = 5.0
_LEFTOVER_S = DRAIN_S + 10.0  # what a killed supervisor left drains for so long at most
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MakePlan = Callable[[Home], Plan]


def platform_plan(choices: Choices, any_ports: bool, say: Say) -> MakePlan:
    """The plan of the real platform: all services of the contracts, a nats-server and the edge."""

    def make(home: Home) -> Plan:
        services = service_policies()
        server = nats.find_or_fetch(home.tools, inherited_environment(), say)
        chosen = choices
        if any_ports:
            offset = preflight.free_offset(LOOPBACK, ports_to_move(choices, services))
            chosen = replace(choices, port_offset=offset)
        envoy = edge.find() if choices.edge else None
        plan = make_plan(home, server.path, chosen, services, envoy)
        if plan.tls:
            plan = replace(plan, upkeep=_authority(home, plan).keep)
        nats_users.issue(home, services)
        port = plan.bus.ports["nats"]
        nats.write_config(home.nats_config, plan.host, port, home.nats, home.nats_users)
        if plan.edge:
            edge.write_config(home, plan, services)
        return plan

    return make


def _authority(home: Home, plan: Plan) -> Authority:
    """That of the platform, with a certificate for everybody who speaks gRPC."""
    from services.cli.supervisor.authority import Authority

    names = dict.fromkeys(each.service for each in plan.processes if each is not plan.bus)
    authority = Authority(home.tls_secrets, [*names, OPERATOR])
    authority.keep()
    return authority


def claim(home: Home, say: Say) -> int:
    """The run lock, with a first state saved under it. Raises CliError ALREADY_RUNNING (exit code 3)."""
    number = lock.acquire(home)
    waiting_until = time.monotonic() + _LEFTOVER_S
    told = False
    while number is None:
        running = state.read(home)
        if running is not None and _alive(running.supervisor_pid):
            raise already_running(home, running)
        if time.monotonic() > waiting_until:
            raise CliError(
                "HOME_LOCKED",
                f"{home.lock} is held by something that does not end.",
                "Look for it with `lsof`.",
            )
        if not told:
            say("waiting for what a killed supervisor left to end")
            told = True
        time.sleep(_POLL_S)
        number = lock.acquire(home)
    state.save(home, RunState(Phase.STARTING, str(home.root), "", "", os.getpid(), time.time()))
    return number


def already_running(home: Home, running: RunState) -> CliError:
    """What a second `up` says."""
    return CliError(
        "ALREADY_RUNNING",
        f"fxmesh already runs in {home.root} ({running.phase}, supervisor pid {running.supervisor_pid}).",
        "`fxmesh status` shows it, `fxmesh down` stops it, --home starts another one.",
        ExitCode.PLATFORM_STATE,
        {"supervisor_pid": running.supervisor_pid, "phase": running.phase},
    )


def up(
    home: Home, make: MakePlan, view: View, detach: bool, say: Say, timings: Timings | None = None
) -> RunState:
    """Start and, unless detached, stay until the end. Returns the state reached: READY when detached, else
    the last one. Raises CliError, also for a start that failed.
    """
    preflight.check_settings(service_policies())
    preflight.make_folders(home)
    held = claim(home, say)
    try:
        preflight.check_disk(home)
        plan = make(home)
        preflight.check_ports(plan)
        run = _detached if detach else _in_foreground
        reached = run(plan, home, held, view, timings or Timings())
    finally:
        os.close(held)
    if reached.failure is not None:
        failure = reached.failure
        details = {"process": failure.process, "log_tail": list(failure.log_tail)}
        raise CliError(failure.reason, failure.message, failure.hint, details=details)
    return reached


def _in_foreground(plan: Plan, home: Home, held: int, view: View, timings: Timings) -> RunState:
    with view:
        return asyncio.run(_supervise(plan, home, held, view.update, timings))


async def _supervise(
    plan: Plan, home: Home, held: int, show: Callable[[RunState], None], timings: Timings
) -> RunState:
    """Run the plan until a signal or a failed start; everything has ended when it returns."""

    def changed(now: RunState) -> None:
        # A full disk must not take the supervisor down: the file is behind until there is room again.
        with suppress(OSError):
            state.save(home, now)
        show(now)

    # Here, for it takes a while to load and a command that only asks has no need of it.
    from services.cli.supervisor import tokens

    issuing = tokens.issuer(home, (spec.name for spec in plan.services))
    guard = Guard(max(spec.drain_s for spec in plan.processes), held)
    supervisor = Supervisor(plan, home, guard, inherited_environment(), changed, timings)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, supervisor.stop)
    renewing = [asyncio.create_task(tokens.keep(issuing), name="tokens")]
    if plan.upkeep is not None:
        renewing.append(asyncio.create_task(_keep_up(plan.upkeep), name="certificates"))
    try:
        return await supervisor.run()
    finally:
        for each in renewing:
            each.cancel()
        guard.close()


async def _keep_up(upkeep: Callable[[], None]) -> None:
    """Do the plan's upkeep for ever. What cannot be written now (a full disk) may be in a while."""
    while True:
        await asyncio.sleep(_UPKEEP_S)
        try:
            await asyncio.to_thread(upkeep)
        except OSError as failure:
            print(f"certificates cannot be renewed: {failure}", file=sys.stderr, flush=True)


def _detached(plan: Plan, home: Home, held: int, view: View, timings: Timings) -> RunState:
    """Run the plan in a process of its own, show its start, and return when it is ready or has failed."""
    pid = os.fork()
    if pid == 0:
        _become_daemon(plan, home, held, timings)
    try:
        with view:
            return _watch(home, pid, view)
    except KeyboardInterrupt:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        raise


def _become_daemon(plan: Plan, home: Home, held: int, timings: Timings) -> NoReturn:
    """In the forked process: no terminal, output to its own log; never returns."""
    code = 1
    try:
        os.setsid()
        log = logs.rotate(home, SUPERVISOR_LOG).open("a", encoding="utf-8", buffering=1)
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        reached = asyncio.run(
            _supervise(plan, home, held, LineView(log, "%Y-%m-%dT%H:%M:%SZ ").update, timings)
        )
        code = int(reached.failure is not None)
    except BaseException:  # noqa: BLE001  nobody is above to see it, and os._exit below shows nothing
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _watch(home: Home, pid: int, view: View) -> RunState:
    """Show the daemon's states until it is ready or over."""
    shown: RunState | None = None
    while True:
        ended, _ = os.waitpid(pid, os.WNOHANG)
        now = state.read(home)
        if now is not None and now.supervisor_pid == pid and now != shown:
            shown = now
            view.update(now)
            if now.phase is Phase.READY:
                return now
        if ended:
            if shown is not None and shown.phase in {Phase.FAILED, Phase.STOPPED}:
                return shown
            raise CliError(
                "SUPERVISOR_DIED",
                "The supervisor ended before the platform was ready.",
                f"Its log is {home.log(SUPERVISOR_LOG)}.",
            )
        time.sleep(_POLL_S)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
