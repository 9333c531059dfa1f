"""Files sent in chunks: in order, whole, and gone when nobody wants them."""

import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.disk import disk_full_said
from services.errors import FxError, Kind
from services.uploads import Announced, FolderUpload, received

WHOLE = Announced(3, hashlib.sha256(b"abc").hexdigest())


async def sent(*parts: str | bytes) -> AsyncIterator[str | bytes]:
    for part in parts:
        yield part


async def test_content_after_a_header_becomes_a_file(tmp_path: Path) -> None:
    upload = FolderUpload(tmp_path, "market_data")
    assert await received(sent("ticks.csv", b"ab", b"", b"c"), upload, lambda _: WHOLE) == "ticks.csv"
    path = upload.finish()
    assert path.read_bytes() == b"abc"
    assert (upload.size, upload.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    upload.abandon()
    upload.abandon()
    assert not path.exists()


@pytest.mark.parametrize("parts", [(), (b"a",), ("a", "b"), ("a", b"b", "c")])
async def test_anything_but_one_header_first_is_refused(
    tmp_path: Path, parts: tuple[str | bytes, ...]
) -> None:
    upload = FolderUpload(tmp_path, "market_data")
    with pytest.raises(FxError) as caught:
        await received(sent(*parts), upload, lambda _: WHOLE)
    upload.abandon()
    assert caught.value.reason == "VALIDATION_FAILED"


def test_a_full_disk_is_said_and_other_failures_pass() -> None:
    with pytest.raises(FxError, match="market_data is on a full disk") as full, disk_full_said("market_data"):
        raise OSError(errno.ENOSPC, "no room")
    assert (full.value.kind, full.value.reason) == (Kind.RESOURCE_EXHAUSTED, "DISK_FULL")
    with pytest.raises(PermissionError), disk_full_said("market_data"):
        raise PermissionError(errno.EACCES, "not yours")
