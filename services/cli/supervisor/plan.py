"""Which processes make a platform, from the one list there is: the `service` option of each contract.

A new service needs no line here. Envoy and the gate it asks are further entries of the same kind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.cli import nats_users
from services.cli.home import Home
from services.cli.supervisor.probe import HttpProbe, NatsProbe, Probe
from services.cli.supervisor.state import service_of
from services.runtime.policy import ServicePolicy

NATS = "nats"
NATS_PORT = 4222
EDGE, GATE = "edge", "edge_gate"
EDGE_PORT = 8080
OPERATOR = "operator"
"""Whoever gives the commands: its credentials lie beside those of the processes."""
_ADMIN_PORT = 9901
_GATE_GRPC, _GATE_HTTP = 50058, 9058  # after those of the services
LOOPBACK = "127.0.0.1"  # nothing listens beyond it unless asked
MOST_INSTANCES = 5
_INSTANCE_STEP = 100
"""From the ports of one instance to those of the next: beyond those of all services."""
DRAIN_S = 25.0  # a service's own drain ends calls in flight for 20 s, then finishes its batches


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How one process is run. `env` is added to the supervisor's own; `data` is made before the launch."""

    name: str
    argv: tuple[str, ...]
    ports: Mapping[str, int]
    probe: Probe
    data: Path
    env: Mapping[str, str] = field(default_factory=dict)
    drain_s: float = DRAIN_S

    @property
    def service(self) -> str:
        """What it is an instance of."""
        return service_of(self.name)


