"""Uploads and replays of tick files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as pb

from services.cli.home import Home
from tests.integration.repetitions.case import Case, Platform, Twice, key
from tests.kit.live import eventually

TICKS = 200


def parts(name: str) -> list[pb.UploadTickFileRequest]:
    """An upload of a file that differs by its name."""
    price = int(hashlib.sha256(name.encode()).hexdigest()[:4], 16) % 1000 + 1000
    content = "".join(
        f"AUD/CAD,20130102 00:{each // 60:02}:{each % 60:02}.000,0.9{price},0.9{price + 20}\n"
        for each in range(TICKS)
    ).encode()
    header = pb.UploadHeader(
        file_name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return [pb.UploadTickFileRequest(header=header), pb.UploadTickFileRequest(content=content)]


async def uploaded(platform: Platform) -> str:
    return str((await platform.marketdata.UploadTickFile(iter(parts("twice.csv")))).file_id)


async def start(platform: Platform, pace: int, **fields: Any) -> str:
    """A replay of it."""
    request = pb.StartReplayRequest(
        request_id=key(),
        file_id=await uploaded(platform),
        pace=pace,  # type: ignore[arg-type]
        **fields,
    )
    return str((await platform.marketdata.StartReplay(request)).replay.replay_id)


async def shown(platform: Platform, replay_id: str) -> market_pb2.Replay:
    answer = await platform.marketdata.GetReplay(pb.GetReplayRequest(replay_id=replay_id))
    return answer.replay  # type: ignore[no-any-return]


async def control(platform: Platform, replay_id: str, action: int) -> None:
    await platform.marketdata.ControlReplay(controlling(replay_id, action))


def controlling(replay_id: str, action: int) -> pb.ControlReplayRequest:
    return pb.ControlReplayRequest(
        request_id=key(),
        replay_id=replay_id,
        action=action,  # type: ignore[arg-type]
    )


async def completed(platform: Platform, replay_id: str) -> None:
    """Once it has come to its end, with each tick played once."""

    async def over() -> bool:
        return (await shown(platform, replay_id)).state != market_pb2.REPLAY_STATE_RUNNING

    await eventually(over)
    replay = await shown(platform, replay_id)
    assert (replay.state, replay.ticks_published) == (market_pb2.REPLAY_STATE_COMPLETED, TICKS)


async def upload_tick_file(platform: Platform, twice: Twice) -> None:
    """No call lists the files that are there, so they are counted on the disk."""
    request = parts(f"twice-{key()}.csv")
    folder = Home.at(platform.live.home).data / "market_data" / "files"

    async def files() -> int:
        return len(list(folder.glob(f"{request[0].header.sha256}*")))

    assert (await twice(request, files)).file_id == request[0].header.sha256


async def start_replay(platform: Platform, twice: Twice) -> None:
    async def replays() -> int:
        return len((await platform.marketdata.ListReplays(pb.ListReplaysRequest())).replays)

    request = pb.StartReplayRequest(
        request_id=key(), file_id=await uploaded(platform), pace=market_pb2.REPLAY_PACE_UNPACED
    )
    first = await twice(request, replays)
    await completed(platform, first.replay.replay_id)
    again = await platform.marketdata.StartReplay(request)
    assert again.replay.replay_id == first.replay.replay_id
    assert await shown(platform, first.replay.replay_id) == again.replay


async def control_replay(platform: Platform, twice: Twice) -> None:
    replay_id = await start(platform, market_pb2.REPLAY_PACE_PACED, speed=0.001)

    async def resume() -> None:
        await control(platform, replay_id, pb.REPLAY_ACTION_RESUME)

    async def state() -> int:
        return (await shown(platform, replay_id)).state

    await twice.late(controlling(replay_id, pb.REPLAY_ACTION_PAUSE), resume, state)
    assert await state() == market_pb2.REPLAY_STATE_RUNNING
    stop = controlling(replay_id, pb.REPLAY_ACTION_STOP)
    await platform.marketdata.ControlReplay(stop)

    async def stopped() -> bool:
        return await state() == market_pb2.REPLAY_STATE_STOPPED

    await eventually(stopped)
    again = await platform.marketdata.ControlReplay(stop)  # also once there is nothing left to stop
    assert again.replay.state == market_pb2.REPLAY_STATE_STOPPED


async def acknowledge_ticks(platform: Platform, twice: Twice) -> None:
    """In a replay that stands still, and analysis and trading have acknowledged what was released."""
    replay_id = await start(platform, market_pb2.REPLAY_PACE_LOCKSTEP, batch_size=1)
    await control(platform, replay_id, pb.REPLAY_ACTION_PAUSE)
    known = [-1]

    async def stands() -> bool:
        """No batch came since the last look, and none is waited for."""
        known.append((await shown(platform, replay_id)).ticks_published)
        return known[-1] == known[-2]

    await eventually(stands)

    async def released() -> int:
        return (await shown(platform, replay_id)).ticks_published

    acknowledged = pb.AcknowledgeTicksRequest(
        session_id=replay_id, symbol="AUDCAD", sequence=await released(), consumer="trading_gateway"
    )
    await twice(acknowledged, released, effects=0)
    await control(platform, replay_id, pb.REPLAY_ACTION_RESUME)
    await completed(platform, replay_id)


CASES: Mapping[str, Case] = {
    "UploadTickFile": upload_tick_file,
    "StartReplay": start_replay,
    "ControlReplay": control_replay,
    "AcknowledgeTicks": acknowledge_ticks,
}
