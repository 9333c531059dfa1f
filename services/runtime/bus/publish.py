"""Sends envelopes to their streams and waits until the server says they are stored.

Order: an envelope is sent only while everything before it on its lane is stored or on its way over the same
connection; when an acknowledgement does not come, that envelope and all after it are sent again, in order,
with the same ids, which the stream recognises. Money has a lane a key with one envelope under way, because a
full stream refuses single messages and a change of leader can lose one in the middle.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from itertools import count, starmap

from nats import errors
from structlog.typing import FilteringBoundLogger

from services.crash import crash_point
from services.errors import FxError, Kind
from services.runtime.bus.broken import BrokenStreams
from services.runtime.bus.client import Violation, forbidden
from services.runtime.bus.envelope import Envelope
from services.runtime.bus.headers import decode_headers
from services.runtime.bus.link import Link, Session, unavailable
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import DEAD_LETTERS, PARKED, ensure_dead_letters, ensure_stream

WINDOW = 256
"""Envelopes of one lane under way at once. 256 of 5 kB are a good megabyte, sent while their first ack comes
back.
"""

_PAUSE_S = 0.1
_STREAM_STORE_FAILED = 10077  # also what a full stream with discard=new answers


class _UnacknowledgedError(Exception):
    """No answer, or one that the next attempt may change."""


class _NoStreamError(_UnacknowledgedError):
    """Nothing on the server takes this subject."""


class _NotStoredError(_UnacknowledgedError):
    """The stream is there, and the server could not write."""


class _Window:
    """Envelopes under way together: one result each, and one future for all."""

    __slots__ = ("_left", "done", "results")

    def __init__(self, size: int) -> None:
        self.results: list[Exception | None] = [_UnacknowledgedError("no answer")] * size
        self._left = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, result: Exception | None) -> None:
        self.results[index] = result
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)


class _Lane:
    """Publishing on one session: an inbox for acknowledgements and who waits for which."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._client = session.client
        self._inbox = session.client.new_inbox()
        self._numbers = count()
        self._waiting: dict[str, tuple[_Window, int, str]] = {}
        self._client.listeners.append(self._on_violation)
        self._watch = asyncio.create_task(self._until_lost(), name="bus-publish-watch")

    async def open(self) -> None:
        self._client.listen(await self._client.subscribe(f"{self._inbox}.*"), self._on_answer)

    async def send(self, envelopes: Sequence[Envelope], timeout_s: float) -> list[Exception | None]:
        """One result an envelope: None when stored."""
        window = _Window(len(envelopes))
        numbers: list[str] = []
        try:
            for index, envelope in enumerate(envelopes):
                number = str(next(self._numbers))
                numbers.append(number)
                self._waiting[number] = (window, index, envelope.subject)
                self._client.post(
                    envelope.subject, envelope.payload, f"{self._inbox}.{number}", envelope.headers
                )
            async with asyncio.timeout(timeout_s):
                await window.done
        except errors.MaxPayloadError:
            self._answer(numbers[-1], _too_large(envelopes[len(numbers) - 1]))
        except (errors.Error, TimeoutError):
            pass  # the results say which are stored
        finally:
            for number in numbers:
                self._waiting.pop(number, None)
        return window.results

    async def _until_lost(self) -> None:
        """Once the session is lost nobody need wait for what is under way."""
        await self.session.lost.wait()
        for number in tuple(self._waiting):
            self._answer(number, _UnacknowledgedError("connection lost"))

    def _on_violation(self, violation: Violation) -> None:
        for number, (_, _, subject) in tuple(self._waiting.items()):
            if violation == Violation("publish", subject.lower()):
                self._answer(number, forbidden("publish", subject))

    def _on_answer(self, subject: bytes, _: bytes, payload: bytes, block: bytes) -> None:
        self._answer(subject[subject.rindex(b".") + 1 :].decode(), _result(payload, block))

    def _answer(self, number: str, result: Exception | None) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            window, index, _ = waiting
            window.settle(index, result)


