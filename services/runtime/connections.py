"""Ends the connections of a server that is about to stop, below gRPC.

gRPC answers a call that it has read and not handed over yet with CANCELLED when its server stops, as if the
caller had wanted that: of 64 callers without pause up to 60 (measured). A connection that ends is UNAVAILABLE
to whoever waits on it, which is what it is: whether the call was begun is unknown, and it may be repeated
where its contract allows.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import psutil


def end_connections(port: int) -> None:
    """End those that callers have to `port` of this process. Who listens there goes on listening."""
    for each in psutil.Process().net_connections(kind="tcp"):
        if each.laddr.port == port and each.raddr:
            # One that the caller has just closed is no connection any more.
            with suppress(OSError), socket.socket(fileno=os.dup(each.fd)) as connection:
                connection.shutdown(socket.SHUT_RDWR)
