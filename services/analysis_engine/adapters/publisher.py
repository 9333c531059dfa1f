"""Events out through the bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby

from services.analysis_engine import wire
from services.analysis_engine.domain.signals import Finding, Signal
from services.runtime.ports import Bus
from services.runtime.traces import within
from services.tracing import Story


class BusPublisher:
    """`ports.Publisher` over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, findings: Sequence[Finding], stories: Mapping[str, Story]) -> None:
        """In order, acknowledgements pipelined between one signal with a story and the next."""

        def story_of(finding: Finding) -> Story | None:
            return stories.get(finding.signal_id) if isinstance(finding, Signal) else None

        for story, members in groupby(findings, story_of):
            with nullcontext() if story is None else within(story):
                await self._bus.publish_many([wire.event(each) for each in members])