class Publisher:
    """Publishes to `streams` (made when missing) and to the dead letters.

    `patience_s`: how long `send` goes on without any progress before it raises UNAVAILABLE.
    """

    def __init__(
        self,
        link: Link,
        streams: Iterable[Stream],
        log: FilteringBoundLogger,
        patience_s: float = 30.0,
        ack_timeout_s: float = 5.0,
    ) -> None:
        self._link = link
        self._streams = tuple(dict.fromkeys(streams))
        self._log = log
        self._patience_s = patience_s
        self._ack_timeout_s = ack_timeout_s
        self._preparing = asyncio.Lock()
        self._lane: _Lane | None = None
        self._streams_made = False
        self.broken = BrokenStreams(log)
        """Of the streams published to, those that do not store."""

    async def send(self, envelopes: Sequence[Envelope]) -> None:
        """Return once all are stored.

        Raises FxError UNAVAILABLE when the bus does not answer: what was sent may be stored or not, and
        sending it again does no harm. RESOURCE_EXHAUSTED when a stream is full, INVALID_ARGUMENT for one that
        is too large, PERMISSION_DENIED for one that the server refuses, FatalError when a stream is
        configured otherwise.
        """
        lanes: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            lanes.setdefault(envelope.key if _one_at_a_time(envelope) else "", []).append(envelope)
        if len(lanes) == 1:
            await self._send_lane(*lanes.popitem())
            return
        results = await asyncio.gather(*starmap(self._send_lane, lanes.items()), return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    async def prepare(self, session: Session) -> None:
        """Make the streams and the way to them on a session. `send` does it when need be."""
        await self._lane_on(session)

    async def _send_lane(self, key: str, envelopes: Sequence[Envelope]) -> None:
        window = 1 if key else WINDOW
        rest = list(envelopes)
        last_progress = time.monotonic()
        while rest:
            left_s = last_progress + self._patience_s - time.monotonic()
            if left_s <= 0:
                why = f": {trouble}" if (trouble := self.broken.trouble()) else ""
                raise unavailable(
                    f"{len(rest)} events are not acknowledged after {self._patience_s:g} s{why}"
                )
            session = await self._link.session(timeout_s=left_s)
            try:
                lane = await self._lane_on(session)
            except (errors.Error, TimeoutError) as trouble:
                await self._after_failure(session, [trouble])
                continue
            results = await lane.send(rest[:window], self._ack_timeout_s)
            self._note_broken(rest, results)
            failed = [result for result in results if result is not None]
            for result in failed:
                if isinstance(result, FxError):
                    raise result
            if len(failed) < len(results):
                last_progress = time.monotonic()
            if failed:
                await self._after_failure(session, failed)
            again = [each for each, result in zip(rest, results, strict=False) if result]
            rest = again + rest[len(results) :]
            if rest:
                crash_point("bus.between_events")

    def _note_broken(self, sent: Sequence[Envelope], results: Sequence[Exception | None]) -> None:
        for envelope, result in zip(sent, results, strict=False):
            if isinstance(result, _NotStoredError):
                self.broken.refuses(_stream_of(envelope), str(result))
            elif result is None and self.broken:
                self.broken.stores(_stream_of(envelope))

    async def _after_failure(self, session: Session, failed: Sequence[Exception]) -> None:
        if session.client.is_closed:
            session.lost.set()
        if any(isinstance(each, _NoStreamError) for each in failed):
            self._streams_made = False
        reasons = sorted({str(each) or type(each).__name__ for each in failed})
        self._log.warning("bus.unacknowledged", count=len(failed), reasons=reasons)
        await asyncio.sleep(_PAUSE_S)

    async def _lane_on(self, session: Session) -> _Lane:
        async with self._preparing:
            if self._lane is None or self._lane.session is not session:
                self._streams_made = False
                self._lane = _Lane(session)
                await self._lane.open()
            if not self._streams_made:
                known = self._link.known
                for stream in self._streams:
                    await ensure_stream(session.jetstream, stream, session.replicas, known)
                await ensure_dead_letters(session.jetstream, session.replicas, known)
                self._streams_made = True
            return self._lane


def _one_at_a_time(envelope: Envelope) -> bool:
    """Where what is refused must not be overtaken: money, dead letters, what is parked behind them."""
    return envelope.stream is None or envelope.stream.retention is Retention.MONEY


def _stream_of(envelope: Envelope) -> str:
    if envelope.stream is not None:
        return envelope.stream.name
    return DEAD_LETTERS if envelope.subject.startswith(f"{DEAD_LETTERS.lower()}.") else PARKED


def _result(payload: bytes, block: bytes) -> Exception | None:
    """What the server's answer to a publish means; None when the event is stored, now or before."""
    if block and decode_headers(block).get("Status") == "503":
        return _NoStreamError("no stream takes the subject")
    if payload.startswith(b'{"stream"') and b'"error"' not in payload:
        return None  # by far the most
    answer = json.loads(payload)
    error = answer.get("error")
    if error is None:
        return None
    description = str(error.get("description", error))
    if error.get("err_code") != _STREAM_STORE_FAILED:
        return _UnacknowledgedError(description)
    if "maximum" in description:
        return FxError(
            Kind.RESOURCE_EXHAUSTED, "STREAM_FULL", f"the event is refused: {description}", retry_after_s=30.0
        )
    return _NotStoredError(description)


def _too_large(envelope: Envelope) -> FxError:
    return FxError(
        Kind.INVALID_ARGUMENT,
        "REQUEST_TOO_LARGE",
        f"{envelope.id} has {len(envelope.payload)} bytes, more than a message on the bus may have",
    )
