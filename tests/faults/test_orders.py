"""An order whose answer is lost on the way back: the outcome is unknown, and the key finds it, once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.types.v1 import market_pb2

from services.cli.addresses import Addresses
from services.cli.home import Home
from services.cli.link import Link
from services.cli.output import CliError
from services.cli.render import Printer
from services.errors import FxError, Kind
from tests.kit.live import eventually
from tests.kit.proxy import proxy
from tests.kit.served import Served, served

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("orders")) as running:
        yield running


@pytest.mark.parametrize("lost", ["the answer", "the request"])
async def test_an_order_without_an_answer_is_found_and_placed_once(platform: Served, lost: str) -> None:
    key = uuid.uuid4().hex
    order = trading.PlaceOrderRequest(
        account_id="demo",
        client_order_id=key,
        symbol="EURUSD",
        side=market_pb2.SIDE_BUY,
        type=trading_pb2.ORDER_TYPE_MARKET,
        size="1000",
    )
    find = trading.FindOrderRequest(account_id="demo", client_order_id=key)
    async with proxy(int(platform.address.rpartition(":")[2])) as way:
        link = Link(Addresses(Home.at(Path("nowhere")), {"all": way.address}), Printer(as_json=True))
        try:
            await eventually(lambda: _trades(link))
            (way.to_client if lost == "the answer" else way.to_server).dropping = True
            placing = asyncio.ensure_future(link.trading.PlaceOrder(order, timeout=2))
            with pytest.raises((FxError, CliError)) as unknown:
                await placing
            assert getattr(unknown.value, "kind", Kind.UNAVAILABLE) in (
                Kind.DEADLINE_EXCEEDED,
                Kind.UNAVAILABLE,
            )
            way.heal()
            await eventually(lambda: _reached(link))  # what lost bytes is reset, and connected anew
            if lost == "the answer":
                found = (await link.trading.FindOrder(find, timeout=10)).order
            else:
                with pytest.raises(FxError, match="no order"):
                    await link.trading.FindOrder(find, timeout=10)
                found = None
            again = (await link.trading.PlaceOrder(order, timeout=10)).order
            assert found is None or found.order_id == again.order_id
            listed = await link.trading.ListOrders(trading.ListOrdersRequest(account_id="demo"), timeout=10)
            assert [each.client_order_id for each in listed.orders].count(key) == 1
        finally:
            await link.close()


async def _reached(link: Link) -> bool:
    """Trading answers."""
    try:
        await link.trading.ListAccounts(trading.ListAccountsRequest(), timeout=10)
    except (FxError, CliError):
        return False
    return True


async def _trades(link: Link) -> bool:
    """The demo account exists and there are prices to trade at."""
    order = trading.PlaceOrderRequest(
        account_id="demo",
        client_order_id=uuid.uuid4().hex,
        symbol="EURUSD",
        side=market_pb2.SIDE_SELL,
        type=trading_pb2.ORDER_TYPE_MARKET,
        size="1000",
    )
    try:
        return bool((await link.trading.PlaceOrder(order, timeout=10)).order.order_id)
    except FxError:
        return False
