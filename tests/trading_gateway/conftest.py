"""A running trading service on a database of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.kit.databases import Databases, databases, postgres
from tests.trading_gateway.world import World

__all__ = ["databases", "postgres"]


@pytest_asyncio.fixture
async def world(tmp_path: Path, databases: Databases) -> AsyncIterator[World]:
    """Started, with the live session announced and one quote of EURUSD."""
    made = World(tmp_path)
    await made.start()
    await made.announce()
    await made.tick(("1.10000", "1.10010"))
    yield made
    await made.stop()
