"""What commands print: text or JSON, one error shape, the exit codes.

With `--json` a command prints one document on standard output: `{"data": ...}`, or when it failed
`{"error": {"reason", "message", "hint", "details"}}`. Commands that follow something (`logs`) print one JSON
object a line instead, as it comes. `reason` is UPPER_SNAKE and stable; `message` and `hint` are for people.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from services.errors import FxError, Kind


class ExitCode(IntEnum):
    """What the shell gets; `fxmesh --help` prints this list."""

    OK = 0
    FAILED = 1
    """It was tried and did not work, or (`status`) a process is not well."""
    USAGE = 2
    """The command line is wrong: nothing was tried."""
    PLATFORM_STATE = 3
    """The platform already runs (`up`), or does not run (every other command)."""
    REFUSED = 4
    """A service understood the request and said no: wrong argument, unknown thing, forbidden by its state."""
    UNAVAILABLE = 5
    """No answer in time. After an order this means unknown, not failed: look before trying again."""
    UNSETTLED = 6
    """It was done, but what follows from it in other services was not seen to its end."""
    INTERRUPTED = 130
    """Ctrl-C before the work was done."""


EXIT_CODES = """Exit codes:
  0 done    1 failed    2 wrong usage    3 already running / not running
  4 refused by a service    5 no answer in time
  6 done, but what follows from it is not settled    130 interrupted"""


def examples(*lines: str, codes: str = "") -> str:
    """The end of a command's help: examples as typed, and its exit codes where they need saying."""
    # \b on a line of its own keeps the help formatter from joining the lines below it.
    shown = "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
    return f"{shown}\n\nExit codes: {codes}" if codes else shown


class CliError(Exception):
    """A command cannot go on: `message` says what is wrong, `hint` what to do about it, one sentence each."""

    def __init__(
        self,
        reason: str,
        message: str,
        hint: str = "",
        exit_code: ExitCode = ExitCode.FAILED,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason, message, hint, exit_code, details)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


_UNKNOWN_OUTCOME = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED})


def from_service(error: FxError) -> CliError:
    """A refusal of a service as the command reports it; field violations are printed a line each."""
    code = ExitCode.UNAVAILABLE if error.kind in _UNKNOWN_OUTCOME else ExitCode.REFUSED
    fields = [{"field": each.field, "description": each.description} for each in error.violations]
    details = {"kind": error.kind.value, "violations": fields, "retry_after_s": error.retry_after_s}
    return CliError(error.reason, error.detail, "", code, details)


def print_json(data: object) -> None:
    """The one document of a command that worked."""
    print(json.dumps({"data": data}, indent=2, ensure_ascii=False), flush=True)


def print_json_line(record: Mapping[str, Any]) -> None:
    """One object of a stream of them."""
    print(json.dumps(record, ensure_ascii=False), flush=True)


def print_error(error: CliError, as_json: bool) -> None:
    """The failure: on standard output as JSON, else on standard error as sentences."""
    if as_json:
        body = {
            "reason": error.reason,
            "message": error.message,
            "hint": error.hint,
            "details": error.details,
        }
        print(json.dumps({"error": body}, indent=2, ensure_ascii=False), flush=True)
        return
    for line in error.details.get("log_tail", ()):
        print(f"  | {line}", file=sys.stderr)
    print(f"fxmesh: {error}", file=sys.stderr)
    for each in error.details.get("violations", ()):
        field = f"{each['field']}: " if each["field"] else ""  # a rule of the whole request has none
        print(f"  {field}{each['description']}", file=sys.stderr)
    if error.details.get("correlation_id"):
        print(f"  correlation id {error.details['correlation_id']}", file=sys.stderr)
    sys.stderr.flush()


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()
) -> str:
    """Aligned columns without frames, as `ps` prints them; columns whose index is in `right` align right."""
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(headers), *(line(row) for row in rows)])
