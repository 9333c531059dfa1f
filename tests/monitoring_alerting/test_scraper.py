"""Scraping real HTTP endpoints: healthy, refusing, gone, answering rubbish."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from services.monitoring_alerting.adapters.scraper import HttpScraper
from services.monitoring_alerting.domain.health import ServiceStatus
from services.monitoring_alerting.ports import Target


@asynccontextmanager
async def served(health: str, metrics: str, status: int = 200, missing: int = 0) -> AsyncIterator[str]:
    """An HTTP server that answers as told, all but the last `missing` bytes; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = (health if b"/health" in request else metrics).encode()
        head = f"HTTP/1.0 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[: len(body) - missing])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"127.0.0.1:{port}"


def page() -> str:
    registry = CollectorRegistry()
    Counter("orders", "Orders.", ["side"], registry=registry).labels("buy").inc(3)
    Histogram("seconds", "Seconds.", registry=registry).observe(0.2)
    return generate_latest(registry).decode()


async def test_a_healthy_instance_gives_samples_with_its_labels_and_no_buckets() -> None:
    content = json.dumps({"status": "degraded", "dependencies": {"bus": {"state": "up"}}})
    async with served(content, page()) as address:
        scrape = await HttpScraper(1.0).scrape(Target("one", "one-1", address))
    assert scrape.health.status is ServiceStatus.DEGRADED
    assert scrape.health.dependencies == [("bus", "up")]
    values = {sample.metric: sample.value for sample in scrape.samples}
    assert values == {"orders_total": 3.0, "seconds_count": 1.0, "seconds_sum": pytest.approx(0.2)}
    assert ("service", "one") in scrape.samples[0].labels
    assert {each.metric for each in scrape.definitions} == set(values)


async def test_an_instance_that_refuses_is_not_serving() -> None:
    content = json.dumps({"status": "starting", "dependencies": {}})
    async with served(content, page(), status=503) as address:
        scrape = await HttpScraper(1.0).scrape(Target("one", "one-1", address))
    assert scrape.health.status is ServiceStatus.STARTING


@pytest.mark.parametrize("health", ["rubbish", "[1]"])
async def test_an_instance_that_answers_rubbish_is_unreachable_and_says_why(health: str) -> None:
    async with served(health, page()) as address:
        scrape = await HttpScraper(1.0).scrape(Target("one", "one-1", address))
    assert scrape.health.status is ServiceStatus.UNREACHABLE
    assert "unreadable" in scrape.health.detail


async def test_an_instance_that_dies_in_the_middle_of_its_answer_is_unreachable() -> None:
    async with served("{}", page(), missing=1) as address:
        scrape = await HttpScraper(1.0).scrape(Target("one", "one-1", address))
    assert scrape.health.status is ServiceStatus.UNREACHABLE
    assert "does not answer" in scrape.health.detail


async def test_nobody_at_the_address_is_unreachable() -> None:
    scrape = await HttpScraper(0.5).scrape(Target("one", "one-1", "127.0.0.1:1"))
    assert scrape.health.status is ServiceStatus.UNREACHABLE
    assert "does not answer" in scrape.health.detail
    assert scrape.samples == ()
