"""Where requests go: a route for the gRPC path of every method, and none for any REST path.

The transcoder finds the method of a REST call in the descriptors and rewrites its path to
`/package.Service/Method`; then the routes are asked again.
"""

from __future__ import annotations

import re

from google.protobuf import descriptor_pool

from edge.filters import TRANSCODER, TRANSCODER_TYPE, UNCHECKED, checked, transcoder
from edge.rest import RestForm, RestForms
from edge.retries import retry_policy
from edge.settings import EdgeSettings
from edge.typed import Json, of_type, seconds
from edge.upstreams import priority_cluster
from services.runtime.limits import CANCELS
from services.runtime.policy import BUILT_IN, MethodPolicy, ServicePolicy, method_policy

_NEVER: Json = {}


def virtual_host(services: tuple[ServicePolicy, ...], settings: EdgeSettings) -> Json:
    """Everything that is answered, under the names of `settings`."""
    pool = descriptor_pool.Default()
    routes = [_route(policy, "built_in") for policy in BUILT_IN.values()]
    routes += [
        _to(service, method_policy(f"/{service.full_name}/{method.name}"), settings)
        for service in services
        for method in pool.FindServiceByName(service.full_name).methods
    ]
    return {
        "name": "contracts",
        "domains": list(settings.hosts),
        "routes": [*routes, *_unknown_method(), *_before_rewriting(services, settings)],
    }


def _to(service: ServicePolicy, policy: MethodPolicy, settings: EdgeSettings) -> Json:
    urgent = policy.bulkhead == CANCELS and service.name in settings.priority_upstreams
    cluster = priority_cluster(service.name) if urgent else service.name
    return _route(policy, cluster, retry_policy(policy, settings.upstreams[service.name]))


def _route(policy: MethodPolicy, cluster: str, retried: Json = _NEVER) -> Json:
    """The route of one method; `retried`: how its calls are repeated. The policy's deadline is what a call
    gets, and the most it may ask for.
    """
    deadline = policy.default_deadline_s
    return {
        "match": {"path": policy.path},
        "route": {
            "cluster": cluster,
            **retried,
            "timeout": "0s",  # grpc-timeout rules
            "max_stream_duration": {
                "max_stream_duration": seconds(deadline),
                "grpc_timeout_header_max": seconds(deadline),
            },
            "idle_timeout": "0s",  # a stream may be quiet, and a long call too
        },
        "request_headers_to_add": [
            {
                "header": {"key": "grpc-timeout", "value": f"{round(deadline * 1000)}m"},
                "append_action": "ADD_IF_ABSENT",
            }
        ],
        "typed_per_filter_config": checked(urgent=policy.bulkhead == CANCELS, with_body=False)
        if policy.scope
        else UNCHECKED,
    }


def _unknown_method() -> list[Json]:
    """UNIMPLEMENTED at once: the gate would wait for the end of a stream that waits for its first answer."""
    web = {"name": "content-type", "string_match": {"prefix": "application/grpc-web"}}
    callers: tuple[Json, ...] = ({"grpc": {}}, {"headers": [web]})
    return [
        {
            "match": {"prefix": "/", **caller},
            # Without a body the filter for gRPC-Web would leave the answer without a grpc-status.
            "direct_response": {"status": 404, "body": {"inline_string": "no service has this method"}},
            "typed_per_filter_config": UNCHECKED,
        }
        for caller in callers
    ]


def _before_rewriting(services: tuple[ServicePolicy, ...], settings: EdgeSettings) -> list[Json]:
    """Where a REST call is until the transcoder has rewritten its path: how it is checked and printed.

    Without a route Envoy would not ask the gate at all. Nothing is ever sent along one of them.
    """
    events = {"stream_sse_style_delimited": True}
    wants_events = [{"name": "accept", "string_match": {"contains": "text/event-stream"}}]
    return [
        *_urgent(services),
        {
            "match": {"prefix": "/", "headers": wants_events},
            "direct_response": {"status": 404},
            "typed_per_filter_config": {
                TRANSCODER: of_type(TRANSCODER_TYPE, transcoder(services, settings, events))
            },
        },
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]


def _urgent(services: tuple[ServicePolicy, ...]) -> list[Json]:
    """REST forms of cancels and the kill switch, which the gate is asked about ahead of others."""
    return [
        {
            "match": {
                "safe_regex": {"regex": _pattern(form)},
                "headers": [{"name": ":method", "string_match": {"exact": form.verb}}],
            },
            "direct_response": {"status": 404},
            "typed_per_filter_config": checked(urgent=True, with_body=True),
        }
        for form in RestForms(services).all
        if method_policy(form.method).bulkhead == CANCELS
    ]


def _pattern(form: RestForm) -> str:
    segments = ("[^/]+" if each.startswith("{") else re.escape(each) for each in form.path)
    return "/" + "/".join(segments) + (f":{re.escape(form.action)}" if form.action else "")
