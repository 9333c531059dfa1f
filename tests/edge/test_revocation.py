"""A stream through the edge carries its caller's own credentials to the service, which ends it with them."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2, service_pb2_grpc
from prometheus_client import CollectorRegistry

from edge.callers import Callers
from edge.gate import Gate
from edge.rest import RestForms
from interceptors.errors import to_fx_error
from interceptors.standard import server_concerns
from services.runtime.health import Health
from services.runtime.identity.keys import KeyRecord, new_secret
from services.runtime.identity.snapshot import of
from services.runtime.ids import CountedIds
from services.runtime.policy import service_policies
from services.runtime.serve import MeshServer
from tests.edge.conftest import Listener
from tests.kit.edge import Edge
from tests.kit.identity import Trusted

pytestmark = pytest.mark.integration


async def all_of(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_streams_by_grpc_and_by_rest_end_with_their_key(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets")
    secret, key = new_secret(0.0)
    trusted.authenticator.follow(of([KeyRecord("robot", ("*",), 0.0, None, None, (secret,))]))
    concerns = server_concerns(CountedIds("s"), CollectorRegistry(), identity=trusted.identity)
    server = MeshServer("127.0.0.1", 0, concerns, Health())
    server.add(service_pb2_grpc.add_MarketDataServiceServicer_to_server, Listener())  # type: ignore[abstract]
    await server.start()
    services = service_policies()
    callers = Callers(trusted.authenticator, trusted.rights, services)
    edge = Edge(tmp_path, {"market_data": server.port}, gate=Gate(RestForms(services), callers))
    await edge.start()
    channel = grpc.aio.insecure_channel(f"localhost:{edge.port}")
    try:
        request = service_pb2.StreamQuotesRequest(symbol=["EURUSD"])
        stub = service_pb2_grpc.MarketDataServiceStub(channel)
        stream: Any = stub.StreamQuotes(request, metadata=(("authorization", f"Bearer {key}"),))
        assert (await stream.read()).stream_sequence == 1
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        asked = "GET /api/v1/market-data/quotes:stream?symbol=EURUSD HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{asked}authorization: Bearer {key}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await reader.readuntil(b'"stream_sequence":"1"')
            trusted.authenticator.follow(of([KeyRecord("robot", ("*",), 0.0, None, 1.0, (secret,))]))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await all_of(stream)
            await reader.readuntil(b"\r\n0\r\n")
            trailers = await reader.readuntil(b"\r\n\r\n")
        assert to_fx_error(ended.value, "").reason == "CREDENTIALS_REVOKED"
        assert b"grpc-status: 16" in trailers
        writer.close()
    finally:
        await channel.close()
        await edge.close()
        await server.close()
