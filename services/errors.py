"""The one error type of the platform: what kind of failure, why (UPPER_SNAKE), and what a person should read.

Domain code and handlers raise `FxError`; one interceptor maps it to a gRPC status with
`google.rpc.ErrorInfo`, and the client side of the mesh maps such a status back. Anything else that escapes a
handler is a defect and reaches the caller as INTERNAL with the correlation id only, so put nothing secret in
`detail`: it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

VALIDATION_FAILED = "VALIDATION_FAILED"
"""The reason of every request whose fields break a rule; the violations say which and how."""


class Kind(Enum):
    """What a caller can do about it; each member is the gRPC status code of the same name."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    """The request is wrong whatever the state: fix it."""
    NOT_FOUND = "NOT_FOUND"
    """The named thing does not exist."""
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """The key is taken by something that differs from this request."""
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    """The state forbids it: do not retry until something else has changed."""
    ABORTED = "ABORTED"
    """A concurrent change won: redo the whole read-modify-write."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """Past the end of what is kept (a sequence, a page, a time)."""
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    """A limit or a queue is full: come back after `retry_after_s`."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """No identity, or one that is not valid (any more)."""
    PERMISSION_DENIED = "PERMISSION_DENIED"
    """The identity is known and may not do this."""
    UNAVAILABLE = "UNAVAILABLE"
    """Not now: a retry may work. After a mutation was sent the outcome is unknown, not failed."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """Time ran out. After a mutation was sent the outcome is unknown, not failed."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that breaks a rule: `field` is its path as in the proto (`legs[2].price`)."""

    field: str
    description: str


class FxError(Exception):
    """A failure that a remote caller must be able to tell apart.

    `reason` is a name of the enum `fxmesh.errors.v1.Reason` without its prefix; `detail` one sentence for a
    person; `violations` the fields at fault; `retry_after_s` seconds to wait, None where waiting will not
    help.
    """

    def __init__(
        self,
        kind: Kind,
        reason: str,
        detail: str,
        violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        # All of it goes to `args`: a copy or a pickle is made from them, and repr shows them.
        super().__init__(kind, reason, detail, violations, retry_after_s)
        self.kind = kind
        self.reason = reason
        self.detail = detail
        self.violations = violations
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        fields = "".join(f"; {each.field}: {each.description}" for each in self.violations)
        return f"{self.reason}: {self.detail}{fields}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FxError) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return (self.kind, self.reason, self.detail, self.violations, self.retry_after_s)


def invalid_field(reason: str, field: str, description: str) -> FxError:
    """The commonest error: one field of a request breaks one rule (INVALID_ARGUMENT with its violation)."""
    return FxError(
        Kind.INVALID_ARGUMENT, reason, f"{field}: {description}", violations=(Violation(field, description),)
    )
