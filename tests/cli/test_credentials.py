"""What a command shows to whom: the operator's token stays on this machine, a key goes where it is sent."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest

from services.cli.config import inherited_environment
from services.cli.credentials import bearer, channel_credentials
from services.cli.home import Home
from services.cli.output import CliError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FXMESH_KEY", raising=False)
    made = Home.at(tmp_path)
    made.token("operator").parent.mkdir(parents=True)
    made.token("operator").write_text("the token\n")
    return made


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_the_token_is_shown_to_this_machine(home: Home, address: str) -> None:
    assert bearer(home, address) == "the token"


@pytest.mark.parametrize("address", ["10.0.0.1:1", "example.com:1", "localhost.evil:1", "127.0.0.1.evil:1"])
def test_and_to_no_other(home: Home, address: str) -> None:
    assert bearer(home, address) == ""


def test_a_key_goes_before_it_and_anywhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_KEY", " fxm_a_b ")
    assert bearer(home, "127.0.0.1:1") == bearer(home, "example.com:1") == "fxm_a_b"
    assert "FXMESH_KEY" not in inherited_environment()


def test_without_a_token_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FXMESH_KEY", raising=False)
    assert bearer(Home.at(tmp_path), "127.0.0.1:1") == ""


@pytest.fixture
async def listener() -> AsyncIterator[str]:
    """The address of somebody who answers with what they were shown."""

    async def tell(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        shown = dict(context.invocation_metadata() or ()).get("authorization", b"nothing")
        return shown.encode() if isinstance(shown, str) else shown

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Tell": grpc.unary_unary_rpc_method_handler(tell)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("any", handlers),))
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def shown(address: str) -> bytes:
    async with grpc.aio.secure_channel(address, channel_credentials()) as channel:
        any_channel: Any = channel
        return bytes(await any_channel.unary_unary("/any/Tell")(b"", timeout=20))


async def test_a_program_shows_what_the_command_does(
    home: Home, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FXMESH_HOME", str(home.root))
    token = jwt.encode({"exp": time.time() + 60}, "x" * 32)
    home.token("operator").write_text(token)
    assert await shown(listener) == f"Bearer {token}".encode()
    monkeypatch.setenv("FXMESH_KEY", "fxm_a_b")
    assert await shown(listener) == b"Bearer fxm_a_b"


def test_a_program_without_either_learns_where_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FXMESH_KEY", raising=False)
    monkeypatch.delenv("FXMESH_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CliError, match=r"\.fxmesh has no token"):
        channel_credentials()
