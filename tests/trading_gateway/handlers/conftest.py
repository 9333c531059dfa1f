"""The handlers are proven on each kind of database."""

import pytest

from tests.kit.databases import Databases


@pytest.fixture(autouse=True)
def _each_database(databases: Databases) -> None:
    """Once a kind."""
