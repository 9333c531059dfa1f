"""What must be true before anything is started: settings that make sense, a writable home, room on its disk,
free ports.

Checked at the start so that the commonest obstacles are one sentence instead of a log to read.
"""

from __future__ import annotations

import errno
import random
import shutil
import socket
from collections.abc import Callable, Collection, Iterable
from functools import partial
from importlib import import_module

from services.cli.config import variables_for_processes
from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor.plan import EDGE, GATE, NATS, Plan
from services.runtime.policy import ServicePolicy

DISK_FLOOR_BYTES = 256 << 20  # below this JetStream and DuckDB fail within minutes of a busy feed
MAX_OFFSET = 15_000  # the highest default port, 50058, stays below 2**16
_OFFSETS = range(100, MAX_OFFSET)
_OFFSET_TRIES = 200
_MOVES = {(NATS, "nats"): "--nats-port", (EDGE, "edge"): "--edge-port"}
"""The option that moves this one port."""


def check_settings(services: Iterable[ServicePolicy]) -> None:
    """Raises CliError WRONG_SETTINGS about every variable that a process would refuse: it would do so in its
    log. What the check takes is loaded only where something is set.
    """
    given = variables_for_processes()
    if not given:
        return
    from services.runtime.fatal import WrongSettings

    wrong: list[str] = []
    own = [
        each.name
        for each in services
        if any(name.startswith(f"FXMESH_{each.name.upper()}_") for name in given)
    ]
    checks: list[Callable[[], None]] = [_check_shared, *(partial(_check_own, name) for name in own)]
    for check in checks:
        try:
            check()
        except WrongSettings as refused:
            wrong += refused.sentences
    if wrong:
        message = f"Nothing was started: {'; '.join(wrong)}."
        raise CliError("WRONG_SETTINGS", message, "Correct or unset what is named.", ExitCode.USAGE)


def _check_shared() -> None:
    from interceptors import faults
    from services.runtime.settings import RuntimeSettings, load

    settings = load(RuntimeSettings)
    if settings.drills:
        faults.parse(settings.faults)


def _check_own(service: str) -> None:
    from services.runtime.settings import load

    load(import_module(f"services.{service}.config").Settings)


def make_folders(home: Home) -> None:
    """The home's folders, made and written to once; for their owner alone, since logs, books and key hashes
    are nobody else's business. Raises CliError HOME_NOT_WRITABLE or DISK_FULL.
    """
    for folder in (home.run, home.logs, home.data, home.nats):
        trial = folder / ".writable"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            trial.write_bytes(b"fxmesh")
            trial.unlink()
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _disk_full(home) from error
            raise CliError(
                "HOME_NOT_WRITABLE",
                f"The folder {home.root} cannot be used: {error.strerror} ({error.filename or folder}).",
                "Give yourself write permission there, or choose another folder with --home.",
            ) from error


def check_disk(home: Home, floor: int = DISK_FLOOR_BYTES) -> None:
    """Raises CliError DISK_FULL when the home's disk has less than `floor` bytes left for this user."""
    if shutil.disk_usage(home.root).free < floor:
        raise _disk_full(home, floor)


def check_ports(plan: Plan) -> None:
    """Raises CliError PORT_IN_USE, naming the port, what wanted it and who holds it."""
    for process in plan.processes:
        for label, port in process.ports.items():
            if not port_free(plan.host, port):
                holder = port_holder(port) or "another process"
                whose = process.name if label == process.name else f"{process.name} {label}"
                raise CliError(
                    "PORT_IN_USE",
                    f"Port {port} ({whose}) is already used by {holder}.",
                    port_hint(process.name, label),
                    details={"port": port, "process": process.name, "holder": holder},
                )


def port_hint(process: str, label: str) -> str:
    """What to do about a port of `process` that is in use."""
    ways = filter(None, (_MOVES.get((process, label)), "--no-edge" if process in (EDGE, GATE) else None))
    options = " or ".join(filter(None, (", ".join(ways), "--port-offset auto")))
    return f"Stop that process, or start with {options}."


def free_offset(host: str, base: Collection[int]) -> int:
    """An offset at which every port of `base` is free now. Raises CliError NO_FREE_PORTS."""
    for offset in random.sample(_OFFSETS, _OFFSET_TRIES):
        if all(port_free(host, port + offset) for port in base):
            return offset
    raise CliError(
        "NO_FREE_PORTS",
        f"No free range of ports was found on {host} in {_OFFSET_TRIES} tries.",
        "Stop other programs, or choose with --port-offset and --nats-port.",
    )


def port_free(host: str, port: int) -> bool:
    """True when nobody listens there. Without SO_REUSEPORT, with which two gRPC servers would share it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True


def port_holder(port: int) -> str:
    """`python3 (pid 123)` for the process that listens on `port`, or empty where that cannot be seen."""
    import psutil

    try:
        listening = [
            each.pid
            for each in psutil.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid
        ]
        return f"{psutil.Process(listening[0]).name()} (pid {listening[0]})" if listening else ""
    except psutil.Error:
        return ""


def _disk_full(home: Home, floor: int = DISK_FLOOR_BYTES) -> CliError:
    free = shutil.disk_usage(home.root).free if home.root.exists() else 0
    return CliError(
        "DISK_FULL",
        f"The disk of {home.root} has {free >> 20} MB left; fxmesh needs at least {floor >> 20} MB.",
        "Free some space, or choose a folder on another disk with --home.",
    )
