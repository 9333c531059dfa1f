"""Contract tests run the same scenarios on the networked and the in-process implementation of a port."""

from tests.kit.nats import shared_nats
from tests.kit.worlds import world

__all__ = ["shared_nats", "world"]
