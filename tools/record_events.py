"""Records events of a running platform into tests/recorded_events/, which every later build must decode.

    python tools/record_events.py           two samples of each event that has none yet: first and last
    python tools/record_events.py --again   two more of every event, as after fields were added

Starts a platform of its own, drives it through the situations in which each event of the contracts happens
(its feed and its files are synthetic), and reads the streams. Files are only added: a sample is named by the
hash of its bytes. Beside the bytes lies what they must decode to, with subject, key and id.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import nats
from fxmesh.inference.v1 import service_pb2 as inference
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.cli import nats_users
from services.cli.home import Home
from services.runtime.bus.events import event_type_named, message_class
from services.runtime.policy import service_policies

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "recorded_events"
FXMESH = [sys.executable, "-m", "services.cli"]
H1 = types_pb2.TIMEFRAME_H1
BARS = 1200
LIMIT_S = 120.0
# Sooner than in production, so that a short run has outcomes and drift to report.
SETTINGS = {
    "FXMESH_ML_INTEGRATION_OUTCOME_SECONDS": "1",
    "FXMESH_ML_INTEGRATION_OUTCOMES_PER_REPORT": "20",
    "FXMESH_ML_INTEGRATION_DRIFT_MINIMUM": "20",
}


@dataclass(frozen=True)
class Sample:
    """One stored event: its bytes, and what they are."""

    payload: bytes
    meaning: Mapping[str, Any]

    def write(self, folder: Path) -> bool:
        """Add it to the samples of its event; False when it was there."""
        path = folder / f"{hashlib.sha256(self.payload).hexdigest()[:16]}.binpb"
        if path.exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(self.meaning, indent=2, sort_keys=True) + "\n")
        path.write_bytes(self.payload)
        return True


def sample(name: str, payload: bytes) -> Sample:
    """The sample of an event by full name. Its address comes from the event policy, its content is JSON."""
    event = message_class(name).FromString(payload)
    address = event_type_named(name).address(event)
    meaning = {
        "subject": address.subject,
        "key": address.key,
        "id": address.id,
        "event": MessageToDict(event),
    }
    return Sample(payload, meaning)


class Platform:
    """A platform of our own, and the two ways in that the situations need."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {**os.environ, **SETTINGS, "FXMESH_HOME": str(home)}
        started = json.loads(self.fxmesh("up", "--detach", "--port-offset", "auto", "--json"))["data"]
        self.nats_url: str = started["nats_url"]
        self._ports = {each["name"]: each["ports"] for each in started["processes"]}

    def fxmesh(self, *arguments: str, refused: bool = False) -> str:
        """What a command prints; `refused` is for one that a service must say no to."""
        done = subprocess.run(
            [*FXMESH, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if (done.returncode != 0) != refused:
            raise SystemExit(
                f"fxmesh {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def channel(self, name: str) -> grpc.aio.Channel:
        token = self.fxmesh("token").strip()
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.access_token_call_credentials(token)
        )
        return grpc.aio.secure_channel(f"localhost:{self._ports[name]['grpc']}", credentials)


def walk(seed: int, start: float, pip: float) -> Iterator[tuple[float, float]]:
    """Bid and ask of a seeded random walk, two pips apart."""
    chance, price = random.Random(seed), start
    while True:
        price += chance.randint(-60, 60) * pip / 10
        yield price, price + 2 * pip


def write_ticks(path: Path, count: int) -> Path:
    """USDJPY ticks of five days, one in twenty seconds."""
    begin = datetime(2015, 6, 1, tzinfo=UTC)
    lines = [
        f"{(begin + timedelta(seconds=20 * number)).isoformat()},{bid:.3f},{ask:.3f}\n"
        for number, (bid, ask) in zip(range(count), walk(1, 123.0, 0.01), strict=False)
    ]
    path.write_text("timestamp,bid,ask\n" + "".join(lines))
    return path


def write_bars(path: Path, count: int) -> Path:
    """EURUSD bars of one hour."""
    begin, sides = datetime(2015, 1, 5, tzinfo=UTC), ("open", "high", "low", "close")
    lines = [",".join(["timestamp", *(f"{side}_{part}" for side in ("bid", "ask") for part in sides)]) + "\n"]
    prices = walk(2, 1.2, 0.0001)
    opened = next(prices)
    for number in range(count):
        closed = next(prices)
        values = [
            f"{value:.5f}"
            for before, after in zip(opened, closed, strict=True)
            for value in (before, max(before, after) + 0.0002, min(before, after) - 0.0002, after)
        ]
        lines.append(",".join([f"{begin + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}", *values]) + "\n")
        opened = closed
    path.write_text("".join(lines))
    return path


def drive(platform: Platform) -> None:
    """Orders of every fate, imports and trainings that work and fail, a replay, the kill switch."""
    files = platform.home
    platform.fxmesh("order", "buy", "EURUSD", "10000")
    resting = ("order", "buy", "EURUSD", "10000", "--limit")
    placed = json.loads(platform.fxmesh(*resting, "1.05", "--json"))["data"]["order"]["orderId"]
    platform.fxmesh("order", "amend", placed, "--limit", "1.06")
    platform.fxmesh("order", "cancel", placed)
    soon = datetime.now(UTC) + timedelta(seconds=30)  # the command itself may take a while
    platform.fxmesh(*resting, "1.05", "--expires", soon.isoformat())
    platform.fxmesh("order", "buy", "EURUSD", "90000000", refused=True)  # beyond every limit
    platform.fxmesh("accounts", "open", "thin", "--deposit", "1000")
    platform.fxmesh("order", "buy", "EURUSD", "10000", "--account", "thin")
    platform.fxmesh("risk", "thin", "--set", "margin_call=90", "--set", "stop_out=80")  # equity is far below
    platform.fxmesh("risk", "thin", "--set", "orders_per_second=0", "--reason", "recording")
    platform.fxmesh("order", "buy", "EURUSD", "1000", "--account", "thin", refused=True)
    platform.fxmesh("import", str(write_bars(files / "bars.csv", BARS)), "--symbol", "EURUSD")
    broken = files / "broken.csv"
    broken.write_text("neither ticks nor bars\n")
    platform.fxmesh("import", str(broken), "--symbol", "EURUSD", refused=True)
    platform.fxmesh("train", "--symbol", "EURUSD", "--deploy")
    platform.fxmesh("train", "--symbol", "AUDNZD", refused=True)  # there are no bars of it
    platform.fxmesh("replay", str(write_ticks(files / "ticks.csv", 21_600)), "--symbol", "USDJPY")
    platform.fxmesh("halt", "--reason", "recording")
    platform.fxmesh("resume")


async def predict(platform: Platform) -> None:
    """Predictions of stored bars, whose outcomes are known, then of features far from those trained on."""
    async with platform.channel("data_pipeline") as stored, platform.channel("ml_integration") as served:
        storage, models = PipelineServiceStub(stored), InferenceServiceStub(served)
        await eventually(lambda: _serves(models))
        asked = pipeline.ListBarsRequest(symbol="EURUSD", timeframe=H1, page_size=60, latest=True)
        features: Any = None
        for bar in (await storage.ListBars(asked)).bars:
            closed = Timestamp(seconds=bar.open_time.seconds + 3600)
            await models.Predict(inference.PredictRequest(symbol="EURUSD", timeframe=H1, time=closed))
            features = await storage.GetFeatures(
                pipeline.GetFeaturesRequest(symbol="EURUSD", timeframe=H1, time=closed)
            )
        chance = random.Random(3)  # rows that hang together would count as few
        for _ in range(200):
            odd = inference.Features(
                values=[chance.uniform(1000.0, 2000.0) for _ in features.values],
                feature_set_version=features.feature_set_version,
            )
            await models.Predict(inference.PredictRequest(symbol="EURUSD", timeframe=H1, features=odd))


async def _serves(models: Any) -> bool:
    return bool((await models.ListServedModels(inference.ListServedModelsRequest())).models)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await condition():  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.2)


async def stored(stream: JetStreamContext, name: str) -> list[bytes]:
    """The first and the last event of a type that the bus has; none where none came."""
    of, subject = event_type_named(name).stream.name, f"{name}.>"
    try:
        first = await stream.get_msg(of, seq=1, subject=subject, next=True)
        last = await stream.get_last_msg(of, subject)
    except NotFoundError:
        return []
    return list(dict.fromkeys(message.data for message in (first, last) if message.data))


async def record(platform: Platform, names: list[str]) -> int:
    """Drive the platform, wait until each event has happened, write; returns the number of new samples."""
    await asyncio.to_thread(drive, platform)
    await predict(platform)
    mine = nats_users.operator(Home.at(platform.home))
    client = await nats.connect(platform.nats_url, **(mine.options() if mine else {}))
    stream = client.jetstream()

    async def missing() -> list[str]:
        return [name for name in names if not await stored(stream, name)]

    async def complete() -> bool:
        return not await missing()

    try:
        await eventually(complete)
        written = 0
        for name in names:
            for payload in await stored(stream, name):
                written += sample(name, payload).write(FOLDER / name)
        return written
    except TimeoutError:
        raise SystemExit(f"never happened: {', '.join(await missing())}") from None
    finally:
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="also of events that have samples")
    again = parser.parse_args().again
    names = sorted({name for policy in service_policies() for name in policy.publishes})
    names = [name for name in names if again or not (FOLDER / name).is_dir()]
    if not names:
        print("every event has its samples")
        return
    with tempfile.TemporaryDirectory(prefix="fxmesh-record-") as folder:
        platform = Platform(Path(folder))
        try:
            print(f"{asyncio.run(record(platform, names))} samples written")
        finally:
            platform.fxmesh("down")


if __name__ == "__main__":
    main()
