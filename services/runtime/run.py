"""The entry of every service process: `run(SERVICE, Settings, compose)` in its `__main__`.

Reads settings and runs the process until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import TypeVar

from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from services.runtime import crash, logs, settings
from services.runtime.entry import guarded
from services.runtime.loop import run_measured
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import ServicePolicy, service_policy
from services.runtime.process import Process
from services.runtime.settings import RuntimeSettings
from services.runtime.wiring import connect

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def run(service: str, settings_class: type[SettingsT], compose: Callable[[SettingsT, Mesh], Service]) -> None:
    """Run the service with the full gRPC name `service` until it is told to stop; exits the interpreter on
    failure.
    """
    logs.configure(service)

    def work() -> None:
        runtime = settings.load(RuntimeSettings)
        policy = service_policy(service)
        log = logs.configure(policy.name, runtime.log_level, runtime.log_format)
        crash.arm(runtime.crash_at, log)
        own = settings.load(settings_class)
        run_measured(_run(policy, runtime, lambda mesh: compose(own, mesh), log))

    guarded(service, work)


async def _run(
    policy: ServicePolicy,
    runtime: RuntimeSettings,
    compose: Callable[[Mesh], Service],
    log: FilteringBoundLogger,
) -> None:
    process = Process(policy, runtime, compose, connect, log)
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, process.stop)
    await process.run()
