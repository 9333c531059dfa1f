"""Reads the policies of services and methods from their descriptors: there is no second list.

The one table here is for the built-in services (health, reflection), whose contracts are not ours to
annotate. Event policies are read by the bus.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import fxmesh
from fxmesh.policy.v1 import policy_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.runtime.fatal import FatalError
from services.runtime.limits import CANCELS

STANDARD_REQUEST_BYTES = 256 * 1024
BATCH_REQUEST_BYTES = 4 * 1024 * 1024
METADATA_BYTES = 8 * 1024
"""All metadata of a call, in either direction."""


class Shape(Enum):
    """The four kinds of RPC, named as Prometheus' `grpc_type` label names them."""

    UNARY = "unary"
    CLIENT_STREAM = "client_stream"
    SERVER_STREAM = "server_stream"
    BIDI_STREAM = "bidi_stream"


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """What the mesh does to calls of one method. `path` is `/package.Service/Method`, of which `service` (its
    full gRPC name) and `method` are the parts.
    """

    path: str
    shape: Shape
    default_deadline_s: float
    scope: str
    repeatable: bool = False
    """True when a call may be sent again: free of side effects, idempotent, or keyed."""
    mutates: bool = False
    """True unless the contract declares the method free of side effects."""
    idempotency_key: str = ""
    cost: int = 1
    bulkhead: str = "default"
    cache_lifetime_s: float | None = None
    invalidated_by: tuple[str, ...] = ()
    max_request_bytes: int = STANDARD_REQUEST_BYTES
    traced: bool = False
    """A call outside any sampled trace begins one."""
    service: str = field(init=False)
    method: str = field(init=False)

    def __post_init__(self) -> None:
        service, _, method = self.path[1:].partition("/")
        object.__setattr__(self, "service", service)  # the way of a frozen class
        object.__setattr__(self, "method", method)

    @property
    def target(self) -> str:
        """What a client keeps a breaker and a retry budget for: the service, and its cancels by themselves.
        Orders that fail in a storm must not close the way to the kill switch, nor use up its retries.
        """
        return f"{self.service}/{CANCELS}" if self.bulkhead == CANCELS else self.service

    @property
    def streams_answers(self) -> bool:
        """True for server streams and bidirectional ones."""
        return self.shape in (Shape.SERVER_STREAM, Shape.BIDI_STREAM)


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """One service process and its place in the graph. `full_name` is its gRPC name, `name` its folder."""

    full_name: str
    name: str
    area: str
    grpc_port: int
    http_port: int
    calls: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    scrapes: bool = False
    single_because: str = ""
    """Why only one process at a time may serve it; empty: several may."""
    priority_port: int = 0
    """Default port where the group `cancels` is served beside `grpc_port`; 0: it has no such method."""
    several_with: str = ""
    """Setting that names a store for several; where it is set, `single_because` does not hold."""

    @property
    def dns_name(self) -> str:
        """Its name in Kubernetes, where an underscore may not be in one."""
        return self.name.replace("_", "-")

    @property
    def peers(self) -> tuple[str, ...]:
        """Full gRPC names of the services it calls, each once."""
        return tuple(dict.fromkeys(call.partition("/")[0] for call in self.calls))


_DAY_S = 86_400.0


def _built_in(path: str, shape: Shape, longest_s: float) -> MethodPolicy:
    # Scope "" means open to everyone who can connect: probes and `grpcurl list` come before any identity.
    return MethodPolicy(path, shape, longest_s, scope="", repeatable=True, bulkhead="built_in")


