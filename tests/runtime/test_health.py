"""How the state of a process follows from its dependencies."""

from __future__ import annotations

import pytest

from services.runtime.health import Health, State, Status


def _started() -> Health:
    health = Health()
    health.started()
    return health


def test_nothing_is_ready_before_it_is_started() -> None:
    health = Health()
    health.up("store")
    assert health.status is Status.STARTING
    assert not health.ready
    health.started()
    assert health.status is Status.SERVING
    assert health.ready


def test_a_required_dependency_stops_readiness() -> None:
    health = _started()
    health.starting("bus", "waiting for NATS")
    assert health.status is Status.STARTING
    health.up("bus")
    assert health.status is Status.SERVING
    health.down("bus", "no connection")
    assert health.status is Status.NOT_SERVING
    assert not health.ready


def test_a_missing_peer_only_degrades() -> None:
    health = _started()
    health.starting("market_data", required=False)
    assert health.status is Status.DEGRADED
    health.down("market_data", "no instance")
    assert health.status is Status.DEGRADED
    assert health.ready
    health.up("market_data")
    assert health.status is Status.SERVING


def test_draining_outweighs_everything() -> None:
    health = _started()
    health.up("bus")
    health.stopping()
    assert health.status is Status.NOT_SERVING


def test_dependencies_are_listed_by_name_with_their_reasons() -> None:
    health = _started()
    health.starting("store")
    health.starting("bus", required=False)
    health.down("bus", "gone")
    assert [(each.name, each.state, each.required, each.detail) for each in health.dependencies()] == [
        ("bus", State.DOWN, False, "gone"),
        ("store", State.STARTING, True, ""),
    ]


def test_listeners_hear_the_present_and_every_change_but_no_repetition() -> None:
    health = Health()
    heard: list[Status] = []
    health.on_change(heard.append)
    health.started()
    health.down("store", "locked")
    health.down("store", "locked")
    health.up("store")
    assert heard == [Status.STARTING, Status.SERVING, Status.NOT_SERVING, Status.SERVING]


@pytest.mark.parametrize("status", Status)
def test_states_read_as_people_write_them(status: Status) -> None:
    assert status.value == status.name.lower()
