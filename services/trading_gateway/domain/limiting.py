"""Setting limits at run time: who, when, what was there before."""

from __future__ import annotations

from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.events import RiskLimitChanged
from services.trading_gateway.domain.inputs import SetLimits
from services.trading_gateway.domain.limits import LimitChange, value_text


def set_limits(book: Book, asked: SetLimits) -> list[LimitChange]:
    """What changed; a limit that has the value already is left alone. Raises FxError `UNKNOWN_ACCOUNT`."""
    account = book.account(asked.account_id)
    changes = []
    for setting in asked.settings:
        old = book.limits.value(account.account_id, setting.symbol, setting.name)
        if old == setting.value:
            continue
        of = (setting.symbol, account.currency)
        change = LimitChange(
            number=book.next_limit_change(),
            account_id=account.account_id,
            symbol=setting.symbol,
            name=setting.name,
            old=value_text(setting.name, old, *of),
            new=value_text(setting.name, setting.value, *of),
            changed_by=asked.changed_by,
            reason=asked.reason,
            time_ns=asked.time_ns,
            wall_ns=asked.wall_ns,
        )
        book.put_limit(setting, change)
        book.tell(RiskLimitChanged(change))
        changes.append(change)
    return changes
