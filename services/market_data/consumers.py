"""Market data consumes no event: it is where prices begin."""

from __future__ import annotations

from collections.abc import Sequence

from services.runtime.ports import Subscription


def subscriptions() -> Sequence[Subscription]:
    """None."""
    return ()
