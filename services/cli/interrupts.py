"""Ctrl-C while something must still be told to a service on the way out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.cli.output import CliError, ExitCode


@contextmanager
def first_cancels(again: Callable[[], None]) -> Iterator[None]:
    """Inside, the first Ctrl-C cancels the task, and each further one does no more than call `again`.

    asyncio alone would break off at the second, whatever the task is just doing. Raises CliError
    INTERRUPTED for the cancellation.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    pressed = False

    def press() -> None:
        nonlocal pressed
        if pressed:
            again()
        else:
            pressed = task.cancel()

    loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield
    except asyncio.CancelledError:
        if not pressed:
            raise
        raise CliError("INTERRUPTED", "Interrupted.", "", ExitCode.INTERRUPTED) from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if pressed:  # what is left is to say so and go
            signal.signal(signal.SIGINT, signal.SIG_IGN)
