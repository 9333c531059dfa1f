"""The error type: everything a caller may read survives copies, and equal errors compare equal."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from services.errors import VALIDATION_FAILED, FxError, Kind, Violation, invalid_field

GRPC_CODES_OF_DOMAIN_ERRORS = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
}


def full_error() -> FxError:
    return FxError(
        Kind.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "too many orders",
        (Violation("size", "must be positive"),),
        1.5,
    )


def test_kinds_are_exactly_the_status_codes_a_domain_may_answer_with() -> None:
    assert {kind.name for kind in Kind} == GRPC_CODES_OF_DOMAIN_ERRORS
    assert all(kind.value == kind.name for kind in Kind)


def test_text_names_reason_detail_and_every_field_at_fault() -> None:
    assert str(full_error()) == "RATE_LIMITED: too many orders; size: must be positive"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_a_copy_carries_every_part(duplicate: Callable[[FxError], FxError]) -> None:
    again = duplicate(full_error())
    assert again == full_error()
    assert (again.violations, again.retry_after_s) == ((Violation("size", "must be positive"),), 1.5)


def test_errors_that_differ_in_one_part_are_not_equal() -> None:
    error = FxError(Kind.NOT_FOUND, "UNKNOWN_SYMBOL", "no EURXXX")
    assert error != FxError(Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL", "no EURXXX")
    assert error != FxError(Kind.NOT_FOUND, "UNKNOWN_SYMBOL", "no EURXXX", retry_after_s=1.0)
    assert error != ValueError("no EURXXX")
    assert len({error, FxError(Kind.NOT_FOUND, "UNKNOWN_SYMBOL", "no EURXXX")}) == 1


def test_an_invalid_field_is_an_invalid_argument_with_its_violation() -> None:
    error = invalid_field(VALIDATION_FAILED, "price", "must be above zero")
    assert (error.kind, error.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert error.violations == (Violation("price", "must be above zero"),)
    assert error.retry_after_s is None
