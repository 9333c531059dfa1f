"""The workbench consumes no event: it acts on requests."""

from __future__ import annotations

from collections.abc import Sequence

from services.runtime.ports import Subscription


def subscriptions() -> Sequence[Subscription]:
    """None."""
    return ()
