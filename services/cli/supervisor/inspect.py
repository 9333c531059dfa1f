"""`fxmesh status`: what the supervisor wrote down, checked against the processes as they are now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from services.cli import nats_users
from services.cli.home import Home
from services.cli.output import text_table
from services.cli.supervisor import memory, state
from services.cli.supervisor.memory import NOTHING, Memory
from services.cli.supervisor.probe import NO_ANSWER, probe_for
from services.cli.supervisor.state import WELL, Condition, Phase, ProcessState, RunState
from services.cli.supervisor.view import megabytes, ports_text

# What a probe cannot overrule: the supervisor knows that there is nobody to ask, or that the end was asked
# for.
_SETTLED = frozenset(
    {Condition.WAITING, Condition.RESTARTING, Condition.FAILED, Condition.STOPPING, Condition.STOPPED}
)


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process now. `health` is its own /health answer, empty where it gave none."""

    state: ProcessState
    uptime_s: float | None
    memory: Memory | None
    health: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """The platform now; `supervisor_memory` is what watching costs."""

    run: RunState
    processes: tuple[ProcessReport, ...]
    supervisor_memory: Memory | None

    @property
    def well(self) -> bool:
        return self.run.phase is Phase.READY and all(each.state.condition in WELL for each in self.processes)

    @property
    def memory(self) -> Memory:
        """Of all processes, the supervisor's own included."""
        known = [each.memory for each in self.processes if each.memory] + [self.supervisor_memory or NOTHING]
        return sum(known, NOTHING)

    def to_json(self) -> dict[str, Any]:
        body = self.run.to_json()
        body["well"] = self.well
        body["memory"] = _memory_json(self.memory)
        body["processes"] = [
            {
                **asdict(each.state),
                "uptime_s": each.uptime_s,
                "memory": _memory_json(each.memory),
                "dependencies": each.health.get("dependencies", {}),
            }
            for each in self.processes
        ]
        return body


def take(home: Home) -> Report:
    """Ask every process now. Raises CliError NOT_RUNNING (exit code 3)."""
    run = state.load(home)
    processes = asyncio.run(_look_at_all(run))
    watched = {each.pid for each in run.processes if each.pid}
    return Report(run, processes, memory.measure(run.supervisor_pid, leave_out=watched))


def as_text(report: Report) -> str:
    """A row a process, and below it what stands in the way of those that are not simply serving."""
    rows = [_row(each) for each in report.processes]
    table = text_table(
        ("PROCESS", "STATE", "PID", "PORTS", "UPTIME", "RESTARTS", "MEMORY", "NOTE"),
        rows,
        frozenset({2, 4, 5, 6}),
    )
    total = report.memory
    shared = "" if total.proportional is None else f" resident, {megabytes(total.proportional)} proportional"
    run = report.run
    head = ", ".join(filter(None, (run.phase, run.edge_url, run.nats_url or "no NATS yet", run.home)))
    return f"{head}\n\n{table}\n\nmemory {megabytes(total.resident)}{shared}, the supervisor included"


async def _look_at_all(run: RunState) -> tuple[ProcessReport, ...]:
    return tuple(await asyncio.gather(*(_look(run, each) for each in run.processes)))


async def _look(run: RunState, process: ProcessState) -> ProcessReport:
    if process.pid is None or process.condition in _SETTLED:
        return ProcessReport(process, None, None, {})
    probe = probe_for(run.host, process.ports, partial(nats_users.login, Home(Path(run.home))))
    health = NO_ANSWER if probe is None else await probe.check()
    condition = health.condition or (
        Condition.STARTING if process.ready_after_s is None else Condition.UNRESPONSIVE
    )
    size = memory.measure(process.pid)
    if size is None:  # ended a moment ago: the supervisor is about to notice
        condition = Condition.RESTARTING
    uptime = None if process.started_at is None else round(time.time() - process.started_at, 1)
    return ProcessReport(replace(process, condition=condition), uptime, size, health.body)


def _row(report: ProcessReport) -> tuple[str, ...]:
    process = report.state
    return (
        process.name,
        process.condition,
        str(process.pid or "-"),
        ports_text(process),
        "-" if report.uptime_s is None else duration(report.uptime_s),
        str(process.restarts),
        "-" if report.memory is None else megabytes(report.memory.resident),
        _note(report),
    )


def _note(report: ProcessReport) -> str:
    process = report.state
    if process.condition is Condition.RESTARTING and process.retry_at is not None:
        return f"{process.last_exit}; again in {max(0.0, process.retry_at - time.time()):.0f} s"
    notes = [f"last {process.last_exit}"] if process.last_exit else []
    notes += [
        f"{name} {each.get('state')}" + (f" ({each['detail']})" if each.get("detail") else "")
        for name, each in report.health.get("dependencies", {}).items()
        if isinstance(each, dict) and each.get("state") != "up"
    ]
    return "; ".join(notes)


def duration(seconds: float) -> str:
    """`42s`, `12m`, `3h07m`, `2d04h`: two units at most, for a table."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def _memory_json(size: Memory | None) -> dict[str, int | None] | None:
    return (
        None if size is None else {"resident_bytes": size.resident, "proportional_bytes": size.proportional}
    )
