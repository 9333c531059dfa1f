"""Files made for one test: from text or bytes, plain or gzip."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

MakeFile = Callable[..., Path]


@pytest.fixture
def data_file(tmp_path: Path) -> MakeFile:
    """`data_file(content, name="ticks.csv", packed=False)`: a file with that content, its path."""

    def make(content: str | bytes, name: str = "ticks.csv", *, packed: bool = False) -> Path:
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if packed else data)
        return path

    return make
