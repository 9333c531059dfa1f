"""Replays: a tick file sent to market data, followed to its end, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fxmesh.marketdata.v1 import market_pb2 as market
from fxmesh.marketdata.v1 import service_pb2 as pb

from services.cli import inputs, interrupts
from services.cli.link import Link
from services.cli.output import CliError, ExitCode
from services.cli.progress import Bar
from services.cli.render import Table, clock, count, pairs, plain, sentence, word
from services.cli.requests import outcome
from services.cli.requests.lines import rejected
from services.cli.requests.storage import damaged
from services.errors import FxError
from services.uploads import Announced

PACES = {
    "paced": market.REPLAY_PACE_PACED,
    "unpaced": market.REPLAY_PACE_UNPACED,
    "lockstep": market.REPLAY_PACE_LOCKSTEP,
}
ACTIONS = {
    "stop": pb.REPLAY_ACTION_STOP,
    "pause": pb.REPLAY_ACTION_PAUSE,
    "resume": pb.REPLAY_ACTION_RESUME,
}
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """A replay as typed; empty texts were not given."""

    path: Path
    pace: str
    speed: float = 0.0
    symbol: str = ""
    format: str = ""
    strict: bool = False
    session_id: str = ""
    request_id: str = ""

    @property
    def name(self) -> str:
        """Of the file or folder, for people."""
        return self.path.resolve().name


async def replay(link: Link, order: ReplayOrder, detach: bool) -> ExitCode:
    """Raises CliError with the file's fault, or with what the replay failed of."""
    with Bar(link.out.as_json) as bar, interrupts.first_cancels(lambda: link.out.note("being stopped")):
        bar.stage(f"sending {order.name}")
        started = await _start(link, order, await _upload(link, order, bar))
        if detach:
            link.out.answer({"replay": started}, about(started), "follow it with  fxmesh replays")
            return ExitCode.OK
        try:
            ended = await _follow(link, started, bar)
            if ended.state != market.REPLAY_STATE_COMPLETED:
                raise _cut_short(link, order, ended)
            bar.stage("waiting for storage and trading")
            came = await outcome.of(link, ended, bar)
        except asyncio.CancelledError:
            await _stop(link, started.replay_id)
            raise
    document = {"replay": ended, **came.document}
    lines = rejected(ended.rejects, whole=True)
    link.out.answer(document, about(ended), *lines, *damaged(ended.damage), *came.shown)
    return ExitCode.OK if came.settled else ExitCode.UNSETTLED


def _cut_short(link: Link, order: ReplayOrder, ended: market.Replay) -> CliError:
    if not link.out.as_json:
        link.out.answer({}, about(ended), *rejected(ended.rejects, whole=False))
    return CliError(
        ended.failure_reason or "REPLAY_STOPPED",
        sentence(f"The replay {word(ended, 'state')}: {ended.failure or 'it was told to'}"),
        "" if not order.strict else "Without --strict bad lines are left out and counted.",
        ExitCode.FAILED,
        plain({"replay": ended}),
    )


async def replays(link: Link) -> None:
    answer = await link.market.ListReplays(pb.ListReplaysRequest())
    rows = [
        (
            each.replay_id,
            each.file_name,
            each.symbol,
            word(each, "pace"),
            _state(each),
            count(each.ticks_published),
            clock(each.market_time),
            each.failure_reason,
        )
        for each in answer.replays
    ]
    headers = ("REPLAY", "FILE", "SYMBOL", "PACE", "STATE", "TICKS", "MARKET TIME (UTC)", "FAILURE")
    link.out.answer(answer, Table(headers, rows, right=("TICKS",), empty="No replays."))


async def control(link: Link, replay_id: str, action: str, request_id: str) -> None:
    request_id = request_id or link.new_id()
    request = pb.ControlReplayRequest(request_id=request_id, replay_id=replay_id, action=ACTIONS[action])
    answer = await link.mutate(
        link.market.ControlReplay(request),
        f"{replay_id} took it",
        f"Ask with `fxmesh replays`, or repeat it with --request-id {request_id}.",
    )
    replay = answer.replay
    if action == "stop":  # the batch under way is let out first
        stream = pb.StreamReplayRequest(replay_id=replay_id)
        async for each in link.follow(lambda: link.market.StreamReplay(stream)):
            replay = each.replay
    link.out.answer({"replay": replay}, about(replay), f"request id  {request_id}")


