"""How much may be retried: a bucket of tokens for each target, and a share of all calls of this client.

The bucket (gRFC A6) stops retries of a target that mostly fails within a handful of failures; the share holds
what is left, of all targets together, to a tenth of the calls made, so that a storm is amplified by 1.1 at
most. Cancels are a target of their own and have a share of their own, which no storm of orders uses up.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from interceptors.window import SECONDS, Window
from services.runtime.limits import CANCELS
from services.runtime.policy import MethodPolicy

TOKENS = 10.0
_FLOOR = TOKENS / 2
_PER_ANSWER = 0.1
_SHARE = 0.1
_AT_LEAST = 10
"""Retries that a client may make in ten seconds however few calls it makes: a quiet one may retry at all."""

_log = structlog.get_logger("fxmesh.mesh")


def in_words() -> str:
    """The rule, for whoever asks what applies."""
    return (
        f"of a target {TOKENS:g} tokens: a failure takes 1, an answer gives {_PER_ANSWER:g}, none at "
        f"{_FLOOR:g} or less; of a client {_SHARE:.0%} of its calls of {SECONDS} s, and {_AT_LEAST} always; "
        "cancels have both for themselves"
    )


class Bucket:
    """The tokens of one target: 10, −1 for a failure, +0.1 for an answer, no retries at 5 or less."""

    __slots__ = ("_service", "tokens")

    def __init__(self, service: str) -> None:
        self._service = service
        self.tokens = TOKENS

    @property
    def allows(self) -> bool:
        """Whether a failure may be followed by a retry."""
        return self.tokens > _FLOOR

    def failed(self) -> None:
        """An attempt failed in a way that might be retried."""
        allowed = self.allows
        self.tokens = max(0.0, self.tokens - 1.0)
        if allowed and not self.allows:
            _log.warning("retry.budget_spent", grpc_service=self._service)

    def answered(self) -> None:
        """An attempt was answered, whatever the answer."""
        if self.tokens >= TOKENS:
            return
        allowed = self.allows
        # Rounded: tenths added up in binary would fall short of the whole.
        self.tokens = min(TOKENS, round(self.tokens + _PER_ANSWER, 1))
        if self.allows and not allowed:
            _log.info("retry.budget_restored", grpc_service=self._service)


class Share:
    """Retries of the whole client among its calls of the last ten seconds that might be retried."""

    def __init__(self) -> None:
        self._window = Window()
        self.called = self._window.add
        """Told, with the time, of each call that begins."""

    def allows(self, now: float) -> bool:
        """Whether one retry more is within the share."""
        self._window.roll(now)
        return self._window.second < max(_AT_LEAST, int(self._window.first * _SHARE))

    def retried(self, now: float) -> None:
        """A retry was begun."""
        self._window.add_second(now)


class Budget(NamedTuple):
    """What an attempt after the first is paid from."""

    bucket: Bucket
    share: Share


class Budgets:
    """The budgets of one client."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        """By target."""
        self._calls, self._cancels = Share(), Share()

    def of(self, method: MethodPolicy) -> Budget:
        """The one that calls of `method` draw on."""
        bucket = self.buckets.setdefault(method.target, Bucket(method.target))
        return Budget(bucket, self._cancels if method.bulkhead == CANCELS else self._calls)
