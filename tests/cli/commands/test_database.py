"""`database copy`."""

import asyncio
from pathlib import Path

import pytest

from services.runtime.data_dir import DataDir
from services.trading_gateway.domain.values import Side
from tests.cli.commands.conftest import Fxmesh
from tests.kit.databases import Databases
from tests.kit.postgres import PostgresServer, postgres
from tests.trading_gateway.world import World

__all__ = ["postgres"]


def books(folder: Path) -> Path:
    async def trade() -> None:
        world = World(folder)
        await world.start()
        await world.announce()
        await world.tick(("1.10000", "1.10010"))
        await world.place("a", Side.BUY)
        await world.stop()

    folder.mkdir(parents=True)
    asyncio.run(trade())
    return folder / "trading.db"


@pytest.mark.postgres
@pytest.mark.integration
def test_the_books_of_a_stopped_platform_are_copied_once(
    typed: Fxmesh, tmp_path: Path, postgres: PostgresServer
) -> None:
    file = books(tmp_path / "home" / "data" / "trading_gateway")
    target = Databases(postgres).address(tmp_path)
    held = DataDir(file.parent)
    used = typed("database", "copy", "--to", target, "--json")
    assert (used.code, used.error["reason"]) == (4, "BOOKS_IN_USE")
    held.close()
    done = typed("database", "copy", "--to", target)
    assert (done.code, done.err) == (0, "")
    assert ["orders", "1"] in [line.split()[:2] for line in done.out.splitlines()]
    assert "Copied and compared" in done.out
    undo = ("database", "copy", "--undo")
    held = DataDir(file.parent)
    assert typed(*undo, "--json").error["reason"] == "BOOKS_IN_USE"
    held.close()
    back = typed(*undo)
    assert (back.code, back.err) == (0, "")
    assert f"A gateway may work on {file} again. What was traded at postgresql://" in back.out
    assert "never copied away" in typed(*undo).out
    again = typed("database", "copy", "--from", f"sqlite:///{file}", "--to", target, "--json")
    assert (again.code, again.error["reason"]) == (4, "BOOKS_NOT_EMPTY")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--to", "sqlite:///other.db"), 2, "USAGE"),
        ((), 2, "USAGE"),
        (("--to", "postgresql://host/db", "--from", "postgresql://host/other"), 2, "USAGE"),
        (("--to", "postgresql://host/db"), 1, "NO_BOOKS"),
    ],
)
def test_what_cannot_be_copied_is_said(
    typed: Fxmesh, tmp_path: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    if reason == "USAGE":
        books(tmp_path / "home" / "data" / "trading_gateway")
    failed = typed("database", "copy", *arguments, "--json")
    assert (failed.code, failed.error["reason"]) == (code, reason)


def test_a_server_that_is_away_is_said_without_its_password(typed: Fxmesh, tmp_path: Path) -> None:
    books(tmp_path / "home" / "data" / "trading_gateway")
    target = f"postgresql://ada:hidden@/db?host={tmp_path}"
    failed = typed("database", "copy", "--to", target, "--json")
    assert (failed.code, failed.error["reason"]) == (5, "STORE_UNAVAILABLE")
    assert "hidden" not in failed.out + failed.err
