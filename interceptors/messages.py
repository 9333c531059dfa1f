"""Bytes to messages and back, within the size class of the method.

Done inside the plan and not by gRPC, which answers UNKNOWN with the parser's text when bytes do not parse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.message import DecodeError, Message

from interceptors.calls import ServerCall
from interceptors.plan import Plan
from services.errors import FxError, Kind
from services.runtime.policy import MethodPolicy

Decoder: TypeAlias = Callable[[bytes], Message]
Encoder: TypeAlias = Callable[[Message], bytes]


def receiver(plan: Plan[ServerCall], parse: Decoder) -> Decoder:
    """What turns the bytes of a request into a message that passed every check of the plan, or raises
    FxError.
    """
    method, checks = plan.method, plan.checks
    most = method.max_request_bytes

    def receive(data: bytes) -> Message:
        if len(data) > most:
            raise _too_large(method, len(data))
        try:
            message = parse(data)
        # The pure-Python parser raises others than DecodeError on some inputs; whatever it is, the bytes are
        # bad.
        except (DecodeError, ValueError, RecursionError) as failure:
            detail = f"the request of {method.path} is not a valid message of its type"
            raise FxError(Kind.INVALID_ARGUMENT, "MALFORMED_REQUEST", detail) from failure
        for check in checks:
            check(message)
        return message

    return receive


def sender(method: MethodPolicy, serialize: Encoder) -> Encoder:
    """What turns a request into bytes; refuses here what the server would refuse."""
    most = method.max_request_bytes

    def send(message: Message) -> bytes:
        data = serialize(message)
        if len(data) > most:
            raise _too_large(method, len(data))
        return data

    return send


def _too_large(method: MethodPolicy, size: int) -> FxError:
    most = method.max_request_bytes
    detail = f"{method.path} takes requests of at most {most} bytes, this one has {size}"
    return FxError(Kind.INVALID_ARGUMENT, "REQUEST_TOO_LARGE", detail)
