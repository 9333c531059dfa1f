"""Integration tests run against a real nats-server and real processes."""

from tests.kit.live import live
from tests.kit.nats import nats_server, own_nats, shared_nats

__all__ = ["live", "nats_server", "own_nats", "shared_nats"]
