"""The ways to make the same call: who serves, what is between, who calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from bench.mesh.callers import calling
from bench.mesh.measure import Way
from bench.mesh.servers import serving
from bench.mesh.sidecars import sidecars

Open: TypeAlias = Callable[[Path, float], AbstractContextManager[Way]]


@contextmanager
def _direct(name: str, secrets: Path, sample: float) -> Iterator[Way]:
    with (
        serving(name, secrets, sample) as (port, server),
        calling(name, port, secrets, sample, (server,)) as way,
    ):
        yield way


@contextmanager
def _sidecars(secrets: Path, sample: float) -> Iterator[Way]:
    with (
        serving("bare", secrets, sample) as (port, server),
        sidecars(port) as (first, envoys),
        calling("bare", first, secrets, sample, (server, *envoys)) as way,
    ):
        yield way


BARE, BARE_UVLOOP, MESH = "bare", "bare-uvloop", "mesh"
WAYS: Mapping[str, Open] = {
    BARE: partial(_direct, BARE),
    BARE_UVLOOP: partial(_direct, BARE_UVLOOP),
    MESH: partial(_direct, MESH),
    "sidecars": _sidecars,
    "rest": partial(_direct, "rest"),
}
