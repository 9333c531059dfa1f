"""Failures to statuses on the server, statuses back to failures on the client: mapped here and nowhere else.

A status carries `google.rpc.ErrorInfo` (reason, domain, correlation id), `BadRequest` with the fields at
fault and `RetryInfo` where waiting helps. Of an unknown failure a caller learns the correlation id and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from services.errors import FxError, Kind, Violation

DOMAIN = "fxmesh"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
INTERNAL = "INTERNAL"
"""Reason of a defect somewhere behind the call. There is no kind for it: nobody raises one on purpose."""

# The details travel in trailing metadata, base64 encoded, and all of it must stay below 8 KiB.
_MAX_STATUS_BYTES = 4096
_MAX_DETAIL_CHARS = 1024
_MAX_VIOLATION_CHARS = 300

OVERLOADED = "OVERLOADED"
"""Reason of a call that was shed before it began."""
RATE_LIMITED = "RATE_LIMITED"
_PUSHED_BACK = frozenset({Kind.UNAVAILABLE, Kind.RESOURCE_EXHAUSTED})

_CODES = {kind: grpc.StatusCode[kind.name] for kind in Kind}
_KINDS = {code: kind for kind, code in _CODES.items()}


def code_of(error: FxError) -> grpc.StatusCode:
    """The status code of a domain error; a peer's defect stays one, so that no layer repeats the call."""
    return grpc.StatusCode.INTERNAL if error.reason == INTERNAL else _CODES[error.kind]


def to_status(error: FxError, correlation_id: str) -> status_pb2.Status:
    """The status with details of a domain error. Long texts are cut, surplus violations are left out and
    counted.
    """
    if error.reason == INTERNAL:
        return internal_status(correlation_id)
    status = status_pb2.Status(code=code_of(error).value[0], message=_cut(error.detail, _MAX_DETAIL_CHARS))
    status.details.append(_info(error.reason, correlation_id))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(max(0, round(error.retry_after_s * 1e9)))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    if error.violations:
        room = _MAX_STATUS_BYTES - status.ByteSize()
        status.details.append(_packed(_bad_request(error.violations, room)))
    return status


def pushback(error: FxError) -> tuple[tuple[str, str], ...]:
    """What a retrying client is told in trailing metadata (gRFC A6): milliseconds to wait, or -1 for never.

    Never: whoever is over its own rate, since retries would only spend more of it, and a call that has not
    the time to be answered. Nothing is said of failures that come with no time to wait.
    """
    if error.reason == RATE_LIMITED or (error.reason == OVERLOADED and error.retry_after_s is None):
        return ((PUSHBACK_KEY, "-1"),)
    if error.kind in _PUSHED_BACK and error.retry_after_s is not None:
        return ((PUSHBACK_KEY, str(max(1, round(error.retry_after_s * 1000)))),)
    return ()


def internal_status(correlation_id: str) -> status_pb2.Status:
    """The status of a failure that is nobody's business outside: the correlation id finds it in the logs."""
    status = status_pb2.Status(
        code=grpc.StatusCode.INTERNAL.value[0], message=f"internal error, correlation id {correlation_id}"
    )
    status.details.append(_info(INTERNAL, correlation_id))
    return status


_UNTRUSTED = ("handshake failed", "Verification Check failed", "verification check failed")
"""What gRPC says where a TLS handshake ends badly."""


def to_fx_error(failure: grpc.aio.AioRpcError, path: str) -> FxError:
    """The domain error behind a failed call of `path`, as the server raised it where it said so.

    Without details (a peer not reached, a limit of gRPC itself) the code decides, and gRPC's own text, which
    names addresses, is left out. A peer's defect (INTERNAL, UNKNOWN, …) is UNAVAILABLE with reason
    `INTERNAL`.
    """
    info, violations, retry_after_s = _details(failure.trailing_metadata())
    kind = _KINDS.get(failure.code())
    if info is not None and kind is not None:
        return FxError(kind, info.reason, failure.details() or "", violations, retry_after_s)
    return _without_details(failure.code(), failure.details() or "", path)


def _without_details(code: grpc.StatusCode, text: str, path: str) -> FxError:
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        refused = any(each in text for each in _UNTRUSTED)
        why = "its certificate, or ours, is not accepted" if refused else "at the moment"
        return FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", f"{path} cannot be reached{':' * refused} {why}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return FxError(
            Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", f"{path} did not answer within its deadline"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        reason = "REQUEST_TOO_LARGE" if "larger than max" in text else "RATE_LIMITED"
        return FxError(Kind.RESOURCE_EXHAUSTED, reason, f"{path} refused the call: a limit is reached")
    kind = _KINDS.get(code)
    if kind is not None:
        return FxError(kind, kind.name, f"{path} refused the call with {code.name}")
    return FxError(Kind.UNAVAILABLE, INTERNAL, f"{path} failed with {code.name}")


def _details(
    trailing: Iterable[tuple[str, str | bytes]] | None,
) -> tuple[error_details_pb2.ErrorInfo | None, tuple[Violation, ...], float | None]:
    info: error_details_pb2.ErrorInfo | None = None
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None
    for detail in _status(trailing).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            detail.Unpack(found)
            info = found if found.domain == DOMAIN else None
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            violations = tuple(Violation(each.field, each.description) for each in request.field_violations)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return info, violations, retry_after_s


def _status(trailing: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status:
    for key, value in trailing or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # not from a peer of ours: treated as a status without details
    return status_pb2.Status()


def _info(reason: str, correlation_id: str) -> AnyMessage:
    metadata = {"correlation_id": correlation_id} if correlation_id else {}
    return _packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))


def _bad_request(violations: tuple[Violation, ...], room: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for number, each in enumerate(violations):
        field, text = _cut(each.field, _MAX_VIOLATION_CHARS), _cut(each.description, _MAX_VIOLATION_CHARS)
        request.field_violations.add(field=field, description=text)
        if request.ByteSize() > room:
            del request.field_violations[-1]
            request.field_violations.add(description=f"and {len(violations) - number} more")
            break
    return request


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
