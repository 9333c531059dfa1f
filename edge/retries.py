"""What Envoy repeats: a read that one instance of a service could not take is put to another.

A process that is killed breaks the calls it has in hand, and until its health is asked next every call that
is sent to it. A read harms nobody when it is sent again; whatever mutates is never repeated here, since only
its caller knows whether it may be.
"""

from __future__ import annotations

from edge.settings import Address, is_ip
from edge.typed import Json, of_type, seconds
from services.runtime.policy import MethodPolicy, Shape

RETRIES = 2
NEVER: Json = {"max_retries": 0}
"""What bounds retries to none, in the thresholds of a cluster."""
_ON = ("connect-failure", "refused-stream", "reset", "unavailable")
_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.005, 0.05
"""Short: another instance is at hand, and reads have two seconds or little more."""
_BUDGET_PERCENT = 20.0
_BUDGET_LEAST = 32
"""Retries at once that few calls in flight may have, too: those that were on a killed instance come together,
and of three instances it has every third call.
"""
_PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
_FAILURES = 3
_OUT_S = 1.0


def several(addresses: tuple[Address, ...]) -> bool:
    """Whether there may be another instance: several addresses, or a name, which may stand for several."""
    return len(addresses) > 1 or not is_ip(addresses[0].host)


def retry_policy(policy: MethodPolicy, addresses: tuple[Address, ...]) -> Json:
    """The part of a route that repeats its calls; empty where they are not."""
    if policy.mutates or policy.shape is not Shape.UNARY or not several(addresses):
        return {}
    other = of_type("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", {})
    return {
        "retry_policy": {
            "retry_on": ",".join(_ON),
            "num_retries": RETRIES,
            "retry_host_predicate": [{"name": _PREVIOUS_HOSTS, "typed_config": other}],
            "host_selection_retry_max_attempts": 5,
            "retry_back_off": {
                "base_interval": seconds(_BACK_OFF_S),
                "max_interval": seconds(_LONGEST_BACK_OFF_S),
            },
        }
    }


def retry_budget(addresses: tuple[Address, ...]) -> Json:
    """The part of a cluster's thresholds that bounds retries: none, or a share of the calls in flight."""
    if not several(addresses):
        return NEVER
    percent = {"value": _BUDGET_PERCENT}
    return {"retry_budget": {"budget_percent": percent, "min_retry_concurrency": _BUDGET_LEAST}}


def outlier_detection(addresses: tuple[Address, ...]) -> Json:
    """The part of a cluster that leaves out an instance whose connections fail, sooner than its health tells.

    What a service answers does not count: only that it could not be reached, or broke off. Half of the
    instances at most are left out, for a second at first; one that says it serves is back at once.
    """
    if not several(addresses):
        return {}
    never = (
        "enforcing_consecutive_5xx",
        "enforcing_consecutive_gateway_failure",
        "enforcing_success_rate",
        "enforcing_local_origin_success_rate",
        "enforcing_failure_percentage",
        "enforcing_failure_percentage_local_origin",
    )
    return {
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": _FAILURES,
            "enforcing_consecutive_local_origin_failure": 100,
            "interval": "1s",
            "base_ejection_time": seconds(_OUT_S),
            "max_ejection_percent": 50,
            **dict.fromkeys(never, 0),
        }
    }
