"""`logs`: what the processes wrote, of this run or, with `--previous`, of the one before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import output
from services.cli.home import Home
from services.cli.options import DEFAULT_HOME, HomeOption
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import logs as files

_POLL_S = 0.2
_PREVIOUS = ".previous"

ProcessArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PROCESS]...", help="Services, nats, edge, edge_gate or supervisor. Default: all."
    ),
]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")]
CountOption = Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each process.")]
PreviousOption = Annotated[bool, typer.Option("--previous", help="The run before this one.")]
EachJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, as it was written.")
]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=output.examples(
            "fxmesh logs",
            "fxmesh logs trading_gateway -n 100",
            "fxmesh logs -f analysis_engine market_data",
            "fxmesh logs --json | jq 'select(.level == \"error\")'",
            codes="0 shown, 2 no such process, 3 nothing was ever started there.",
        )
    )(logs)


def logs(
    process: ProcessArgument = None,
    home: HomeOption = DEFAULT_HOME,
    follow: FollowOption = False,
    lines: CountOption = 20,
    previous: PreviousOption = False,
    json: EachJsonOption = False,
) -> None:
    """Show what the processes wrote, oldest first; works after the platform has stopped, too."""
    paths = _paths(Home.at(home), process or [], previous)
    width = max(len(name) for name in paths)
    ends = {name: files.Follower(path) for name, path in paths.items()}
    for name, record in _recent(paths, lines):
        _show(name, record, width, json)
    try:
        while follow:
            for name, end in ends.items():
                for line in end.new_lines():
                    _show(name, files.parse(line), width, json)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:  # the only way to end it, so not a failure
        return


def _paths(home: Home, wanted: list[str], previous: bool) -> dict[str, Path]:
    """Log files by process. Raises CliError NO_LOGS or UNKNOWN_PROCESS."""
    known = {
        path.stem.removesuffix(_PREVIOUS): path
        for path in sorted(home.logs.glob("*.log"))
        if path.stem.endswith(_PREVIOUS) == previous
    }
    if not known:
        raise CliError(
            "NO_LOGS",
            f"There are no logs in {home.logs}.",
            "Start a platform with `fxmesh up`, or name its folder with --home.",
            ExitCode.PLATFORM_STATE,
        )
    for name in wanted:
        if name not in known:
            raise CliError(
                "UNKNOWN_PROCESS",
                f"There is no log of {name}.",
                f"Known: {', '.join(known)}.",
                ExitCode.USAGE,
            )
    return {name: known[name] for name in wanted} if wanted else known


def _recent(paths: dict[str, Path], lines: int) -> list[tuple[str, dict[str, Any]]]:
    """The last lines of each, in order of time; a line without a time stays behind the one it follows."""
    found: list[tuple[str, str, int, dict[str, Any]]] = []
    for name, path in paths.items():
        last = ""
        for number, line in enumerate(files.tail(path, lines)):
            record = files.parse(line)
            last = files.when(record) or last
            found.append((last, name, number, record))
    return [(name, record) for _, name, _, record in sorted(found, key=lambda each: each[:3])]


def _show(name: str, record: dict[str, Any], width: int, as_json: bool) -> None:
    if as_json:
        output.print_json_line({"process": name, **record})
        return
    for line in files.render(record).splitlines() or [""]:
        print(f"{name:<{width}}  {line}", flush=True)
