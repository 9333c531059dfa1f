"""The event loop of a process, which knows how long it has had nothing to do.

A server on one event loop is overloaded when the loop never comes to rest: calls then wait inside gRPC, where
nobody sees them. `Load` is what admission control (`interceptors/admission.py`) and the metrics look at.

The loop is uvloop's, because a call passes the loop's own code several times on each side: on asyncio's loop
the same stack answers a fifth fewer calls. How long it waits is counted by libuv beneath it, which only C can
ask: uvloop hands out the libuv loop for that, and its library has libuv's functions.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Coroutine
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

import uvloop

from services.runtime.garbage import collected_seldom

Result = TypeVar("Result")

REST_NS = 500_000
"""A wait for something to happen that counts as rest. gRPC's own hand-overs between threads are shorter."""

_UV_METRICS_IDLE_TIME = 1  # of libuv's enumeration `uv_loop_option`
# PyDLL: calls so short are not worth a change of threads.
_uv = ctypes.PyDLL(uvloop.loop.__file__)
_pointer_in = ctypes.PyDLL(None).PyCapsule_GetPointer
_loop_of: Callable[[uvloop.Loop], object] = uvloop.loop.libuv_get_loop_t_ptr  # type: ignore[attr-defined]
_uv.uv_loop_configure.argtypes = (ctypes.c_void_p, ctypes.c_int)
_uv.uv_metrics_idle_time.argtypes = (ctypes.c_void_p,)
_uv.uv_metrics_idle_time.restype = ctypes.c_uint64
_pointer_in.argtypes = (ctypes.py_object, ctypes.c_char_p)
_pointer_in.restype = ctypes.c_void_p


class Load:
    """How a loop that waited `idle_ns()` nanoseconds so far is loaded. `rested` is when it was last seen to
    have rested (monotonic).
    """

    __slots__ = ("_seen_ns", "idle_ns", "rested")

    def __init__(self, idle_ns: Callable[[], int], now: float) -> None:
        self.rested = now
        self.idle_ns = idle_ns
        self._seen_ns = idle_ns()

    def look(self, now: float) -> float:
        """When the loop last rested: now, if it has waited for `REST_NS` since the look before this one.

        Admission looks at every call. When they pile up, a call comes each turn of the loop, and between two
        of them lies one hand-over.
        """
        idle_ns = self.idle_ns()
        if idle_ns - self._seen_ns >= REST_NS:
            self.rested = now
        self._seen_ns = idle_ns
        return self.rested


class MeasuredLoop(uvloop.Loop):
    """The loop of `run_measured`."""

    def __init__(self) -> None:
        super().__init__()
        loop = ctypes.c_void_p(_pointer_in(_loop_of(self), None))
        if _uv.uv_loop_configure(loop, _UV_METRICS_IDLE_TIME):
            raise RuntimeError("this libuv does not count how long its loop is idle")
        self.load = Load(partial(_uv.uv_metrics_idle_time, loop), monotonic())
        self._open = Lock()

    def idle_s(self) -> float:
        """Seconds that it has waited for something to happen. Any thread may ask, at any time."""
        with self._open:
            return self.load.idle_ns() * 1e-9

    def close(self) -> None:
        """As every loop. The numbers of libuv go with it."""
        with self._open:
            idle_ns = self.load.idle_ns()
            self.load.idle_ns = lambda: idle_ns
            super().close()


def run_measured(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, on a measured loop: what every serving process runs by."""
    with collected_seldom(), asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        return runner.run(work)


def current_loop() -> MeasuredLoop | None:
    """The running loop; None where it is of another kind, as in tests, or none runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, MeasuredLoop) else None
