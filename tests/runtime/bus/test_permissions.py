"""Each service on a nats-server that knows its user: what its contract lists works, all else is refused.

Walks every service of the contracts against every event, stream and neighbour.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from fxmesh.inference.v1.events_pb2 import ModelDriftDetected
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from prometheus_client import CollectorRegistry

from services.cli import nats_users
from services.cli.home import Home
from services.errors import FxError, Kind
from services.runtime.bus import BusMetrics, Link, NatsBus
from services.runtime.bus.client import BusClient, Violation
from services.runtime.bus.credentials import Credentials, inbox_prefix
from services.runtime.bus.events import event_type_named
from services.runtime.bus.naming import Stream
from services.runtime.bus.permissions import EDGE, OPERATOR, users
from services.runtime.bus.streams import durable_config
from services.runtime.clock import WallClock
from services.runtime.fatal import FatalError
from services.runtime.identity.bucket import BUCKET as IDENTITY_BUCKET
from services.runtime.policy import ServicePolicy, cache_events
from services.runtime.ports import Instance, Subscription
from services.runtime.registry import NatsRegistry
from tests.kit.buses import Collector
from tests.kit.events import order, quiet_log
from tests.kit.guarded import EVENTS, EVERY_SERVICE, SERVICES, STREAMS, Guarded, address, guarded, refused
from tests.kit.nats import NatsServer, until

__all__ = ["guarded"]

pytestmark = pytest.mark.integration


@EVERY_SERVICE
async def test_a_service_publishes_its_own_events_and_no_others(
    guarded: Guarded, service: ServicePolicy
) -> None:
    async with guarded.connected(service.name) as client:
        jetstream = client.jetstream(timeout=20)
        for event in service.publishes:
            stored = await jetstream.publish(address(event), b"")
            assert stored.stream == event_type_named(event).stream.name
        for event in set(EVENTS) - set(service.publishes):
            await refused(client, address(event))


@EVERY_SERVICE
async def test_a_service_hears_nothing_but_what_is_meant_for_it(
    guarded: Guarded, service: ServicePolicy
) -> None:
    others = [name for name in (*SERVICES, EDGE, OPERATOR) if name != service.name]
    async with guarded.connected(service.name) as client:
        for heard in (
            *(">", "fxmesh.>", "_INBOX.>", "$JS.ACK.>", "$SYS.>", "dlq.>"),
            *(f"{event}.>" for event in EVENTS if event not in cache_events(service)),
            *(f"{inbox_prefix(other)}.>" for other in others),
        ):
            with pytest.raises(FxError, match="BUS_FORBIDDEN"):
                await client.subscribe(heard)
        for heard in (f"{inbox_prefix(service.name)}.mine", *(f"{each}.>" for each in cache_events(service))):
            await client.subscribe(heard)


@EVERY_SERVICE
async def test_a_service_makes_durables_of_its_own_on_what_it_consumes_only(
    guarded: Guarded, service: ServicePolicy
) -> None:
    consumed = {event_type_named(name).stream for name in service.consumes}
    async with guarded.connected(service.name) as client:
        for stream in STREAMS:
            if stream in consumed:
                await client.jetstream(timeout=20).add_consumer(
                    stream.name, durable_config(stream, service.name, "07", 30.0)
                )
                await refused_durables(client, service.name, stream)
            else:
                await refused(client, create(stream, service.name))


async def refused_durables(client: BusClient, service: str, stream: Stream) -> None:
    """On a stream it consumes: another's name, and its own without the filter or without a name."""
    other = next(name for name in SERVICES if name != service)
    await refused(client, create(stream, other))
    await refused(client, f"$JS.API.CONSUMER.CREATE.{stream.name}.{service}_07")
    await refused(client, f"$JS.API.CONSUMER.CREATE.{stream.name}.{service}_07.fxmesh.>")
    await refused(client, f"$JS.API.CONSUMER.CREATE.{stream.name}")
    await refused(client, f"$JS.API.CONSUMER.DURABLE.CREATE.{stream.name}.{service}_07")


def create(stream: Stream, service: str) -> str:
    return f"$JS.API.CONSUMER.CREATE.{stream.name}.{service}_07.{stream.filter('07')}"


