"""The running platform on a nats-server that knows each process: nobody asks for more than it was given."""

from pathlib import Path

import pytest

from services.runtime.policy import service_policies
from tests.kit.live import LivePlatform

pytestmark = pytest.mark.integration


def test_the_whole_platform_works_without_one_violation(live: LivePlatform) -> None:
    said = (live.home / "logs" / "nats.log").read_text()
    assert "Violation" not in said
    assert "authentication error" not in said
    for service in service_policies():
        assert live.metric(service.name, "fxmesh_bus_published_total") >= 0
        assert live.metric(service.name, "fxmesh_bus_forbidden_total") == 0
    assert live.metric("market_data", "fxmesh_bus_published_total") > 0
    assert live.metric("analysis_engine", "fxmesh_bus_consumed_total") > 0


def test_no_password_shows_in_a_log_or_a_command_line(live: LivePlatform) -> None:
    words = [path.read_text() for path in (live.home / "secrets" / "nats").glob("*.password")]
    assert len(words) == len(service_policies()) + 2
    shown = [path.read_text() for path in (live.home / "logs").iterdir()]
    shown += [(live.home / "run" / name).read_text() for name in ("state.json", "nats.conf", "envoy.json")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            shown.append(process.read_text())
        except OSError:
            continue  # it has ended
    assert [word for word in words for text in shown if word in text] == []
