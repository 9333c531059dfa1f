"""What the end of an attempt says of the instance it went to, for breaker and ejection alike.

UNAVAILABLE, DEADLINE_EXCEEDED and INTERNAL are the peer's failures; every other status is an answer. Nothing
is said by an attempt that was never sent, that its caller cancelled, or that had too little time: one given
less than a quarter of its method's own deadline (or 5 s, if that is less) may expire at a healthy peer.
Nothing either by a stream that began to answer and then lived as long as it was allowed to.
"""

from __future__ import annotations

from enum import Enum

import grpc

from interceptors.calls import ClientCall

_FAIR_SHARE = 0.25
_FAIR_AT_MOST_S = 5.0


class Outcome(Enum):
    """What is learnt of the peer."""

    ANSWERED = "answered"
    BROKEN = "broken"
    """It answered that something is broken inside (INTERNAL)."""
    SILENT = "silent"
    """No answer of its own: UNAVAILABLE, DEADLINE_EXCEEDED, no connection."""
    NOTHING = "nothing"


_OUTCOMES = {
    grpc.StatusCode.UNAVAILABLE: Outcome.SILENT,
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.SILENT,
    grpc.StatusCode.INTERNAL: Outcome.BROKEN,
    grpc.StatusCode.CANCELLED: Outcome.NOTHING,
}


def outcome(call: ClientCall) -> Outcome:
    """What the attempt of `call` that just ended, with `call.code`, says."""
    if call.endpoint is None:
        return Outcome.NOTHING
    found = _OUTCOMES.get(call.code, Outcome.ANSWERED)
    if call.code is grpc.StatusCode.DEADLINE_EXCEEDED and (call.begun or call.given_s < _fair_s(call)):
        return Outcome.NOTHING
    return found


def _fair_s(call: ClientCall) -> float:
    return min(call.method.default_deadline_s * _FAIR_SHARE, _FAIR_AT_MOST_S)