async def test_a_durable_reads_no_more_than_its_name_says(guarded: Guarded) -> None:
    stream = event_type_named("fxmesh.trading.v1.OrderPlaced").stream
    async with guarded.connected("data_pipeline") as client:
        wanted = durable_config(stream, "data_pipeline", "07", 30.0)
        asked = {"stream_name": stream.name, "config": wanted.evolve(filter_subject="fxmesh.>").as_dict()}
        answer = await client.request(create(stream, "data_pipeline"), json.dumps(asked).encode(), timeout=20)
        assert b'"error"' in answer.data


@EVERY_SERVICE
async def test_a_service_does_not_touch_what_others_have_on_the_server(
    guarded: Guarded, service: ServicePolicy
) -> None:
    async with guarded.connected(service.name) as client:
        for stream in STREAMS:
            for verb in ("DELETE", "PURGE", "UPDATE", "MSG.GET", "MSG.DELETE"):
                await refused(client, f"$JS.API.STREAM.{verb}.{stream.name}")
            for other in (name for name in SERVICES if name != service.name):
                await refused(client, f"$JS.API.CONSUMER.DELETE.{stream.name}.{other}_07")
                await refused(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{other}_07")
                await refused(client, f"$JS.ACK.{stream.name}.{other}_07.1.1.1.1.0", b"+ACK")
        await refused(client, f"$KV.{IDENTITY_BUCKET}.some-key")
        await refused(client, "$JS.API.STREAM.LIST")


@EVERY_SERVICE
async def test_a_service_registers_under_its_own_name_only(guarded: Guarded, service: ServicePolicy) -> None:
    link = guarded.link(service.name)
    registry = NatsRegistry(link, WallClock(), quiet_log())
    registry.open()
    await registry.register(Instance("i-1", service.full_name, service.name, "h:1", "h:2", 1))
    await until(lambda: registry.endpoints(service.full_name) == ("h:1",))
    client = (await link.session()).client
    for other in (name for name in SERVICES if name != service.name):
        await refused(client, f"$KV.fxmesh_registry.{other}.i-1")
    await registry.deregister()
    await registry.close()
    await link.close()


async def test_an_event_travels_from_its_publisher_to_each_of_its_consumers(guarded: Guarded) -> None:
    placed = order(1, "traveller")  # other tests leave what is no order at some-key
    readers = [each for each in SERVICES.values() if OrderPlaced.DESCRIPTOR.full_name in each.consumes]
    collectors = {each.name: Collector() for each in readers}
    async with guarded.bus(SERVICES["trading_gateway"]) as trading:
        await trading.publish(placed)
        for reader in readers:
            metrics = BusMetrics(registry := CollectorRegistry())
            async with guarded.bus(reader, metrics) as bus:
                collector = collectors[reader.name]
                await bus.subscribe(Subscription((OrderPlaced,), collector))
                await until(lambda collector=collector: placed in collector.events)  # type: ignore[misc]
                await until_async_zero(trading, reader.name)
            assert registry.get_sample_value("fxmesh_bus_forbidden_total", {"operation": "publish"}) is None
    assert len(readers) > 1


async def until_async_zero(bus: NatsBus, consumer: str) -> None:
    async with asyncio.timeout(20):
        while await bus.pending(consumer, OrderPlaced, "traveller"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_publishing_anothers_event_fails_at_once_and_is_counted(guarded: Guarded) -> None:
    pipeline = SERVICES["data_pipeline"]
    drifted = ModelDriftDetected.DESCRIPTOR.full_name
    lying = replace(pipeline, publishes=(*pipeline.publishes, drifted))
    metrics = BusMetrics(registry := CollectorRegistry())
    async with guarded.bus(lying, metrics) as bus:
        event = ModelDriftDetected(endpoint="EURUSD", model_version=1, report_number=1, instance_id="i-1")
        with pytest.raises(FxError) as error:
            await bus.publish(event)
    assert (error.value.kind, error.value.reason) == (Kind.PERMISSION_DENIED, "BUS_FORBIDDEN")
    assert drifted in error.value.detail
    assert registry.get_sample_value("fxmesh_bus_forbidden_total", {"operation": "publish"}) == 1


async def test_a_service_with_a_longer_contract_than_the_server_knows_does_not_start(
    guarded: Guarded,
) -> None:
    workbench = SERVICES["ml_workbench"]
    longer = replace(
        workbench, publishes=("fxmesh.trading.v1.OrderPlaced",), consumes=("fxmesh.trading.v1.OrderPlaced",)
    )
    with pytest.raises(FatalError, match=r"does not allow .*STREAM\.CREATE\.TRADING_MONEY"):
        async with guarded.bus(longer):
            pass
    async with guarded.bus(replace(longer, publishes=())) as bus:
        with pytest.raises(FatalError, match=r"does not allow .*STREAM\.CREATE\.TRADING_MONEY"):
            await bus.subscribe(Subscription((OrderPlaced,), Collector()))


async def test_the_gate_reads_identities_and_nothing_else(guarded: Guarded) -> None:
    async with guarded.connected(OPERATOR) as client:
        bucket = await client.jetstream(timeout=20).create_key_value(bucket=IDENTITY_BUCKET)
        await bucket.put("some-key", b"known")
    async with guarded.connected(EDGE) as client:
        stored = await client.jetstream(timeout=20).get_last_msg(
            f"KV_{IDENTITY_BUCKET}", f"$KV.{IDENTITY_BUCKET}.some-key"
        )
        assert stored.data == b"known"
        await refused(client, f"$KV.{IDENTITY_BUCKET}.some-key")
        await refused(client, "$KV.fxmesh_registry.edge_gate.i-1")
        for event in EVENTS:
            await refused(client, address(event))
        with pytest.raises(FxError, match="BUS_FORBIDDEN"):
            await client.subscribe("fxmesh.>")


async def test_the_operator_looks_at_all_and_publishes_no_event(guarded: Guarded) -> None:
    async with guarded.connected(OPERATOR) as client:
        names = {each.config.name for each in await client.jetstream(timeout=20).streams_info()}
        assert names >= {stream.name for stream in STREAMS}
        for event in EVENTS:
            await refused(client, address(event))


async def test_who_has_no_password_is_told_so_and_does_not_try_for_ever(
    guarded: Guarded, tmp_path: Path
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("pguess")
    for known, said in (
        (Credentials("trading_gateway", wrong), "does not accept user trading_gateway"),
        (None, "does not accept a connection without a user"),
        (Credentials("trading_gateway", tmp_path / "missing"), "cannot be read"),
    ):
        link = Link(guarded.server.url, "test", quiet_log(), known)
        link.open()
        with pytest.raises(FatalError, match=said):
            await link.session(timeout_s=20)
        await link.close()


async def test_a_server_that_asks_nobody_takes_a_user_all_the_same(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("pwhatever")
    link = Link(nats_server.url, "test", quiet_log(), Credentials("market_data", password))
    link.open()
    assert (await link.session(timeout_s=20)).number == 1
    await link.close()


def test_half_of_the_credentials_are_refused() -> None:
    with pytest.raises(FatalError, match="belong together"):
        Credentials.given("market_data", None)
    assert Credentials.given("", None) is None


def test_everybody_who_connects_has_a_user_and_a_password_file_of_its_own(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    nats_users.issue(home, SERVICES.values())
    assert set(users(SERVICES.values())) == {*SERVICES, EDGE, OPERATOR}
    files = {path.name: path for path in home.nats_secrets.iterdir()}
    assert set(files) == {f"{name}.password" for name in (*SERVICES, EDGE, OPERATOR)} | {"users.conf"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    assert home.nats_secrets.stat().st_mode & 0o777 == 0o700
    words = {path.read_text() for name, path in files.items() if name != "users.conf"}
    assert len(words) == len(SERVICES) + 2
    nats_users.issue(home, SERVICES.values())
    assert not words & {path.read_text() for path in files.values()}


def test_a_violation_is_read_out_of_what_either_server_says() -> None:
    said = 'nats: permissions violation for subscription to "fxmesh.>" using queue "q"'
    assert Violation.told_by(Exception(said)) == Violation("subscription", "fxmesh.>")
    assert Violation.told_by(Exception("nats: stale connection")) is None
