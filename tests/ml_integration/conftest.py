"""One market for all tests, a world for each."""

from pathlib import Path

import pytest

from services.ml_integration.config import Settings
from tests.ml_integration.world import Market, World


@pytest.fixture(scope="session")
def market(shared_data: Path) -> Market:
    return Market(shared_data)


@pytest.fixture
def settings() -> Settings:
    return Settings(drift_minimum=200, outcomes_per_report=50)


@pytest.fixture
def world(market: Market, tmp_path: Path, settings: Settings) -> World:
    return World(market, tmp_path, settings)
