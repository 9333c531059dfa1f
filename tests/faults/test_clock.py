"""The wall clock of a running process jumps by an hour: deadlines, beats and connections go by another clock.

A real jump: libfaketime stands before the system's clocks and reads how far off it is from a file.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.nats import NatsServer, nats_server, shared_nats, until
from tests.kit.service_process import calling, calling_by_registry, service_process
from tools.programs import program

__all__ = ["nats_server", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.faketime, pytest.mark.timeout(120)]

HOUR_S = 3600


@pytest.mark.parametrize("jump", ["+1h", "-1h"])
async def test_an_hours_jump_changes_no_deadline_and_no_lease(
    tmp_path: Path, nats_server: NatsServer, jump: str
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faked = {
        "LD_PRELOAD": str(program("faketime")),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    async with (
        service_process(tmp_path / "echo", nats_server, **faked) as process,
        calling(process.address) as direct,
        calling_by_registry(nats_server) as (found, registry),
    ):
        stub = service_pb2_grpc.EchoServiceStub(direct.to(SERVICE))
        await until(lambda: process.address in registry.endpoints(SERVICE))
        await stub.Unary(Request(), timeout=10)
        offset.write_text(jump)
        jumped = time.monotonic()

        assert (await stub.Unary(Request(), timeout=10)).text
        for timeout_s in (0.5, 1.0):
            began = time.monotonic()
            with pytest.raises(FxError) as late:
                await stub.Unary(Request(text="hang"), timeout=timeout_s)
            assert late.value.kind is Kind.DEADLINE_EXCEEDED
            assert timeout_s - 0.05 <= time.monotonic() - began < timeout_s + 3
        # A lease lasts 3 s: longer than that, nobody may miss the process, nor it its peer, which is itself.
        by_registry = service_pb2_grpc.EchoServiceStub(found.to(SERVICE))
        while time.monotonic() - jumped < 4:
            assert process.address in registry.endpoints(SERVICE)
            assert (await by_registry.Unary(Request(text="time left"), timeout=5)).text
        process.terminate()
        assert await process.ended() == 0
    times = {line["event"]: datetime.fromisoformat(line["time"]).timestamp() for line in process.lines}
    ahead_s = times["stopping"] - time.time()
    assert abs(ahead_s - (HOUR_S if jump == "+1h" else -HOUR_S)) < 60, "the clock never jumped"
