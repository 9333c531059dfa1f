"""What a person sees of a start: a live table on a terminal, else a line a change, with --json one document.

All three are fed `RunState`s, by the supervisor itself or read from its file, so `up` and `up --detach` look
alike.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from services.cli import output
from services.cli.supervisor import memory
from services.cli.supervisor.state import WELL, Condition, Phase, ProcessState, RunState

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

MEGABYTE = 1 << 20
_COLOURS = {
    Condition.SERVING: "green",
    Condition.DEGRADED: "yellow",
    Condition.STARTING: "cyan",
    Condition.STOPPING: "cyan",
    Condition.WAITING: "dim",
    Condition.STOPPED: "dim",
}


class View(Protocol):
    """Gets every change; a context manager, since the live table must give the terminal back."""

    def update(self, state: RunState) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class QuietView:
    """Shows nothing: what follows says it all."""

    def update(self, state: RunState) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return


class JsonView(QuietView):
    """One document, once all are ready; a start that failed is reported as every error is."""

    def update(self, state: RunState) -> None:
        if state.phase is Phase.READY:
            output.print_json(state.to_json())


class LineView:
    """A line for each change of a process and, once all are ready, where to look."""

    def __init__(self, out: TextIO, stamp: str = "") -> None:
        """`stamp` is the form of the time (UTC) before each line, as for strftime."""
        self._out = out
        self._stamp = stamp
        self._told: dict[str, ProcessState] = {}
        self._phase: Phase | None = None

    def update(self, state: RunState) -> None:
        for process in state.processes:
            before = self._told.get(process.name)
            self._told[process.name] = process
            # After a failed start the ends of the others only hide what matters.
            telling = state.failure is None or process.condition is Condition.FAILED
            if telling and before is not None and before.condition != process.condition:
                self._say(change_line(process))
        if state.phase != self._phase:
            self._phase = state.phase
            if state.phase is Phase.READY:
                self._say(where_to_look(state))
            elif state.phase is Phase.STOPPING and state.failure is None:
                self._say("stopping")
            elif state.phase is Phase.STOPPED:
                self._say("stopped")

    def silence(self, state: RunState) -> None:
        """Take `state` as told already."""
        self._told = {process.name: process for process in state.processes}
        self._phase = state.phase

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def _say(self, text: str) -> None:
        print(f"{time.strftime(self._stamp, time.gmtime())}{text}", file=self._out, flush=True)


class LiveView:
    """A table that redraws while the platform starts; lines after that."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._state: RunState | None = None  # before Live, which draws at once
        self._console = Console()
        self._live: Live | None = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=5, transient=False
        )
        self._lines = LineView(sys.stdout, "%H:%M:%S ")

    def update(self, state: RunState) -> None:
        self._state = state
        if self._live is None:
            self._lines.update(state)
        elif state.phase is not Phase.STARTING:
            self._end_table()
            if state.phase is Phase.READY:
                print(where_to_look(state), flush=True)
            self._lines.silence(state)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end_table()

    def _end_table(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> Table | str:
        return "" if self._state is None else process_table(self._state)


def view_for(as_json: bool) -> View:
    """The view that suits where standard output goes."""
    if as_json:
        return JsonView()
    return LiveView() if sys.stdout.isatty() else LineView(sys.stdout)


def process_table(state: RunState) -> Table:
    """The live table of `up`: one row a process, seconds counting until it is ready."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("process", "state", "pid", "ports", "seconds", "memory"):
        table.add_column(
            title, justify="right" if title in {"pid", "seconds", "memory"} else "left", no_wrap=True
        )
    for process in state.processes:
        colour = _COLOURS.get(process.condition, "red")
        table.add_row(
            process.name,
            f"[{colour}]{process.condition}[/{colour}]",
            str(process.pid or ""),
            ports_text(process),
            _seconds(process),
            megabytes(memory.resident(process.pid) if process.pid else None),
        )
    return table


def change_line(process: ProcessState) -> str:
    """One change as a line: `trading_gateway  serving  pid 4711  50051 9051  3.2 s`."""
    words = [f"{process.name:<20}", f"{process.condition:<12}"]
    if process.condition is Condition.RESTARTING and process.retry_at is not None:
        wait = max(0.0, process.retry_at - time.time())
        words.append(f"{process.last_exit}; again in {wait:.0f} s (restart {process.restarts})")
    elif process.condition is Condition.FAILED:
        words.append(process.last_exit or "")
    elif process.pid is not None:
        words.append(f"pid {process.pid}  {ports_text(process)}")
        if process.condition in WELL:
            words.append(f"{_seconds(process)} s")
    return "  ".join(words).rstrip()


def where_to_look(state: RunState) -> str:
    """What a person wants to know once all is ready."""
    took = (state.ready_at or time.time()) - state.started_at
    at = state.edge_url
    edge = f"  edge      {at:<32} token   fxmesh token, for curl and grpcurl\n" if at else ""
    sizes = [memory.resident(process.pid) or 0 for process in state.processes if process.pid]
    return f"""
fxmesh is up: {len(state.processes)} processes ready in {took:.1f} s, {megabytes(sum(sizes))} resident.

  prices    fxmesh quotes EURUSD             trade   fxmesh order buy EURUSD 10000
  replay    fxmesh replay FILE               money   fxmesh account
  health    fxmesh status                    logs    fxmesh logs -f
  events    {state.nats_url:<32} files   {state.home}
{edge}  stop      fxmesh down, or Ctrl-C where `fxmesh up` runs
"""


def ports_text(process: ProcessState) -> str:
    return " ".join(str(port) for port in process.ports.values())


def megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / MEGABYTE:.0f} MB"


def _seconds(process: ProcessState) -> str:
    if process.ready_after_s is not None:
        return f"{process.ready_after_s:.1f}"
    return (
        "" if process.started_at is None or process.pid is None else f"{time.time() - process.started_at:.1f}"
    )
