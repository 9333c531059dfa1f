"""Prices: instruments, quotes, order books."""

from __future__ import annotations

from collections.abc import Sequence

from fxmesh.marketdata.v1 import market_pb2 as market
from fxmesh.marketdata.v1 import service_pb2 as pb

from services.cli import inputs
from services.cli.link import Link
from services.cli.live import LiveTable
from services.cli.render import Table, clock, word

QUOTE_COLUMNS = ("SYMBOL", "BID", "ASK", "QUALITY", "MARKET", "TIME (UTC)", "SESSION")


async def instruments(link: Link, wanted: Sequence[str]) -> None:
    if wanted:
        found = [
            (await link.market.GetInstrument(pb.GetInstrumentRequest(symbol=each))).instrument
            for each in inputs.symbols(wanted)
        ]
        answer = pb.ListInstrumentsResponse(instruments=found)
    else:
        answer = await link.market.ListInstruments(pb.ListInstrumentsRequest())
    rows = [
        (
            each.symbol,
            each.pip_size,
            each.size_step,
            each.minimum_size,
            each.maximum_size,
            each.margin_rate,
            word(each, "market_state"),
            clock(each.next_change),
        )
        for each in answer.instruments
    ]
    headers = ("SYMBOL", "PIP", "STEP", "MINIMUM", "MAXIMUM", "MARGIN", "MARKET", "CHANGES (UTC)")
    link.out.answer(answer, Table(headers, rows, right=headers[1:6]))


async def quotes(link: Link, wanted: Sequence[str]) -> None:
    answer = await link.market.ListQuotes(pb.ListQuotesRequest(symbol=inputs.symbols(wanted)))
    link.out.answer(answer, quote_table(answer.quotes))


async def watch_quotes(link: Link, wanted: Sequence[str]) -> None:
    request = pb.StreamQuotesRequest(symbol=inputs.symbols(wanted))
    latest: dict[str, market.Quote] = {}
    with LiveTable(link.out.live) as table:
        async for answer in link.follow(lambda: link.market.StreamQuotes(request)):
            if not answer.HasField("quote"):
                continue
            quote = answer.quote
            if table.on:
                latest[quote.symbol] = quote
                table.show(quote_table([latest[each] for each in sorted(latest)]))
            else:
                link.out.item(quote, "  ".join(_quote_row(quote)))


def quote_table(quotes: Sequence[market.Quote]) -> Table:
    return Table(
        QUOTE_COLUMNS,
        [_quote_row(each) for each in quotes],
        right=("BID", "ASK"),
        empty="No quotes yet: start a feed, or replay a file with `fxmesh replay FILE`.",
    )


def _quote_row(quote: market.Quote) -> tuple[str, ...]:
    return (
        quote.symbol,
        quote.bid,
        quote.ask,
        word(quote, "quality"),
        word(quote, "market_state"),
        clock(quote.time),
        quote.session_id,
    )


async def books(link: Link, wanted: Sequence[str], depth: int) -> None:
    request = pb.ListOrderBooksRequest(symbol=inputs.symbols(wanted), depth=depth)
    answer = await link.market.ListOrderBooks(request)
    if answer.order_books:
        link.out.answer(answer, *(_book(each) for each in answer.order_books))
    else:
        link.out.answer(answer, "No order books yet.")


async def watch_books(link: Link, wanted: Sequence[str], depth: int) -> None:
    request = pb.StreamOrderBooksRequest(symbol=inputs.symbols(wanted), depth=depth)
    async for answer in link.follow(lambda: link.market.StreamOrderBooks(request)):
        if answer.HasField("order_book"):
            book = answer.order_book
            sides = (
                " ".join(f"{level.size}@{level.price}" for level in side) for side in (book.bids, book.asks)
            )
            link.out.item(book, f"{book.symbol}  {clock(book.time)}  {'  |  '.join(sides)}")


def _book(book: market.OrderBook) -> Table:
    levels = max(len(book.bids), len(book.asks))
    none = market.BookLevel()
    rows = []
    for number in range(levels):
        bid = book.bids[number] if number < len(book.bids) else none
        ask = book.asks[number] if number < len(book.asks) else none
        rows.append((bid.size, bid.price, ask.price, ask.size))
    headers = ("BID SIZE", "BID", "ASK", "ASK SIZE")
    return Table(headers, rows, right=headers, title=f"{book.symbol}  {clock(book.time)}  {book.session_id}")