@dataclass(frozen=True, slots=True)
class Plan:
    """`bus` is up before any other starts, and goes down last; the `edge` goes down after the `services`,
    whose last answers pass it.
    """

    bus: ProcessSpec
    services: tuple[ProcessSpec, ...]
    edge: tuple[ProcessSpec, ...] = ()
    host: str = LOOPBACK
    tls: bool = False
    """Services ask for certificates, and show them."""
    upkeep: Callable[[], None] | None = None
    """Called every few seconds while all runs: renews what has its time."""

    @property
    def nats_url(self) -> str:
        return f"nats://{self.host}:{self.bus.ports['nats']}"

    @property
    def processes(self) -> tuple[ProcessSpec, ...]:
        return (self.bus, *self.services, *self.edge)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person may ask of a start. `symbols` empty: those of the default feed; `feed` False: no feed at
    all; `otlp`: where traces go, empty for nowhere but what the environment says; `edge` False: gRPC only;
    `tls`: mTLS between all that speak gRPC; `instances`: how many processes of a service, by its name, where
    not one.
    """

    port_offset: int = 0
    nats_port: int | None = None
    symbols: tuple[str, ...] = ()
    feed: bool = True
    otlp: str = ""
    edge: bool = True
    edge_port: int | None = None
    tls: bool = False
    instances: Mapping[str, int] = field(default_factory=dict)


def ports_to_move(choices: Choices, services: tuple[ServicePolicy, ...]) -> tuple[int, ...]:
    """Every port that the offset is added to."""
    found = [
        port + number * _INSTANCE_STEP
        for policy in services
        for number in range(choices.instances.get(policy.name, 1))
        for port in _ports(policy).values()
    ]
    if choices.nats_port is None:
        found.append(NATS_PORT)
    if choices.edge:
        found += [_ADMIN_PORT, _GATE_GRPC, _GATE_HTTP]
        found += [EDGE_PORT] if choices.edge_port is None else []
    return tuple(found)


def make_plan(
    home: Home,
    nats_server: Path,
    choices: Choices,
    services: tuple[ServicePolicy, ...],
    envoy: Path | None = None,
) -> Plan:
    """The processes of a platform in `home`; without the program `envoy` there is no edge."""
    nats_port = choices.nats_port or NATS_PORT + choices.port_offset
    bus = ProcessSpec(
        name=NATS,
        argv=(str(nats_server), "--config", str(home.nats_config)),
        ports={"nats": nats_port},
        probe=NatsProbe(LOOPBACK, nats_port, login=partial(nats_users.login, home)),
        data=home.nats,
        env={"TZ": "UTC"},  # its log lines have no zone; those of the services are UTC
        drain_s=10.0,
    )
    url = f"nats://{LOOPBACK}:{nats_port}"
    planned = tuple(
        _service(home, policy, url, choices, number)
        for policy in services
        for number in range(choices.instances.get(policy.name, 1))
    )
    edge = () if envoy is None else (_gate(home, planned, url, choices), _envoy(home, envoy, choices))
    return Plan(bus, planned, edge, tls=choices.tls)


def _envoy(home: Home, program: Path, choices: Choices) -> ProcessSpec:
    admin = _ADMIN_PORT + choices.port_offset
    form = '{"time":"%Y-%m-%dT%T.%eZ","level":"%l","event":"%j"}'
    return ProcessSpec(
        name=EDGE,
        argv=(
            str(program),
            *("--config-path", str(home.envoy_config)),
            *("--concurrency", "2"),  # a connection to each service a thread, whatever the machine has
            "--disable-hot-restart",  # whose shared memory two platforms would fight over
            *("--log-level", "warning", "--log-format", form),
        ),
        ports={"edge": choices.edge_port or EDGE_PORT + choices.port_offset, "admin": admin},
        probe=HttpProbe(LOOPBACK, admin, path="/ready"),
        data=home.data / EDGE,
        env={"TZ": "UTC"},
        drain_s=5.0,
    )


def _gate(home: Home, services: tuple[ProcessSpec, ...], nats_url: str, choices: Choices) -> ProcessSpec:
    ports = {"grpc": _GATE_GRPC + choices.port_offset, "http": _GATE_HTTP + choices.port_offset}
    data = home.data / GATE
    upstreams = ",".join(f"{each.service}={LOOPBACK}:{each.ports['grpc']}" for each in services)
    return ProcessSpec(
        name=GATE,
        argv=(sys.executable, "-m", "edge"),
        ports=ports,
        probe=HttpProbe(LOOPBACK, ports["http"]),
        data=data,
        env=_environment(home, GATE, ports, data, choices)
        | nats_users.environment(home, GATE)
        | {"FXMESH_NATS_URL": nats_url, "FXMESH_EDGE_UPSTREAMS": upstreams},
        drain_s=5.0,
    )


def _environment(
    home: Home, name: str, ports: Mapping[str, int], data: Path, choices: Choices
) -> dict[str, str]:
    """What every process of ours is told."""
    return {
        **(tls_environment(home, name) if choices.tls else {}),
        **_trust(home),
        "FXMESH_HOST": LOOPBACK,
        **{f"FXMESH_{label.upper()}_PORT": str(port) for label, port in ports.items()},
        "FXMESH_DATA_DIR": str(data),
        "FXMESH_LOG_FORMAT": "json",
        # A log line must be in the file when the process is killed the moment after.
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def tls_environment(home: Home, name: str) -> dict[str, str]:
    """Where a process finds its certificate, its key, and whom to trust."""
    return {
        "FXMESH_TLS_CERT_FILE": str(home.tls_secrets / f"{name}.crt"),
        "FXMESH_TLS_KEY_FILE": str(home.tls_secrets / f"{name}.key"),
        "FXMESH_TLS_CA_FILE": str(home.tls_secrets / "ca.pem"),
    }


def _trust(home: Home) -> dict[str, str]:
    """Whose tokens a process takes: those of this platform's own issuer (supervisor/tokens.py)."""
    return {
        "FXMESH_JWKS": str(home.key_set),
        "FXMESH_TOKEN_ISSUER": "fxmesh",
        "FXMESH_TOKEN_AUDIENCE": "fxmesh",
        "FXMESH_TOKEN_NAMESPACE": "fxmesh",
    }


def _ports(policy: ServicePolicy) -> dict[str, int]:
    """Those of the contract, by label."""
    second = {"priority": policy.priority_port} if policy.priority_port else {}
    return {"grpc": policy.grpc_port, **second, "http": policy.http_port}


def _service(home: Home, policy: ServicePolicy, nats_url: str, choices: Choices, number: int) -> ProcessSpec:
    """Instance `number` of a service, counted from 0: with ports, a data folder and a log of its own."""
    step = choices.port_offset + number * _INSTANCE_STEP
    ports = {label: port + step for label, port in _ports(policy).items()}
    name = f"{policy.name}-{number + 1}" if number else policy.name
    data = home.data / name
    env = _environment(home, policy.name, ports, data, choices) | nats_users.environment(home, policy.name)
    env |= {"FXMESH_NATS_URL": nats_url, "FXMESH_TOKEN_FILE": str(home.token(policy.name))}
    if choices.symbols:
        env["FXMESH_MARKET_DATA_SYMBOLS"] = ",".join(choices.symbols)
    if not choices.feed:
        env["FXMESH_MARKET_DATA_SYNTHETIC"] = "false"
    if choices.otlp:
        env["FXMESH_OTLP_ENDPOINT"] = choices.otlp
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", f"services.{policy.name}"),
        ports=ports,
        probe=HttpProbe(LOOPBACK, ports["http"]),
        data=data,
        env=env,
    )
