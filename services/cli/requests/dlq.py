"""What `fxmesh dlq` asks and shows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from services.cli.output import CliError, ExitCode
from services.cli.render import Printer, Table, count, pairs
from services.cli.requests.letter_content import content, plain_letter
from services.cli.requests.wanted_letters import Wanted, check, fits
from services.runtime.bus.dead_letters import Kept
from services.runtime.bus.letters import Letters, Waiting
from services.runtime.bus.naming import parse_subject
from services.runtime.bus.parking import DROP, REDRIVE

_POLL_S = 0.1
_MOST_ADVISORIES = 50
_SHOWN_REASON = 70


async def show_all(client: Client, wanted: Wanted, as_json: bool) -> None:
    """Letters, then keys that are parked without one."""
    letters = Letters(client)
    everything = await letters.find()
    check(wanted, everything)
    found = [each for each in everything if fits(each, wanted)]
    waiting = await letters.waiting()
    behind = {place: each for place, each in waiting.items() if _is_wanted(each, wanted)}
    for letter in found:
        if letter.parks_key:
            behind.pop((letter.consumer, letter.order), None)
    rows = [_row(each, waiting) for each in found]
    headers = ("ID", "SERVICE", "EVENT", "KEY", "TRIES", "PARKED", "STORED", "REASON")
    shown: list[Table | str] = [
        Table(headers, rows, right=("ID", "TRIES", "PARKED"), empty="No dead letters.")
    ]
    if behind:
        orphans = [(each.consumer, each.order, count(each.count)) for each in behind.values()]
        shown.append(
            Table(
                ("SERVICE", "STREAM AND KEY", "PARKED"),
                orphans,
                right=("PARKED",),
                title="Parked without a letter (`fxmesh dlq redrive --consumer SERVICE --key KEY`):",
            )
        )
    document = {
        "letters": [plain_letter(each) | {"parked": _parked(each, waiting)} for each in found],
        "parkedWithoutLetter": [_plain_waiting(each) for each in behind.values()],
    }
    Printer(as_json).answer(document, *shown)


async def show(client: Client, number: int, as_json: bool) -> None:
    """One letter whole."""
    letters = Letters(client)
    letter = await _required(letters, number)
    parked = _parked(letter, await letters.waiting())
    payload, unknown, trouble = content(letter)
    document = plain_letter(letter) | {
        "parked": parked,
        "headers": dict(letter.original.headers),
        "payload": payload,
        "unknownFields": unknown,
        "payloadError": trouble,
    }
    facts = [(name, str(value)) for name, value in plain_letter(letter).items()]
    shown: list[Table | str] = [
        pairs([*facts, ("parked behind it", count(parked))]),
        pairs(sorted(letter.original.headers.items()), title="Headers"),
        trouble or json.dumps(payload, indent=2, ensure_ascii=False),
    ]
    if unknown:
        rows = [(each["path"], each["bytes"]) for each in unknown]
        shown.append(Table(("UNKNOWN FIELD", "BYTES"), rows, title="Kept by a redrive, not known here:"))
    Printer(as_json).answer(document, *shown)


async def redrive(client: Client, number: int, wanted: Wanted, wait_s: float, as_json: bool) -> ExitCode:
    """Order it, and say what came of it."""
    letters = Letters(client)
    if number:
        chosen = [await _required(letters, number)]
    else:
        everything = await letters.find()
        check(wanted, everything)
        chosen = [each for each in everything if fits(each, wanted)]
    ordered: list[tuple[int, Kept | None]] = [(await letters.order(REDRIVE, each), each) for each in chosen]
    if not number:
        ordered += await _order_orphans(letters, wanted, chosen)
    if not ordered:
        raise _none(f"There are no dead letters of {wanted.consumer} {wanted.key}".rstrip() + ".")
    return await _tell(letters, ordered, "redriven", wait_s, Printer(as_json))


async def drop(client: Client, number: int, wait_s: float, as_json: bool) -> ExitCode:
    """Delete it, and wait until what was parked behind it goes on."""
    letters = Letters(client)
    letter = await _required(letters, number)
    order = await letters.order(DROP, letter)
    return await _tell(letters, [(order, letter)], "dropped", wait_s, Printer(as_json))


async def advisories(client: Client, as_json: bool) -> None:
    """What the server itself says of messages that were ended, or came too often."""
    found = [
        (number, json.loads(data)) for number, data in await Letters(client).advisories(_MOST_ADVISORIES)
    ]
    rows = [
        (
            str(number),
            str(each.get("timestamp", ""))[:19].replace("T", " "),
            str(each.get("type", "")).rpartition(".")[2],
            str(each.get("stream", "")),
            str(each.get("consumer", "")),
            str(each.get("stream_seq", "")),
            str(each.get("deliveries", "")),
        )
        for number, each in found
    ]
    headers = ("ID", "TIME", "WHAT", "STREAM", "CONSUMER", "SEQUENCE", "DELIVERIES")
    table = Table(headers, rows, right=("ID", "SEQUENCE", "DELIVERIES"), empty="No advisories.")
    Printer(as_json).answer({"advisories": [{"id": number, **each} for number, each in found]}, table)


async def _order_orphans(
    letters: Letters, wanted: Wanted, chosen: Sequence[Kept]
) -> list[tuple[int, Kept | None]]:
    """Keys that are parked although their letter is gone go on as well."""
    led = {each.order for each in chosen}
    return [
        (await letters.order_key(REDRIVE, each.consumer, each.subject), None)
        for each in (await letters.waiting()).values()
        if _is_wanted(each, wanted) and each.order not in led
    ]


async def _tell(
    letters: Letters, ordered: Sequence[tuple[int, Kept | None]], done: str, wait_s: float, printer: Printer
) -> ExitCode:
    open_orders = await _wait(letters, [number for number, _ in ordered], wait_s)
    outcomes = []
    for number, letter in ordered:
        again = None if letter is None else await _again(letters, letter)
        outcome = "waiting" if number in open_orders else "failed" if again else done
        outcomes.append(
            {
                "id": 0 if letter is None else letter.number,
                "consumer": "" if letter is None else letter.consumer,
                "outcome": outcome,
                "reason": again.reason if again else "",
                "newId": again.number if again else 0,
            }
        )
    waiting = await letters.waiting()
    left = sum(_parked(each, waiting) for _, each in ordered if each is not None)
    lines = [_sentence(each) for each in outcomes]
    if left:
        lines.append(f"{count(left)} events are parked there now; see `fxmesh dlq list`.")
    printer.answer({"outcomes": outcomes, "parked": left}, "\n".join(lines))
    if open_orders:
        return ExitCode.UNSETTLED
    return ExitCode.FAILED if any(each["outcome"] == "failed" for each in outcomes) else ExitCode.OK


def _sentence(outcome: dict[str, Any]) -> str:
    name = f"Letter {outcome['id']}" if outcome["id"] else "What was parked without a letter"
    if outcome["outcome"] == "waiting":
        who = outcome["consumer"] or "its service"
        return f"{name} is ordered; {who} has still to do it, and will when it runs."
    if outcome["outcome"] == "failed":
        return f"{name} failed again and is letter {outcome['newId']} now: {outcome['reason']}"
    return f"{name} is {outcome['outcome']}."


async def _wait(letters: Letters, orders: Sequence[int], wait_s: float) -> set[int]:
    """Orders that are not carried out in time."""
    left, end = set(orders), time.monotonic() + wait_s
    while left:
        left -= {each for each in left if await letters.is_carried_out(each)}
        if time.monotonic() >= end:
            break
        await asyncio.sleep(_POLL_S if left else 0)
    return left


async def _again(letters: Letters, letter: Kept) -> Kept | None:
    """The letter of the same event that there is now."""
    of = parse_subject(letter.original.subject)
    found = await letters.find(consumer=letter.consumer, event=of.event, key=of.key)
    return next((each for each in found if each.original.id == letter.original.id), None)


async def _required(letters: Letters, number: int) -> Kept:
    letter = await letters.get(number)
    if letter is None:
        raise _none(f"There is no dead letter {number}.")
    return letter


def _none(message: str) -> CliError:
    return CliError("UNKNOWN_LETTER", message, "See `fxmesh dlq list`.", ExitCode.USAGE)


def _is_wanted(waiting: Waiting, wanted: Wanted) -> bool:
    of = parse_subject(waiting.subject)
    named = wanted.event or wanted.reason
    return wanted.consumer in ("", waiting.consumer) and wanted.key in ("", of.key) and not named


def _parked(letter: Kept, waiting: dict[tuple[str, str], Waiting]) -> int:
    found = waiting.get((letter.consumer, letter.order))
    return found.count if found is not None and letter.parks_key else 0


def _plain_waiting(waiting: Waiting) -> dict[str, Any]:
    return {"consumer": waiting.consumer, "order": waiting.order, "parked": waiting.count}


def _row(letter: Kept, waiting: dict[tuple[str, str], Waiting]) -> tuple[str, ...]:
    of = parse_subject(letter.original.subject)
    reason = letter.reason
    return (
        str(letter.number),
        letter.consumer,
        of.event.rpartition(".")[2],
        of.key,
        count(letter.attempts),
        count(_parked(letter, waiting)),
        letter.stored.strftime("%Y-%m-%d %H:%M:%S") if letter.stored else "",
        reason if len(reason) <= _SHOWN_REASON else f"{reason[: _SHOWN_REASON - 1]}…",
    )
