"""A full disk, told to callers as what it is."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import FxError, Kind

FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_full(service: str) -> FxError:
    """The error of a write for which the disk had no room."""
    detail = f"the data folder of {service} is on a full disk"
    return FxError(Kind.RESOURCE_EXHAUSTED, "DISK_FULL", detail)


@contextmanager
def disk_full_said(service: str) -> Iterator[None]:
    """Turns the operating system's word for it into `disk_full`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise disk_full(service) from None
