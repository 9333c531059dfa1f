"""One correlation id over every hop and shape."""

from __future__ import annotations

import pytest

from services.runtime import context
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo, Serve


async def test_the_id_of_the_context_reaches_every_shape(echo: Echo) -> None:
    context.correlation_id.set("order-7")
    texts = [
        (await echo.stub.Unary(Request())).text,
        (await echo.stub.Gather(iter([Request()]))).text,
        *[each.text async for each in echo.stub.Spread(Request(count=1))],
        *[each.text async for each in echo.stub.Converse(iter([Request()]))],
    ]
    assert texts == ["order-7"] * 4


async def test_the_id_is_the_same_two_hops_on(serve: Serve) -> None:
    context.correlation_id.set("order-8")
    async with serve() as last, serve(onward=last.stub) as first:
        with pytest.raises(Exception, match="INTERNAL"):
            await first.stub.Unary(Request(text="onward crash"))
        assert (await first.stub.Unary(Request())).text == "order-8"


async def test_calls_outside_any_request_get_an_id_each(echo: Echo) -> None:
    first, second = [(await echo.stub.Unary(Request())).text for _ in range(2)]
    assert first == "client-00000001"
    assert second == "client-00000002"


@pytest.mark.parametrize("unfit", ["two words", "x" * 200, 'quote"'])
async def test_an_id_unfit_for_a_log_line_is_replaced(echo: Echo, unfit: str) -> None:
    context.correlation_id.set(unfit)
    assert (await echo.stub.Unary(Request())).text == "server-00000001"
