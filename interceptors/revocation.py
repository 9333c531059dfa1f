"""Streams end with the credentials they began with: when those are revoked, or their key's time is over.

A call of one answer is judged as it comes and is over before it would matter. A stream may live for a day:
each is judged again whenever keys or revocations change, and when the first of the keys ends.
"""

from __future__ import annotations

import asyncio

from interceptors.calls import ServerCall
from services.errors import FxError
from services.runtime.identity.authenticator import Authenticator
from services.runtime.identity.proof import NEVER, Proof


class OpenStreams:
    """Those that were let in, each with what its caller proved."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open: dict[ServerCall, Proof] = {}
        self._timer: asyncio.TimerHandle | None = None
        authenticator.on_change(self._judge)

    def enter(self, call: ServerCall, proof: Proof) -> None:
        """It begins."""
        self._open[call] = proof
        self._judge_in(self._authenticator.left_s(proof))

    def leave(self, call: ServerCall) -> None:
        """It has ended."""
        self._open.pop(call, None)

    def _judge(self) -> None:
        """End those that would be refused now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first = NEVER
        for call, proof in list(self._open.items()):
            try:
                first = min(first, self._authenticator.left_s(proof))
            except FxError as refusal:
                del self._open[call]
                call.end(refusal)
        self._judge_in(first)

    def _judge_in(self, seconds: float) -> None:
        """In so long at the latest. One timer serves all: few keys have an end."""
        if seconds == NEVER:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._judge)
