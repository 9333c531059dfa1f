"""Which dead letters a person asks for. A name that nothing has is refused with what is near: an empty list
would say that all is well.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fxmesh.errors.v1 import reason_pb2

from services.cli.output import CliError, ExitCode
from services.runtime.bus.dead_letters import Kept
from services.runtime.bus.envelope import UNREADABLE
from services.runtime.bus.handling import UNFIT
from services.runtime.bus.naming import parse_subject
from services.runtime.policy import service_policies

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """Empty texts stand for all; `event` is a full message name or the last part of one, `reason` the first
    word of a letter's.
    """

    consumer: str = ""
    event: str = ""
    key: str = ""
    reason: str = ""


def fits(letter: Kept, wanted: Wanted) -> bool:
    """True for a letter that was asked for."""
    of = parse_subject(letter.original.subject)
    return (
        wanted.consumer in ("", letter.consumer)
        and wanted.event in ("", of.event, _short(of.event))
        and wanted.key in ("", of.key)
        and wanted.reason in ("", _first_word(letter.reason))
    )


def check(wanted: Wanted, letters: Sequence[Kept]) -> None:
    """Raise CliError for a service, event or reason that no contract and no letter has."""
    policies = service_policies()
    gave_up = {each.consumer for each in letters}
    consumers = {each.name for each in policies if each.consumes} | gave_up
    _known("SERVICE", "service that consumes events", wanted.consumer, consumers)
    events = {name for each in policies for name in each.consumes}
    events |= {parse_subject(each.original.subject).event for each in letters}
    _known("EVENT", "event", wanted.event, events if "." in wanted.event else map(_short, events))
    told = {_first_word(each.reason) for each in letters}
    names = reason_pb2.Reason.DESCRIPTOR.values_by_name
    codes = {name.removeprefix("REASON_") for name in names} | {UNFIT, UNREADABLE}
    _known("REASON", "reason of a letter", wanted.reason, codes | told, told)


def _known(code: str, what: str, name: str, known: Iterable[str], usual: Iterable[str] = ()) -> None:
    names = sorted(set(known))
    if not name or name in names:
        return
    near = difflib.get_close_matches(name, names, n=3) or sorted(usual) or names
    more = ", \u2026" if len(near) > _MOST_NAMED else ""
    hint = f"Known: {', '.join(near[:_MOST_NAMED])}{more}."
    raise CliError(f"UNKNOWN_{code}", f"There is no {what} {name!r}.", hint, ExitCode.USAGE)


def _short(event: str) -> str:
    return event.rpartition(".")[2]


def _first_word(reason: str) -> str:
    return reason.partition(":")[0]
