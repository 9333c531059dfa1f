"""What runs, and where: `run/state.json`, written by the supervisor, read by every other command.

The file alone proves nothing, since a killed supervisor cannot correct it; the lock (lock.py) says whether
anything runs. `load` asks both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import lock


class Phase(StrEnum):
    """Where the platform as a whole stands."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Condition(StrEnum):
    """Where one process stands."""

    WAITING = "waiting"
    """Not launched yet."""
    STARTING = "starting"
    """Launched, not well yet (also after a restart)."""
    SERVING = "serving"
    DEGRADED = "degraded"
    """Serving, while something it would like to use is missing."""
    NOT_SERVING = "not_serving"
    """Answers that it cannot serve (now)."""
    UNRESPONSIVE = "unresponsive"
    """Runs and does not answer: frozen, blocked or overloaded."""
    RESTARTING = "restarting"
    """Ended by itself; launched again at `retry_at`."""
    FAILED = "failed"
    """Could not be started, and `up` gave up."""
    STOPPING = "stopping"
    STOPPED = "stopped"


WELL = frozenset({Condition.SERVING, Condition.DEGRADED})


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process. Times are Unix seconds; `ports` by label (`grpc`, `priority`, `http`, `nats`)."""

    name: str
    condition: Condition
    ports: Mapping[str, int]
    log: str
    pid: int | None = None
    started_at: float | None = None
    ready_after_s: float | None = None
    restarts: int = 0
    last_exit: str | None = None
    retry_at: float | None = None

    @property
    def service(self) -> str:
        """What it is an instance of."""
        return service_of(self.name)


def service_of(process: str) -> str:
    """`market_data` of `market_data-2`."""
    return process.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the start was given up: `message` and `hint` are sentences, `log_tail` ends the log."""

    process: str
    reason: str
    message: str
    hint: str
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunState:
    """The whole platform as of the last change of any part of it."""

    phase: Phase
    home: str
    host: str
    nats_url: str
    supervisor_pid: int
    started_at: float
    ready_at: float | None = None
    """When all were well for the first time; None: not yet, or never."""
    processes: tuple[ProcessState, ...] = field(default=())
    failure: Failure | None = None
    tls: bool = False
    """gRPC asks for a certificate."""

    def process(self, name: str) -> ProcessState:
        """The process of that name. Raises CliError UNKNOWN_PROCESS (exit code 2)."""
        for process in self.processes:
            if process.name == name:
                return process
        known = ", ".join(process.name for process in self.processes)
        raise CliError("UNKNOWN_PROCESS", f"There is no process {name}.", f"Known: {known}.", ExitCode.USAGE)

    def grpc_addresses(self, service: str) -> tuple[str, ...]:
        """`host:port` of the gRPC server of each instance of a service. Raises CliError UNKNOWN_PROCESS."""
        self.process(service)
        found = (each.ports["grpc"] for each in self.processes if each.service == service)
        return tuple(f"{self.host}:{port}" for port in found)

    def priority_addresses(self, service: str) -> tuple[str, ...]:
        """`host:port` of the priority port of each instance that has one. Raises CliError UNKNOWN_PROCESS."""
        self.process(service)
        instances = (each for each in self.processes if each.service == service)
        return tuple(
            f"{self.host}:{each.ports['priority']}" for each in instances if "priority" in each.ports
        )

    @property
    def edge_url(self) -> str:
        """Where the edge is; empty where the platform has none."""
        ports = (each.ports["edge"] for each in self.processes if "edge" in each.ports)
        return next((f"http://{self.host}:{port}" for port in ports), "")

    def http_address(self, service: str) -> str:
        """`host:port` of a service's /health and /metrics."""
        return f"{self.host}:{self.process(service).ports['http']}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def save(home: Home, state: RunState) -> None:
    """Replace the file in one step, so that a reader never sees half of it. Raises OSError (disk full)."""
    draft = home.state.with_suffix(".tmp")
    draft.write_text(json.dumps(state.to_json(), indent=1), encoding="utf-8")
    draft.replace(home.state)


def read(home: Home) -> RunState | None:
    """What the file says, of a run that may be over; None where there is none or it makes no sense."""
    try:
        return _decode(json.loads(home.state.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load(home: Home) -> RunState:
    """The state of the platform that runs in `home`. Raises CliError NOT_RUNNING (exit code 3)."""
    state = read(home) if lock.held(home) else None
    if state is None:
        raise CliError(
            "NOT_RUNNING",
            f"No platform runs in {home.root}.",
            "Start one with `fxmesh up` (another folder: --home or FXMESH_HOME).",
            ExitCode.PLATFORM_STATE,
        )
    return state


def _decode(body: dict[str, Any]) -> RunState:
    processes = tuple(
        ProcessState(**{**each, "condition": Condition(each["condition"])}) for each in body["processes"]
    )
    failure = body["failure"]
    if failure is not None:
        failure = Failure(**{**failure, "log_tail": tuple(failure["log_tail"])})
    return RunState(**{**body, "phase": Phase(body["phase"]), "processes": processes, "failure": failure})