def about(replay: market.Replay) -> Table:
    """A replay, a figure a row."""
    seconds = (replay.ended_at.ToNanoseconds() - replay.started_at.ToNanoseconds()) / 1e9
    over = replay.HasField("ended_at")
    rate = f", {replay.ticks_published / seconds:,.0f}/s in {seconds:.1f} s" if over and seconds > 0 else ""
    return pairs(
        [
            ("replay", replay.replay_id),
            ("file", f"{replay.file_name} ({replay.format}, {replay.symbol})"),
            ("state", f"{_state(replay)}, {word(replay, 'pace')}"),
            ("lines", count(replay.lines_read)),
            ("ticks", f"{count(replay.ticks_published)}{rate}"),
            ("crossed", f"{count(replay.crossed)} (flagged, not traded on)" if replay.crossed else "0"),
            ("rejected", count(sum(each.count for each in replay.rejects if not each.warning))),
            ("market time", clock(replay.market_time)),
        ]
    )


def _state(replay: market.Replay) -> str:
    return f"waits for {replay.waiting_for}" if replay.waiting_for else word(replay, "state")


async def _upload(link: Link, order: ReplayOrder, bar: Bar) -> str:
    def parts(path: Path) -> Iterator[pb.UploadTickFileRequest]:
        announced = Announced.of(path)
        header = pb.UploadHeader(file_name=order.name, size_bytes=announced.size, sha256=announced.sha256)
        yield pb.UploadTickFileRequest(header=header)
        sent = 0
        for piece in inputs.chunks(path):
            yield pb.UploadTickFileRequest(content=piece)
            sent += len(piece)
            bar.at(sent, announced.size)

    with inputs.one_file(order.path) as path:
        return (await link.market.UploadTickFile(parts(path))).file_id


async def _start(link: Link, order: ReplayOrder, file_id: str) -> market.Replay:
    request_id = order.request_id or link.new_id()
    request = pb.StartReplayRequest(
        request_id=request_id,
        file_id=file_id,
        symbol=inputs.symbol(order.symbol),
        format=order.format,
        pace=PACES[order.pace],
        speed=order.speed,
        strict=order.strict,
        session_id=order.session_id,
        file_name=order.name,
    )
    ask = f"Ask with `fxmesh replays`, or repeat it with --request-id {request_id}."
    try:
        return (await link.mutate(link.market.StartReplay(request), "the replay was started", ask)).replay
    except asyncio.CancelledError:
        link.out.note("the replay may have been started: see `fxmesh replays`")
        raise
    except FxError as refused:  # the service knows the file by its hash, the person by its name
        if file_id not in refused.detail:
            raise
        detail = refused.detail.replace(file_id, order.name)
        raise FxError(refused.kind, refused.reason, detail, refused.violations) from refused


async def _follow(link: Link, replay: market.Replay, bar: Bar) -> market.Replay:
    bar.stage(f"replaying {replay.symbol}")
    request = pb.StreamReplayRequest(replay_id=replay.replay_id)
    async for answer in link.follow(lambda: link.market.StreamReplay(request)):
        replay = answer.replay
        waits = f", waits for {replay.waiting_for}" if replay.waiting_for else ""
        remark = f"{count(replay.ticks_published)} ticks, {clock(replay.market_time)}{waits}"
        bar.at(replay.bytes_read, replay.bytes_total, remark)
    return replay


async def _stop(link: Link, replay_id: str) -> None:
    """After Ctrl-C: the replay ends with the command that began it."""
    request = pb.ControlReplayRequest(
        request_id=link.new_id(), replay_id=replay_id, action=pb.REPLAY_ACTION_STOP
    )
    try:
        await link.market.ControlReplay(request, timeout=_STOP_S)
        link.out.note(f"replay {replay_id} is stopped")
    except (FxError, CliError) as failed:
        if failed.reason != "REPLAY_ENDED":
            why = failed.detail if isinstance(failed, FxError) else failed.message
            link.out.note(f"replay {replay_id} was not seen to stop ({why})")
            link.out.note(f"end it with `fxmesh replays --stop {replay_id}`")
