"""How long `fxmesh up` takes when warm, and what the idle platform holds in memory.

`python bench/startup.py [--rounds N] [--idle SECONDS]`. Targets: ready in 15 s; 1.2 GB resident in all, the
supervisor and nats-server included. Beside them, in the same run, the bare lower layer: a Python process that
imports what every service imports, times seven.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench._platform import FXMESH, start

IMPORTS = "import grpc.aio, nats, pydantic_settings, structlog, protovalidate, prometheus_client, sqlalchemy"
MIB = 1 << 20


def bare_import_s() -> float:
    """Seconds one Python process takes to import the libraries of a service, alone on the machine."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.monotonic() - began


def memory(pids: list[int]) -> tuple[int, int]:
    """Resident and proportional bytes of processes and their children."""
    found = {
        each.pid: each
        for pid in pids
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    }
    sizes = [each.memory_full_info() for each in found.values()]
    return sum(size.rss for size in sizes), sum(size.pss for size in sizes)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--idle", type=float, default=20.0, help="seconds of synthetic feed before memory is read"
    )
    options = parser.parse_args()
    ready, resident, proportional = [], [], []
    with tempfile.TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        home = Path(folder)
        for number in range(options.rounds + 1):  # the first one fills caches and the data folder
            running = start(home)
            if number:
                ready.append(running.ready_s)
                time.sleep(options.idle)
                status = running.ask("status")
                pids = [status["supervisor_pid"], *(each["pid"] for each in status["processes"])]
                rss, pss = memory(pids)
                resident.append(rss / MIB)
                proportional.append(pss / MIB)
            subprocess.run([*FXMESH, "down", "--home", str(home)], check=True, capture_output=True)
    lower = 7 * statistics.median(bare_import_s() for _ in range(options.rounds))
    print(f"ready after `fxmesh up`, warm     {statistics.median(ready):8.1f} s    target 15")
    print(f"seven bare imports, one by one    {lower:8.1f} s    ratio {statistics.median(ready) / lower:.2f}")
    print(f"resident, idle, all processes     {statistics.median(resident):8.0f} MiB  target 1,144 (1.2 GB)")
    print(f"proportional, idle                {statistics.median(proportional):8.0f} MiB")


if __name__ == "__main__":
    main()
