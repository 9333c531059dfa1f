"""A stream that was there is made again only when it has been missing for long enough."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
from nats.js.client import JetStreamContext

from services.runtime.bus.known import GONE_S, KnownStreams
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import ensure_stream
from tests.kit.events import quiet_log

pytestmark = pytest.mark.integration

MONEY = Stream("trading", Retention.MONEY)


async def test_who_has_made_or_found_a_stream_waits_before_making_it_again(
    jetstream: JetStreamContext,
) -> None:
    said = io.StringIO()
    maker, finder = KnownStreams(quiet_log(said)), KnownStreams(quiet_log(said))
    for known in (maker, finder):
        await ensure_stream(jetstream, MONEY, known=known)
    assert said.getvalue() == ""  # it waits for none
    for known in (maker, finder):
        await jetstream.delete_stream(MONEY.name)
        gone = time.monotonic()
        await ensure_stream(jetstream, MONEY, known=known)
        assert time.monotonic() - gone >= GONE_S


async def test_what_somebody_else_makes_meanwhile_is_found_at_once_and_its_end_counts_anew(
    jetstream: JetStreamContext,
) -> None:
    known = KnownStreams(quiet_log())
    await ensure_stream(jetstream, MONEY, known=known)
    await jetstream.delete_stream(MONEY.name)
    waiting = asyncio.create_task(ensure_stream(jetstream, MONEY, known=known))
    await asyncio.wait((waiting,), timeout=GONE_S / 2)
    made = await ensure_stream(jetstream, MONEY)
    assert (await waiting).created == made.created
    await jetstream.delete_stream(MONEY.name)
    gone = time.monotonic()
    await ensure_stream(jetstream, MONEY, known=known)
    assert time.monotonic() - gone >= GONE_S
