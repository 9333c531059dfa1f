"""What people type, as the contracts want it. What only a service can judge is passed on as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

from fxmesh.types.v1 import market_pb2 as types
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.output import CliError, ExitCode
from services.market.formats import as_one_file

CHUNK = 128 * 1024  # what the contract allows a message of an upload
_LOTS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?lots?").fullmatch
_DURATION = re.compile(r"([0-9]{1,6})([smhd])").fullmatch
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def symbol(text: str) -> str:
    """`eurusd` and `EUR/USD` are EURUSD."""
    return text.strip().replace("/", "").upper()


def symbols(texts: Sequence[str] | None) -> list[str]:
    """The same for several, also joined by commas; each once."""
    parts = (symbol(part) for text in texts or () for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def timeframe(text: str) -> types.Timeframe.ValueType:
    """`1m`, `15m`, `1h`, `1d` (also `M15`). Raises CliError BAD_OPTION."""
    known = {name.removeprefix("TIMEFRAME_"): number for name, number in types.Timeframe.items() if number}
    wanted = text.strip().upper()
    number = known.get(wanted) or known.get(f"{wanted[-1:]}{wanted[:-1]}")
    if number is None:
        names = ", ".join(f"{name[1:]}{name[0].lower()}" for name in known)
        _wrong(f"{text} is no timeframe.", f"Known: {names}.")
    return number


def time(text: str) -> Timestamp:
    """ISO 8601, to the nanosecond; UTC where it names no zone. Raises CliError BAD_OPTION."""
    cut = re.sub(r"(\.[0-9]{6})([0-9]{1,3})(?![0-9])", r"\1", text.strip())
    extra = re.search(r"\.[0-9]{6}([0-9]{1,3})(?![0-9])", text)
    try:
        parsed = datetime.fromisoformat(cut)
        at = Timestamp()
        at.FromDatetime(parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC))
    except (ValueError, OverflowError):
        _wrong(f"{text} is no time.", "Write it as 2014-05-01 or 2014-05-01T13:30:00Z.")
    at.nanos += int(extra.group(1).ljust(3, "0")) if extra else 0
    return at


def duration(text: str) -> Duration:
    """`30s`, `15m`, `2h`, `1d`. Raises CliError BAD_OPTION."""
    found = _DURATION(text.strip().lower())
    if found is None:
        _wrong(f"{text} is no length of time.", "Write it as 30s, 15m, 2h or 1d.")
    return Duration(seconds=int(found.group(1)) * _SECONDS[found.group(2)])


def lots(text: str) -> Decimal | None:
    """How many lots `0.1lot` is; None for a size in units, which the service judges."""
    found = _LOTS(text.strip().lower())
    return None if found is None else Decimal(found.group(1))


def labels(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """`name=value` each. Raises CliError BAD_OPTION."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            _wrong(f"{option} {text} is not NAME=VALUE.", "")
        found[name] = value
    return found


@contextmanager
def one_file(path: Path) -> Iterator[Path]:
    """What is sent for a path: the file, or a folder of Dukascopy's hours made one.

    Raises CliError as `file`, and FxError with the fault of a folder.
    """
    if not path.is_dir():
        file(path)
    with ExitStack() as stack:
        try:
            made = stack.enter_context(as_one_file(path))
        except OSError as failure:
            raise _unreadable(Path(failure.filename or path), failure) from None
        yield made


def file(path: Path) -> int:
    """The size of a file that can be read. Raises CliError FILE_NOT_FOUND or FILE_UNREADABLE."""
    try:
        with path.open("rb") as opened:
            return opened.seek(0, 2)
    except FileNotFoundError:
        raise CliError("FILE_NOT_FOUND", f"There is no file {path}.", "", ExitCode.USAGE) from None
    except OSError as failure:
        raise _unreadable(path, failure) from None


def chunks(path: Path) -> Iterator[bytes]:
    """The file in pieces fit for an upload."""
    with path.open("rb") as opened:
        while piece := opened.read(CHUNK):
            yield piece


def _unreadable(path: Path, failure: OSError) -> CliError:
    why = (failure.strerror or str(failure)).lower()
    return CliError("FILE_UNREADABLE", f"{path} cannot be read: {why}.", "", ExitCode.USAGE)


def _wrong(message: str, hint: str) -> NoReturn:
    raise CliError("BAD_OPTION", message, hint, ExitCode.USAGE)
