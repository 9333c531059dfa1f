"""Field rules of the contracts (`buf.validate`) and bounds of times, checked on every request before a
handler sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import protovalidate
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from interceptors import timestamps
from interceptors.calls import ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind, Violation
from services.runtime import plain_rules, rules
from services.runtime.fatal import FatalError
from services.runtime.plain_rules import Kept
from services.runtime.policy import BUILT_IN, MethodPolicy


def server(method: MethodPolicy) -> Hook[ServerCall] | None:
    """Checks with the rules of the request type, compiled now: the first call must not pay for it.

    Raises FatalError when a rule does not compile. Built-in services have no rules and are left out.
    """
    if method.path in BUILT_IN:
        return None
    service = descriptor_pool.Default().FindServiceByName(method.service)
    request = service.methods_by_name[method.method].input_type
    _warm(message_factory.GetMessageClass(request))
    if timestamps.any_in(request):
        return Hook(check=check)
    kept = plain_rules.compiled(request)
    return Hook(check=_check_rules if kept is None else partial(_check_plain, kept))


def check(message: Message) -> None:
    """Raise VALIDATION_FAILED with every violation of `message`."""
    # Times first: a rule that looks at a malformed one fails instead of finding it wrong.
    if wrong := timestamps.violations(message):
        raise _invalid(wrong)
    _check_rules(message)


def _check_plain(kept: Kept, message: Message) -> None:
    if not kept(message):
        _check_rules(message)


def _check_rules(message: Message) -> None:
    if found := rules.violations(message):
        raise _invalid(found)


def _invalid(violations: Sequence[Violation]) -> FxError:
    fields = ", ".join(dict.fromkeys(each.field or "request" for each in violations))
    return FxError(Kind.INVALID_ARGUMENT, "VALIDATION_FAILED", f"invalid: {fields}", tuple(violations))


def _warm(request_type: type[Message]) -> None:
    try:
        rules.violations(request_type())
    except protovalidate.CompilationError as failure:
        raise FatalError(
            f"a validation rule of {request_type.DESCRIPTOR.full_name} is wrong: {failure}"
        ) from failure
