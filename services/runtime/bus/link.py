"""The connection to NATS: one living client, replaced by a fresh one whenever it is lost, for as long as it
takes.

Not nats-py's own reconnect: that one sends what it still held from before the loss, which lets a later event
reach the stream before the earlier one that was lost with the socket and is being sent again. A fresh client
holds nothing, and push subscriptions cannot die silently because everyone sets up anew for each session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nats import errors
from nats.js.client import JetStreamContext
from structlog.typing import FilteringBoundLogger

from services.errors import FxError, Kind
from services.runtime.bus.client import BusClient, Violation, turned_away
from services.runtime.bus.credentials import Credentials
from services.runtime.bus.known import KnownStreams
from services.runtime.fatal import FatalError
from services.runtime.settings import without_credentials

_RETRY_S = 0.2
_PING_S = 5  # a frozen or vanished server is given up after three unanswered pings
_WATCH_S = 1.0


def unavailable(detail: str) -> FxError:
    """The bus cannot be reached now."""
    return FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", detail, retry_after_s=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One connection from its beginning to its loss. Sessions of a link are numbered from 1."""

    number: int
    client: BusClient
    replicas: int = 1
    """Servers that keep each stream there."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def jetstream(self) -> JetStreamContext:
        """Stream and consumer management on this connection."""
        return self.client.jetstream(timeout=5)


class Link:
    """Keeps a session up. `url` is one NATS URL or several, separated by commas; `replicas` is how many
    servers there shall keep each stream; `forbidden` hears the operation of each thing that they refuse.
    """

    def __init__(
        self,
        url: str,
        name: str,
        log: FilteringBoundLogger,
        credentials: Credentials | None = None,
        replicas: int = 1,
        forbidden: Callable[[str], None] = lambda operation: None,
    ) -> None:
        self._url = url
        self.shown_url = without_credentials(url)
        """For logs and people."""
        self._name = name
        self._log = log
        self._credentials = credentials
        self._replicas = replicas
        self._forbidden = forbidden
        self.known = KnownStreams(log)
        """The streams that this process has seen, on any session."""
        self._turned_away: FatalError | None = None
        self._session: Session | None = None
        self._numbers = 0
        self._changed = asyncio.Condition()
        self._keeper: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to connect. Does not wait: use `session()`."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="bus-link")

    @property
    def current(self) -> Session | None:
        """The session that is up, or None."""
        session = self._session
        return session if session is not None and not session.lost.is_set() else None

    async def session(self, after: int = 0, timeout_s: float | None = None) -> Session:
        """Wait for a session with a number above `after`. Raises FxError UNAVAILABLE after `timeout_s`,
        FatalError when the server does not accept user and password.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while (session := self.current) is None or session.number <= after:
                    if self._turned_away is not None:
                        raise self._turned_away
                    await self._changed.wait()
                return session
        except TimeoutError as late:
            raise unavailable(f"no connection to NATS at {self.shown_url} within {timeout_s:g} s") from late

    async def close(self) -> None:
        """Send what is written, disconnect and stop trying."""
        if (session := self.current) is not None:
            with suppress(errors.Error, TimeoutError):
                await session.client.flush(timeout=2)
        if self._keeper is not None:
            await end(self._keeper)

    async def _keep(self) -> None:
        while True:
            try:
                session = await self._connect()
            except FatalError as refused:
                async with self._changed:
                    self._turned_away = refused
                    self._changed.notify_all()
                return
            try:
                async with self._changed:
                    self._session = session
                    self._changed.notify_all()
                self._log.info("bus.connected", url=self.shown_url, session=session.number)
                while not await _set_within(session.lost, _WATCH_S):
                    # Losing a connection in the middle of a write can keep nats-py from calling back.
                    if session.client.is_closed:
                        session.lost.set()
                self._log.warning("bus.connection_lost", url=self.shown_url, session=session.number)
            finally:
                session.lost.set()
                await _abandon(session.client)

    async def _connect(self) -> Session:
        complained = False
        while True:
            client = BusClient()
            self._numbers += 1
            session = Session(self._numbers, client, self._replicas)

            try:
                await self._dial(client, session.lost)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError  # lost inside, see `end`
            except FatalError:
                await _abandon(client)
                raise
            except (OSError, errors.Error, TimeoutError) as refused:
                if turned_away(refused):
                    await _abandon(client)
                    raise self._unknown_user() from refused
                if not complained:
                    self._log.warning(
                        "bus.refused", url=self.shown_url, error=str(refused) or type(refused).__name__
                    )
                    complained = True
                await _abandon(client)
                await asyncio.sleep(_RETRY_S)
            except asyncio.CancelledError:
                await _abandon(client)
                raise
            else:
                session.lost.clear()  # attempts before the one that succeeded may have set it
                return session

    async def _dial(self, client: BusClient, lost: asyncio.Event) -> None:
        async def on_error(error: Exception) -> None:
            # A forbidden publish shows only here.
            if (violation := Violation.told_by(error)) is not None:
                self._refused(client, violation)
                return
            self._log.debug("bus.error", error=str(error) or type(error).__name__)
            if client_lost(error):
                lost.set()

        async def on_close() -> None:
            lost.set()

        who: Mapping[str, Any] = self._credentials.options() if self._credentials else {}
        await client.connect(
            servers=self._url.split(","),
            name=self._name,
            allow_reconnect=False,
            # Only about reaching a server at all: never give up.
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RETRY_S,  # type: ignore[arg-type]  # seconds; a float works
            ping_interval=_PING_S,
            pending_size=0,  # nothing is buffered for later: what cannot be sent now raises
            error_cb=on_error,
            disconnected_cb=on_close,
            closed_cb=on_close,
            **who,
        )

    def _refused(self, client: BusClient, violation: Violation) -> None:
        self._log.error("bus.forbidden", operation=violation.operation, subject=violation.subject)
        self._forbidden(violation.operation)
        client.violated(violation)

    def _unknown_user(self) -> FatalError:
        who = f"user {self._credentials.user}" if self._credentials else "a connection without a user"
        return FatalError(
            f"NATS at {self.shown_url} does not accept {who}: set FXMESH_NATS_USER and "
            "FXMESH_NATS_PASSWORD_FILE to a user that its configuration knows"
        )


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task that waits for nats-py, until it has ended: before Python 3.12 `wait_for`, which nats-py
    waits with, can lose a cancellation.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=1.5)  # longer than what it does on its way out


def client_lost(error: Exception) -> bool:
    """True for errors after which a client is of no more use."""
    return isinstance(error, errors.UnexpectedEOF | errors.StaleConnectionError | ConnectionError)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _abandon(client: BusClient) -> None:
    # A frozen server can keep close() waiting for a write; the socket then goes with the client.
    with suppress(Exception):
        async with asyncio.timeout(1):
            await client.close()
    with suppress(Exception):
        _let_go(client)


def _let_go(client: BusClient) -> None:
    """End what nats-py leaves behind where the connection was lost in the middle of a write: its own close
    then stops half-way, with the readers of subscriptions waiting for ever and the socket open.
    """
    for subscription in tuple(client._subs.values()):  # noqa: SLF001
        subscription._stop_processing()  # noqa: SLF001
    if client._transport is not None:  # noqa: SLF001
        client._transport.close()  # type: ignore[no-untyped-call]  # noqa: SLF001
    reading = client._reading_task  # noqa: SLF001
    if reading is not None and reading.done() and not reading.cancelled():
        reading.exception()  # looked at, so that the loop does not complain of it
