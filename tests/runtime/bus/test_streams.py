from __future__ import annotations

from contextlib import suppress

import pytest
from nats.js import api
from nats.js.client import JetStreamContext

from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import (
    ADVISORIES,
    BOUNDS,
    DEAD_LETTERS,
    PARKED,
    backlog,
    ensure_dead_letters,
    ensure_durable,
    ensure_stream,
)
from services.runtime.fatal import FatalError
from tests.kit.nats import until_async

pytestmark = pytest.mark.integration

MONEY = Stream("trading", Retention.MONEY)


@pytest.mark.parametrize("retention", Retention)
async def test_every_class_has_a_stream_within_its_bounds(
    jetstream: JetStreamContext, retention: Retention
) -> None:
    await ensure_stream(jetstream, Stream("trading", retention))

    config = (await jetstream.stream_info(f"TRADING_{retention.name}")).config
    bounds = BOUNDS[retention]
    assert (config.max_bytes, config.max_age) == (bounds.max_bytes, bounds.max_age_s)
    assert config.discard == bounds.discard
    assert config.storage == api.StorageType.FILE


async def test_money_refuses_when_full_and_market_data_drops_the_oldest() -> None:
    assert BOUNDS[Retention.MONEY].discard is api.DiscardPolicy.NEW
    assert BOUNDS[Retention.MARKET].discard is api.DiscardPolicy.OLD


async def test_whoever_comes_second_finds_what_the_first_made(jetstream: JetStreamContext) -> None:
    for _ in range(2):
        await ensure_stream(jetstream, MONEY)
        await ensure_dead_letters(jetstream)
        await ensure_durable(jetstream, MONEY, "data_pipeline", "07")

    names = {str(each.config.name) for each in await jetstream.streams_info()}
    assert names == {"TRADING_MONEY", DEAD_LETTERS, PARKED, ADVISORIES}


async def test_a_lone_server_that_shall_keep_replicas_is_one_sentence(jetstream: JetStreamContext) -> None:
    with pytest.raises(FatalError, match=r"TRADING_MONEY on 3.*FXMESH_STREAM_REPLICAS"):
        await ensure_stream(jetstream, MONEY, replicas=3)


async def test_streams_of_all_classes_of_an_area_live_beside_each_other(jetstream: JetStreamContext) -> None:
    for retention in Retention:
        await ensure_stream(jetstream, Stream("trading", retention))

    assert len(await jetstream.streams_info()) == len(Retention)


async def test_a_stream_configured_otherwise_is_refused_naming_each_difference(
    jetstream: JetStreamContext,
) -> None:
    await jetstream.add_stream(name=MONEY.name, subjects=[MONEY.subjects], max_bytes=1000, duplicate_window=5)

    with pytest.raises(FatalError) as refused:
        await ensure_stream(jetstream, MONEY)

    text = str(refused.value)
    assert "stream TRADING_MONEY" in text
    assert "max_bytes is 1000, not 536870912" in text
    assert "discard is 'old', not 'new'" in text
    assert "duplicate_window is 5.0" in text


@pytest.mark.parametrize(
    ("difference", "settings"),
    [
        ("filter_subject", {"filter_subject": MONEY.filter("08")}),
        ("ack_policy", {"ack_policy": api.AckPolicy.ALL}),
        ("deliver_policy", {"deliver_policy": api.DeliverPolicy.NEW}),
        ("max_ack_pending", {"max_ack_pending": 5}),
        ("deliver_subject", {"deliver_subject": "elsewhere"}),
    ],
)
async def test_a_durable_configured_otherwise_is_refused(
    jetstream: JetStreamContext, difference: str, settings: dict[str, object]
) -> None:
    await ensure_stream(jetstream, MONEY)
    wanted = api.ConsumerConfig(
        durable_name="data_pipeline_07", filter_subject=MONEY.filter("07"), max_ack_pending=1000
    )
    await jetstream.add_consumer(MONEY.name, wanted.evolve(**settings))

    with pytest.raises(FatalError, match=f"consumer data_pipeline_07 .*{difference}"):
        await ensure_durable(jetstream, MONEY, "data_pipeline", "07")


async def test_an_ack_wait_left_short_by_a_crash_is_put_right(jetstream: JetStreamContext) -> None:
    await ensure_stream(jetstream, MONEY)
    await ensure_durable(jetstream, MONEY, "data_pipeline", "07", ack_wait_s=0.001)

    info = await ensure_durable(jetstream, MONEY, "data_pipeline", "07")

    assert info.config.ack_wait == 30


async def test_a_partition_never_asked_for_has_no_backlog_to_tell(jetstream: JetStreamContext) -> None:
    await ensure_stream(jetstream, MONEY)
    await ensure_durable(jetstream, MONEY, "data_pipeline", "00")
    await jetstream.publish("fxmesh.trading.v1.OrderPlaced.money.00.demo", b"x")

    assert await backlog(jetstream, MONEY, "data_pipeline", "00") == 1
    assert await backlog(jetstream, MONEY, "data_pipeline", "01") is None


async def test_the_servers_word_on_a_message_that_came_too_often_is_stored(
    jetstream: JetStreamContext,
) -> None:
    await ensure_stream(jetstream, MONEY)
    await ensure_dead_letters(jetstream)
    await jetstream.publish("fxmesh.trading.v1.OrderPlaced.money.00.demo", b"")
    stranger = await jetstream.pull_subscribe(
        "fxmesh.trading.>",
        "stranger",
        config=api.ConsumerConfig(max_deliver=1, ack_wait=0.1, ack_policy=api.AckPolicy.EXPLICIT),
    )
    await stranger.fetch(1)

    async def told() -> bool:  # once or more: current servers may repeat it
        with suppress(TimeoutError):
            await stranger.fetch(1, timeout=0.3)
        return (await jetstream.stream_info(ADVISORIES)).state.messages > 0

    await until_async(told, expected=True)
    stored = await jetstream.get_msg(ADVISORIES, 1)
    assert stored.subject == "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.TRADING_MONEY.stranger"
