"""Hearing events as they pass: no durable, no position, nothing acknowledged, nothing that came before.

For what only needs to know that something changed, such as a cache. A plain subscription, made anew in each
session of the link; between sessions events pass unheard, and the observer is told so.
"""

from __future__ import annotations

import asyncio

from nats import errors
from nats.aio.msg import Msg
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.link import Link, Session
from services.runtime.bus.naming import parse_subject, subjects_of
from services.runtime.ports import Observation

_FLUSH_S = 5
_AGAIN_S = 1.0


async def follow(link: Link, observation: Observation, log: FilteringBoundLogger) -> None:
    """Hear the events of `observation` for as long as this runs."""
    number = 0
    try:
        while True:
            session = await link.session(after=number)
            try:
                await _listen(session, observation)
            except (errors.Error, TimeoutError, FxError) as trouble:
                log.warning("bus.cannot_observe", error=str(trouble) or type(trouble).__name__)
                await asyncio.sleep(_AGAIN_S)
                continue  # the same session, if it is still there
            finally:
                observation.deaf()
            number = session.number
    finally:
        observation.deaf()


async def _listen(session: Session, observation: Observation) -> None:
    async def heard(message: Msg) -> None:
        observation.heard(parse_subject(message.subject).event)

    subscriptions = [
        await session.client.subscribe(subjects_of(event), cb=heard) for event in observation.events
    ]
    try:
        # Answered by the server after it has taken the subscriptions: from here on nothing is missed.
        await session.client.flush(timeout=_FLUSH_S)
        observation.listening()
        await session.lost.wait()
    finally:
        if not session.lost.is_set():
            for subscription in subscriptions:
                await subscription.unsubscribe()
