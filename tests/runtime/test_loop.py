"""What a serving process runs on; that it knows when it rested is in tests/interceptors/test_admission.py."""

from __future__ import annotations

import asyncio
import gc
import threading
from time import monotonic

from services.runtime.garbage import YOUNG
from services.runtime.loop import MeasuredLoop, current_loop, run_measured


async def _running() -> MeasuredLoop:
    """The loop, once it has rested."""
    loop = current_loop()
    assert loop is not None
    while not loop.idle_s():  # noqa: ASYNC110 resting is what it waits for
        await asyncio.sleep(0.01)  # over before it was begun, on a machine that has other things to do
    return loop


def test_how_long_it_was_idle_can_still_be_asked_when_it_is_closed() -> None:
    loop = run_measured(_running())
    assert loop.is_closed()
    idle_s = loop.idle_s()
    assert idle_s > 0
    loop.close()  # as often as one likes
    assert loop.idle_s() == idle_s
    assert loop.load.look(monotonic()) > 0


def test_any_thread_may_ask_until_the_end() -> None:
    asked, over = threading.Event(), threading.Event()

    def scrape(loop: MeasuredLoop) -> None:
        while not over.is_set():
            loop.idle_s()
            asked.set()

    async def scraped() -> threading.Thread:
        thread = threading.Thread(target=scrape, args=(await _running(),))
        thread.start()
        await asyncio.to_thread(asked.wait)
        return thread

    threads = [run_measured(scraped()) for _ in range(5)]
    over.set()
    for thread in threads:
        thread.join()


def test_garbage_is_collected_seldom_while_it_serves_and_as_before_afterwards() -> None:
    async def seen() -> tuple[int, int]:
        return gc.get_threshold()[0], gc.get_freeze_count()

    before = gc.get_threshold()
    threshold, permanent = run_measured(seen())
    assert threshold == YOUNG
    assert permanent > 10_000  # the modules of this very test
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() < permanent
