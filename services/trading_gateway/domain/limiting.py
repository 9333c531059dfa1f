"""Setting limits and the switches of auto-trading at run time: who, when, what was there before."""

from __future__ import annotations

from dataclasses import replace

from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.events import RiskLimitChanged
from services.trading_gateway.domain.inputs import SetAutoTrade, SetLimits
from services.trading_gateway.domain.limits import LimitChange, LimitName, LimitSetting, value_text


def set_limits(book: Book, asked: SetLimits) -> list[LimitChange]:
    """What changed; a limit that has the value already is left alone. Raises FxError `UNKNOWN_ACCOUNT`."""
    account = book.account(asked.account_id)
    changes = []
    for setting in asked.settings:
        old = book.limits.value(account.account_id, setting.symbol, setting.name)
        if old != setting.value:
            change = _change(book, account, asked, setting, old)
            book.put_limit(setting, change)
            book.tell(RiskLimitChanged(change))
            changes.append(change)
    return changes


def set_auto_trade(book: Book, asked: SetAutoTrade) -> Account:
    """The switch of an account or of one symbol of it; one that stands so already is left alone.

    Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`.
    """
    account = book.account(asked.account_id)
    setting = LimitSetting(account.account_id, asked.symbol, LimitName.AUTO_TRADE, int(asked.auto_trade))
    if asked.symbol:
        old = int(book.limits.of(account.account_id, asked.symbol).auto_trade)
        if old != setting.value:
            change = _change(book, account, asked, setting, old)
            book.put_limit(setting, change)
            book.tell(RiskLimitChanged(change))
        return account
    if account.auto_trade == asked.auto_trade:
        return account
    change = _change(book, account, asked, setting, int(account.auto_trade))
    account = book.put_account(replace(account, auto_trade=asked.auto_trade), asked.time_ns)
    book.changes.limit_changes.append(change)
    book.tell(RiskLimitChanged(change))
    book.tell_account(account)
    return account


def _change(
    book: Book, account: Account, asked: SetLimits | SetAutoTrade, setting: LimitSetting, old: int | None
) -> LimitChange:
    """The audit of a change."""
    of = (setting.symbol, account.currency)
    return LimitChange(
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
