"""The handlers are proven on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kit.databases import Databases
from tests.trading_gateway.venue_world import VenueWorld


@pytest.fixture(autouse=True)
def _each_database(databases: Databases) -> None:
    """Once a kind."""


@pytest_asyncio.fixture
async def far(tmp_path: Path) -> AsyncIterator[VenueWorld]:
    """A gateway with an account at a venue outside."""
    made = VenueWorld(tmp_path)
    await made.begin()
    yield made
    await made.stop()
