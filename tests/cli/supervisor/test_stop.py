"""What `fxmesh down` shows, whatever part of the stop its looks at the state happen to catch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from services.cli.home import Home
from services.cli.supervisor import state
from services.cli.supervisor.preflight import make_folders
from services.cli.supervisor.state import Condition, Phase, ProcessState, RunState
from services.cli.supervisor.stop import down

# Stops faster than anybody can look: one signal, and all is over.
_SUPERVISOR = """
import signal, sys
from dataclasses import replace
from pathlib import Path
from services.cli.home import Home
from services.cli.supervisor import lock, state
from services.cli.supervisor.state import Condition, Phase

home = Home(Path(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
held = lock.acquire(home)
print("ready", flush=True)
signal.sigwait({signal.SIGTERM})
now = state.load(home)
over = tuple(replace(each, condition=Condition.STOPPED, pid=None) for each in now.processes)
state.save(home, replace(now, phase=Phase.STOPPED, processes=over))
"""


def test_a_stop_too_fast_to_watch_is_shown_from_its_begin_to_its_end(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    make_folders(home)
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(home.root)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        serving = ProcessState("trading", Condition.SERVING, {"grpc": 50051}, "trading.log", os.getpid())
        running = RunState(
            Phase.READY,
            str(home.root),
            "127.0.0.1",
            "nats://127.0.0.1:1",
            supervisor.pid,
            0.0,
            1.0,
            (serving,),
        )
        state.save(home, running)
        shown: list[RunState] = []
        last = down(home, shown.append)
    assert shown[0] == replace(running, phase=Phase.STOPPING)
    assert shown[-1] == last
    assert (last.phase, last.process("trading").condition) == (Phase.STOPPED, Condition.STOPPED)