BUILT_IN: Mapping[str, MethodPolicy] = {
    policy.path: policy
    for policy in (
        _built_in("/grpc.health.v1.Health/Check", Shape.UNARY, 1.0),
        _built_in("/grpc.health.v1.Health/List", Shape.UNARY, 1.0),
        _built_in("/grpc.health.v1.Health/Watch", Shape.SERVER_STREAM, _DAY_S),
        _built_in("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Shape.BIDI_STREAM, 60.0),
        _built_in("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Shape.BIDI_STREAM, 60.0),
    )
}
"""Policies of the services whose contracts are not ours."""


def method_policy(path: str) -> MethodPolicy:
    """The policy of `/package.Service/Method`.

    Raises FatalError when the method is unknown, has no policy, or one without a deadline or scope.
    """
    built_in = BUILT_IN.get(path)
    return built_in if built_in is not None else _read(_method(path), path)


def service_policy(full_name: str) -> ServicePolicy:
    """The policy of a service by full gRPC name. Raises FatalError when it is unknown or has none."""
    service = _service(full_name)
    options = service.GetOptions()
    if not options.HasExtension(policy_pb2.service):
        raise FatalError(
            f"service {full_name} has no policy: add option (fxmesh.policy.v1.service) to its .proto"
        )
    policy = options.Extensions[policy_pb2.service]
    return ServicePolicy(
        full_name=full_name,
        name=policy.name,
        area=policy.area,
        grpc_port=policy.grpc_port,
        http_port=policy.http_port,
        calls=tuple(policy.calls),
        consumes=tuple(policy.consumes),
        publishes=tuple(policy.publishes),
        scrapes=policy.scrapes,
        single_because=policy.single_because,
        priority_port=policy.priority_port,
        several_with=policy.several_with,
    )


def cache_events(policy: ServicePolicy) -> tuple[str, ...]:
    """Full names of the events a service must hear because answers it may cache are dropped by them, sorted.

    Heard as they pass, with no durable: `<event>.>`. Raises FatalError for a call that is in no contract.
    """
    calls = (method_policy(f"/{call}") for call in policy.calls)
    cached = (call for call in calls if call.cache_lifetime_s is not None)
    return tuple(sorted({event for call in cached for event in call.invalidated_by}))


def method_policies(service: str) -> tuple[MethodPolicy, ...]:
    """The policies of a service's methods, by full gRPC name, in the order of its contract.

    Raises FatalError when it is unknown or a method has none.
    """
    return tuple(method_policy(f"/{service}/{method.name}") for method in _service(service).methods)


def all_methods() -> tuple[MethodPolicy, ...]:
    """Of every service of the contracts, then the built-in ones."""
    ours = [each for service in service_policies() for each in method_policies(service.full_name)]
    return (*ours, *BUILT_IN.values())


def service_policies() -> tuple[ServicePolicy, ...]:
    """The policies of every service that the generated contracts declare, by gRPC port.

    Raises FatalError for a service without one.
    """
    found: list[ServicePolicy] = []
    # The generated packages are namespace packages, so their folders are listed, not their modules.
    for path in (path for root in fxmesh.__path__ for path in Path(root).glob("*/v1/service_pb2.py")):
        contract = importlib.import_module(f"fxmesh.{path.parent.parent.name}.v1.{path.stem}").DESCRIPTOR
        found += [service_policy(service.full_name) for service in contract.services_by_name.values()]
    return tuple(sorted(found, key=lambda policy: policy.grpc_port))


def _read(method: MethodDescriptor, path: str) -> MethodPolicy:
    options = method.GetOptions()
    if not options.HasExtension(policy_pb2.method):
        raise FatalError(f"method {path} has no policy: add option (fxmesh.policy.v1.method) to its .proto")
    policy = options.Extensions[policy_pb2.method]
    if policy.default_deadline.ToNanoseconds() <= 0 or not policy.scope:
        raise FatalError(f"the policy of method {path} needs a default_deadline above zero and a scope")
    return MethodPolicy(
        path=path,
        shape=_shape(method),
        default_deadline_s=policy.default_deadline.ToNanoseconds() / 1e9,
        scope=policy.scope,
        repeatable=options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
        or bool(policy.idempotency_key),
        mutates=options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
        idempotency_key=policy.idempotency_key,
        cost=policy.cost or 1,
        bulkhead=policy.bulkhead or "default",
        cache_lifetime_s=(
            policy.cache_lifetime.ToNanoseconds() / 1e9 if policy.HasField("cache_lifetime") else None
        ),
        invalidated_by=tuple(policy.invalidated_by),
        max_request_bytes=(
            BATCH_REQUEST_BYTES
            if policy.size_class == policy_pb2.SIZE_CLASS_BATCH
            else STANDARD_REQUEST_BYTES
        ),
        traced=policy.traced,
    )


def _shape(method: MethodDescriptor) -> Shape:
    if method.client_streaming:
        return Shape.BIDI_STREAM if method.server_streaming else Shape.CLIENT_STREAM
    return Shape.SERVER_STREAM if method.server_streaming else Shape.UNARY


def _method(path: str) -> MethodDescriptor:
    service_name, _, method_name = path[1:].partition("/")
    method = _service(service_name).methods_by_name.get(method_name)
    if method is None:
        raise FatalError(f"method {path} is not in the contract of {service_name}")
    return method


def _service(full_name: str) -> ServiceDescriptor:
    pool = descriptor_pool.Default()
    try:
        return pool.FindServiceByName(full_name)
    except KeyError:
        # Contracts keep their service in <package>/service.proto; its module registers the descriptors.
        module = f"{full_name.rpartition('.')[0]}.service_pb2"
        try:
            importlib.import_module(module)
            return pool.FindServiceByName(full_name)
        except (ImportError, KeyError) as missing:
            raise FatalError(f"service {full_name} has no contract (looked in module {module})") from missing
