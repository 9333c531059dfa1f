"""Every mutation carries what a repetition is known by; tests/integration/test_repetition.py repeats them."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.runtime.policy import MethodPolicy, method_policies, service_policies

METHODS = [method for service in service_policies() for method in method_policies(service.full_name)]
MUTATIONS = [method for method in METHODS if method.mutates]


def descriptor(method: MethodPolicy) -> MethodDescriptor:
    return descriptor_pool.Default().FindServiceByName(method.service).methods_by_name[method.method]


@pytest.mark.parametrize("method", MUTATIONS, ids=lambda method: method.path[1:])
def test_each_mutation_carries_a_key_or_is_its_own(method: MethodPolicy) -> None:
    found = descriptor(method)
    if method.idempotency_key:
        field = found.input_type.fields_by_name[method.idempotency_key]
        assert field.type == field.TYPE_STRING
    else:
        assert found.GetOptions().idempotency_level == MethodOptions.IDEMPOTENT
    assert method.repeatable


def test_what_reads_is_not_among_them() -> None:
    reading = {method.scope for method in METHODS if not method.mutates}
    assert all(":write" not in scope and ":deploy" not in scope for scope in reading)
    assert len(MUTATIONS) > 20
