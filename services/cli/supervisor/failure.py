"""Why a process could not be started, in one sentence, and what to do about it in another.

A service says it itself (`FATAL: ...`); nats-server and whatever dies earlier do not, so the last lines of
the log are searched for the causes that people really meet. Anything else points at the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.supervisor import logs
from services.cli.supervisor.plan import ProcessSpec
from services.cli.supervisor.preflight import port_hint, port_holder
from services.cli.supervisor.state import Failure

LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class _Cause:
    pattern: re.Pattern[str]
    reason: str
    message: str
    hint: str


def _cause(pattern: str, reason: str, message: str, hint: str) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), reason, message, hint)


# The first that matches wins; {name}, {data} and {match} are filled in.
_CAUSES = (
    _cause(
        r"no space left on device|disk is full|disk of .* is full|ENOSPC",
        "DISK_FULL",
        "{name} could not write to {data}: the disk is full.",
        "Free some space, or start with --home on another disk.",
    ),
    _cause(
        r"permission denied|read-only file system|data folder .* cannot be",
        "DATA_NOT_WRITABLE",
        "{name} may not write to its data folder {data}.",
        "Give yourself write permission there, or start with another --home.",
    ),
    _cause(
        r"No module named '?(?P<match>[\w.]+)",
        "ENVIRONMENT_INCOMPLETE",
        "{name} is missing the Python module {match}.",
        "Set the environment up again with `make setup`.",
    ),
)
# What a service says last when waiting would not help (services/runtime/fatal.py): already a sentence with a
# remedy.
_FATAL = re.compile(r"^FATAL: (.*?)\.?$", re.MULTILINE)
_ADDRESS_IN_USE = re.compile(
    r"address (already )?in use|port \d+ .{0,40}in use|error listening on port", re.IGNORECASE
)


def explain(spec: ProcessSpec, what: str, log: Path) -> Failure:
    """The failure of one process; `what` is how it ended (`exit code 1`, `not ready after 60 s`)."""
    raw = logs.tail(log, LOG_LINES)
    shown = tuple(line for each in raw for line in logs.render(logs.parse(each)).splitlines())[-LOG_LINES:]
    text = "\n".join([*raw, what])
    whole_log = f"Its whole log is {log}."
    label, taken = _taken(spec.ports) if _ADDRESS_IN_USE.search(text) else ("", "")
    if taken:
        hint = port_hint(spec.name, label)
        return Failure(spec.name, "PORT_IN_USE", f"{spec.name} could not start: {taken}", hint, shown)
    cause, match = _known_cause(text)
    said = _FATAL.search(text)
    if said:
        reason = cause.reason if cause else "START_FAILED"
        return Failure(spec.name, reason, f"{spec.name} could not start: {said[1]}.", whole_log, shown)
    if cause and match:
        fill = {"name": spec.name, "data": str(spec.data), "match": match.groupdict().get("match", "")}
        return Failure(spec.name, cause.reason, cause.message.format(**fill), cause.hint, shown)
    return Failure(spec.name, "START_FAILED", f"{spec.name} could not start ({what}).", whole_log, shown)


def _known_cause(text: str) -> tuple[_Cause, re.Match[str]] | tuple[None, None]:
    for cause in _CAUSES:
        match = cause.pattern.search(text)
        if match:
            return cause, match
    return None, None


def _taken(ports: Mapping[str, int]) -> tuple[str, str]:
    """Which port somebody else holds, and the sentence about it; empty where none is."""
    for label, port in ports.items():
        holder = port_holder(port)
        if holder:
            return label, f"port {port} ({label}) is in use by {holder}."
    return "", ""
