"""Three nats-servers in one cluster on loopback, for what one alone cannot show: leader or quorum lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nats

from tests.kit.nats import NatsServer, find_program
from tests.kit.ports import free_port


@dataclass(frozen=True)
class Cluster:
    """Its servers, named n0, n1 and n2, each of which can be killed and started again."""

    servers: tuple[NatsServer, ...]

    @property
    def url(self) -> str:
        """All addresses, as a client is given them."""
        return ",".join(server.url for server in self.servers)

    async def leader(self, stream: str) -> NatsServer:
        """Who leads a stream at the moment."""
        client = await nats.connect(self.url.split(","))
        try:
            info = await client.jetstream().stream_info(stream)
        finally:
            await client.close()
        assert info.cluster is not None and info.cluster.leader
        return self.servers[int(info.cluster.leader[1:])]


@contextmanager
def cluster_of_three(folder: Path) -> Iterator[Cluster]:
    """Started, perhaps not yet with a leader; gone at the end of the block."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = []
    for number, port in enumerate(ports):
        own = folder / f"n{number}"
        own.mkdir()
        servers.append(NatsServer(find_program(), own))
        config = own / "nats.conf"
        config.write_text(
            config.read_text().replace('"fxmesh"', f'"n{number}"')
            + f'cluster {{ name: "c", listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
        )
    for server in servers:
        server.start()
    try:
        yield Cluster(tuple(servers))
    finally:
        for server in servers:
            server.stop()
