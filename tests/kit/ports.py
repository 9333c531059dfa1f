"""Ports for programs that must be told one before they bind it.

A port that the kernel chose and let go is free for everybody: a moment later it may be the near end of some
connection, or of one that a client makes to it while nobody listens there. These lie below those that the
kernel gives away, and none is handed out twice by one process.
"""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 10_000
_KERNELS = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def _shuffled() -> Iterator[int]:
    ports = list(range(_LOWEST, _KERNELS))
    random.SystemRandom().shuffle(ports)  # other processes choose too
    yield from ports


_LEFT = _shuffled()


def free_port() -> int:
    """One where nobody listens."""
    return next(port for port in _LEFT if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
