"""What a tick, a fill, a roll or a limit brings to an account: a margin call, and closing until it is above
its stop-out level (`margin_watch` says when). Each step is an input of its own, and reaches the paper venue
before the next tick does; a journal that is applied again has them, and nothing is looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services.trading_gateway.domain import margin_watch
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.inputs import CancelOrder, MarginCalled, StoppedOut

if TYPE_CHECKING:
    from services.trading_gateway.domain.engine import Engine


def watch(engine: Engine, scope: str, symbol: str, time_ns: int) -> None:
    """After a tick of a symbol: tell or close what the accounts that it moves have come to."""
    for account in margin_watch.watched(engine.book, scope, symbol):
        look(engine, account, time_ns)


def look(engine: Engine, account: Account, time_ns: int) -> None:
    """Tell or close what an account has come to."""
    if not engine.live:
        return
    _, called, out = margin_watch.standing(engine.book, account)
    if called != account.margin_called:
        account = engine.margin_called(MarginCalled(time_ns, account.account_id, called))
    if out and account.on_paper:  # another venue closes by its own rules
        _close(engine, account, time_ns)


def _close(engine: Engine, account: Account, time_ns: int) -> None:
    """Withdraw what could add risk, then close one position after the other until the level is reached."""
    book = engine.book
    worst = margin_watch.worst_position(book, account, time_ns)
    if worst is None:
        return
    for order in margin_watch.adding_risk(book, account):
        if book.order(order.order_id).final:
            continue  # it went with its parent, or with the order it was linked to
        detail = "the account is below its stop-out level"
        cancel = CancelOrder(time_ns, order.order_id, "STOP_OUT", detail)
        engine.at_once(partial(engine.cancel, cancel))
    while worst is not None:
        of = account.account_id, worst.symbol, worst.position_id
        asked = StoppedOut(time_ns, *of)
        engine.at_once(partial(engine.stopped_out, asked))
        account = book.account(account.account_id)
        closed = book.position(*of).size != worst.size
        _, _, out = margin_watch.standing(book, account)
        worst = margin_watch.worst_position(book, account, time_ns) if out and closed else None
