"""The cash ledger of an account, and the double entry behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2 as trading

from services.cli.link import Link
from services.cli.render import Table, clock, word

_PAGE = 1000


async def ledger(link: Link, account: str, limit: int) -> None:
    """The last entries of the cash ledger."""
    stub = link.trading
    entries = await _last(stub.ListLedgerEntries, pb.ListLedgerEntriesRequest, "entries", account, limit)
    rows = [
        (
            str(each.entry),
            clock(each.time),
            word(each, "kind"),
            each.symbol,
            each.amount,
            each.balance,
            each.conversion_path or each.detail,
        )
        for each in entries
    ]
    headers = ("ENTRY", "TIME (UTC)", "WHAT", "SYMBOL", "AMOUNT", "BALANCE", "AT")
    shown = pb.ListLedgerEntriesResponse(entries=entries)
    right = ("ENTRY", "AMOUNT", "BALANCE")
    link.out.answer(shown, Table(headers, rows, right=right, empty="No entries."))


async def postings(link: Link, account: str, limit: int) -> None:
    """The last double-entry transactions, a posting a row."""
    stub = link.trading
    found = await _last(stub.ListTransactions, pb.ListTransactionsRequest, "transactions", account, limit)
    rows = [row for each in found for row in _posting_rows(each)]
    headers = ("NUMBER", "TIME (UTC)", "WHAT", "LEDGER ACCOUNT", "AMOUNT", "CUR", "EXACT")
    shown = pb.ListTransactionsResponse(transactions=found)
    right = ("NUMBER", "AMOUNT")
    link.out.answer(shown, Table(headers, rows, right=right, empty="No transactions."))


def _posting_rows(of: trading.Transaction) -> list[tuple[str, ...]]:
    first = (str(of.number), clock(of.time), word(of, "kind"))
    return [
        (*(first if not index else ("", "", "")), each.ledger_account, each.amount, each.currency, each.exact)
        for index, each in enumerate(of.postings)
    ]


async def _last(
    method: Callable[[Any], Awaitable[Any]], request: Any, field: str, account: str, limit: int
) -> list[Any]:
    """The last ones of a list that begins with the oldest."""
    found: deque[Any] = deque(maxlen=limit)
    token = ""
    while True:
        page = await method(request(account_id=account, page_size=_PAGE, page_token=token))
        found.extend(getattr(page, field))
        token = page.next_page_token
        if not token:
            return list(found)
