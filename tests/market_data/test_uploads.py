"""Uploads: kept when they are what their header announced, and nothing of them otherwise."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from services.errors import FxError, Kind
from services.uploads import Announced
from tests.market_data.conftest import Desk
from tests.market_data.test_replays import lines

CONTENT = lines(20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("announced", "says"),
    [
        (Announced(len(CONTENT) + 1, SHA256), f"{len(CONTENT)} of the {len(CONTENT) + 1} bytes"),
        (Announced(len(CONTENT) - 1, SHA256), f"more than the {len(CONTENT) - 1} bytes"),
        (Announced(len(CONTENT), "0" * 64), "another SHA-256"),
    ],
    ids=["cut", "longer", "changed"],
)
async def test_another_file_than_announced_is_refused_and_not_kept(
    desk: Desk, announced: Announced, says: str
) -> None:
    async def parts() -> AsyncIterator[Announced | bytes]:
        yield announced
        yield CONTENT

    with pytest.raises(FxError) as caught:
        await desk.uploads.upload(parts())
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "UPLOAD_MISMATCH")
    assert says in caught.value.detail
    assert list((desk.folder / "files").iterdir()) == []


@pytest.mark.parametrize(
    "order", [[], [CONTENT], [Announced(1, SHA256)] * 2], ids=["nothing", "bare", "twice"]
)
async def test_one_header_comes_first(desk: Desk, order: list[Announced | bytes]) -> None:
    async def parts() -> AsyncIterator[Announced | bytes]:
        for each in order:
            yield each

    with pytest.raises(FxError, match="header") as caught:
        await desk.uploads.upload(parts())
    assert caught.value.reason == "VALIDATION_FAILED"
    assert list((desk.folder / "files").iterdir()) == []
