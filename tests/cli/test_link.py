"""Streams that break are opened again, for a while."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli import link as link_module
from services.cli.addresses import Addresses
from services.cli.home import Home
from services.cli.link import Link
from services.cli.reach import ServiceDown
from services.cli.render import Printer
from services.errors import FxError, Kind

GONE = FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "gone")
DOWN = ServiceDown("market_data", ("127.0.0.1:1",), "")


class Streams:
    """Gives each stream asked for its answers, then what it ends with."""

    def __init__(self, *streams: tuple[list[int], Exception | None]) -> None:
        self._streams = iter(streams)

    async def __call__(self) -> AsyncIterator[int]:
        answers, end = next(self._streams)
        for each in answers:
            yield each
        if end is not None:
            raise end


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Link:
    monkeypatch.setattr(link_module, "AGAIN_S", 0.0)
    return Link(Addresses(Home.at(tmp_path)), Printer(False))


async def test_a_stream_that_breaks_goes_on(link: Link, capsys: pytest.CaptureFixture[str]) -> None:
    streams = Streams(([1, 2], GONE), ([], DOWN), ([3], None))
    assert [each async for each in link.follow(streams)] == [1, 2, 3]
    assert capsys.readouterr().err.count("the stream broke") == 1


@pytest.mark.parametrize("failure", [GONE, DOWN, FxError(Kind.NOT_FOUND, "UNKNOWN_SYMBOL", "no")])
async def test_the_first_failure_is_told_at_once(link: Link, failure: Exception) -> None:
    with pytest.raises(type(failure)):
        [each async for each in link.follow(Streams(([], failure)))]


async def test_a_refusal_is_not_tried_again(link: Link) -> None:
    streams = Streams(([1], FxError(Kind.NOT_FOUND, "UNKNOWN_REPLAY", "no")), ([2], None))
    with pytest.raises(FxError, match="UNKNOWN_REPLAY"):
        [each async for each in link.follow(streams)]


async def test_what_does_not_come_back_is_given_up(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "LOST_S", -1.0)
    with pytest.raises(FxError, match="gone"):
        [each async for each in link.follow(Streams(([1], GONE)))]
