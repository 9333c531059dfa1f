"""Tests of the bus run against a real nats-server."""

from tests.kit.nats import nats_server, own_nats, shared_nats

__all__ = ["nats_server", "own_nats", "shared_nats"]
