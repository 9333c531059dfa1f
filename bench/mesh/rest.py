"""Calls of the REST stack that a user would otherwise pick, each library used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.mesh.measure import Call

TEXT = "EURUSD"


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Call]:
    """Calls by httpx: three attempts with jittered back-off, a breaker around them, 5 s for each attempt."""
    import httpx
    from purgatory import AsyncCircuitBreakerFactory
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    breakers = AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=5)
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    url = f"http://127.0.0.1:{port}/echo"
    async with httpx.AsyncClient(timeout=5.0, limits=limits) as client:

        async def call() -> object:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(3),
                wait=wait_random_exponential(multiplier=0.1, max=1),
                retry=retry_if_exception_type(httpx.TransportError),
                reraise=True,
            ):
                with attempt:
                    async with await breakers.get_breaker("echo"):
                        answer = await client.post(url, json={"text": TEXT})
                        answer.raise_for_status()
                        return answer.json()["text"]
            raise AssertionError("an attempt returns or raises")

        yield call
