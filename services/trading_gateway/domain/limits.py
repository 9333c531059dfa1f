"""Limits that orders are held to, by account and symbol: the settings' own, unless one was set at run time.

A limit set for a symbol of an account comes before one set for the account, that before the settings' own.
Every change is journalled and kept with who made it, why, and what was there before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from services.errors import invalid_field
from services.market.instruments import Instrument, instrument
from services.money.currencies import currency
from services.money.decimals import format_decimal, format_trimmed, parse_decimal
from services.trading_gateway.domain.rules import Rules

_SHARE_DIGITS = 6
_ANY = "EURUSD"
"""Stands for all symbols where a limit is the account's: none of those is ever set for a symbol."""


class LimitName(Enum):
    """What can be limited."""

    TRADABLE = "tradable"
    ORDER_SIZE = "order_size"
    ORDER_NOTIONAL = "order_notional"
    POSITION_NOTIONAL = "position_notional"
    CURRENCY_EXPOSURE = "currency_exposure"
    PRICE_COLLAR = "price_collar"
    PRICE_AGE = "price_age"
    ORDERS_PER_SECOND = "orders_per_second"
    LEVERAGE = "leverage"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    MARGIN_CALL = "margin_call"
    STOP_OUT = "stop_out"
    AUTO_TRADE = "auto_trade"


_MONEY = {LimitName.ORDER_NOTIONAL, LimitName.POSITION_NOTIONAL, LimitName.CURRENCY_EXPOSURE}
_SHARES = {
    LimitName.PRICE_COLLAR: 1,
    LimitName.DAILY_LOSS: 1,
    LimitName.DRAWDOWN: 1,
    LimitName.MARGIN_CALL: 100,
    LimitName.STOP_OUT: 100,
}
"""With the largest value of each."""
_COUNTS = {
    LimitName.TRADABLE: (0, 1),
    LimitName.PRICE_AGE: (1, 86_400),
    LimitName.ORDERS_PER_SECOND: (0, 10_000),
    LimitName.LEVERAGE: (1, 10_000),
    LimitName.AUTO_TRADE: (0, 1),
}
"""With the range of each."""
_OF_AN_ACCOUNT = {
    LimitName.CURRENCY_EXPOSURE,
    LimitName.ORDERS_PER_SECOND,
    LimitName.DAILY_LOSS,
    LimitName.DRAWDOWN,
    LimitName.MARGIN_CALL,
    LimitName.STOP_OUT,
}
"""These mean nothing for one symbol."""
_OF_A_SYMBOL = {
    LimitName.ORDER_SIZE: "is a limit of a symbol: units differ",
    LimitName.AUTO_TRADE: "is set for an account by SetAutoTrade, here for a symbol",
}
_MONEY_DIGITS_MOST = 10**15


@dataclass(frozen=True, slots=True)
class LimitSetting:
    """A limit set for an account, or one symbol of it; no value: as the settings say."""

    account_id: str
    symbol: str
    name: LimitName
    value: int | None


@dataclass(frozen=True, slots=True)
class LimitChange:
    """The audit of one change; values as text, empty for the settings' own."""

    number: int
    """1, 2, 3 … of this gateway."""
    account_id: str
    symbol: str
    name: LimitName
    old: str
    new: str
    changed_by: str
    reason: str
    time_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for an account and a symbol; money in minor units of the account currency."""

    tradable: bool
    order_size: int
    order_notional: int
    position_notional: int
    currency_exposure: int
    price_collar: Fraction
    price_age_ns: int
    orders_per_second: int
    margin_rate: Fraction
    """The instrument's, or the account's leverage where that asks for more."""
    daily_loss: Fraction
    drawdown: Fraction
    margin_call: Fraction
    stop_out: Fraction
    auto_trade: bool
    """Of the symbol; the account has a switch of its own."""


class LimitBook:
    """Limits in force."""

    def __init__(self, rules: Rules, settings: Iterable[LimitSetting] = ()) -> None:
        self._rules = rules
        self._set: dict[tuple[str, str, LimitName], int] = {}
        self._found: dict[tuple[str, str], Limits] = {}
        self.version = 0
        """Grows when anything is set."""
        for each in settings:
            self.put(each)

    def put(self, setting: LimitSetting) -> None:
        """From now on this holds."""
        key = (setting.account_id, setting.symbol, setting.name)
        if setting.value is None:
            self._set.pop(key, None)
        else:
            self._set[key] = setting.value
        self._found.clear()
        self.version += 1

    def set_for(self, account_id: str) -> list[LimitSetting]:
        """What was set at run time for an account, by symbol and name."""
        found = [LimitSetting(*key, value) for key, value in self._set.items() if key[0] == account_id]
        return sorted(found, key=lambda each: (each.symbol, each.name.value))

    def auto_trade_off(self, account_id: str) -> tuple[str, ...]:
        """Symbols of an account whose auto-trading is off, in their order."""
        off = [
            symbol
            for (of, symbol, name), value in self._set.items()
            if name is LimitName.AUTO_TRADE and of == account_id and not value
        ]
        return tuple(sorted(off))

    def value(self, account_id: str, symbol: str, name: LimitName) -> int | None:
        """What was set at run time for exactly that; None for nothing."""
        return self._set.get((account_id, symbol, name))

    def of(self, account_id: str, symbol: str) -> Limits:
        """What holds for a symbol of an account."""
        found = self._found.get((account_id, symbol))
        if found is None:
            found = self._found[account_id, symbol] = self._resolved(account_id, symbol)
        return found

    def of_account(self, account_id: str) -> Limits:
        """What holds for an account, whatever the symbol."""
        return self.of(account_id, _ANY)

    def leverage(self, account_id: str, symbol: str = "") -> int:
        """Largest notional a unit of margin; 0: as the instruments' margin rates say."""
        chosen = self._chosen(account_id, symbol, LimitName.LEVERAGE)
        return self._rules.leverage if chosen is None else chosen

    def _chosen(self, account_id: str, symbol: str, name: LimitName) -> int | None:
        for key in ((account_id, symbol, name), (account_id, "", name)):
            if key in self._set:
                return self._set[key]
        return None

    def _resolved(self, account_id: str, symbol: str) -> Limits:
        rules, of = self._rules, instrument(symbol)

        def number(name: LimitName, default: int) -> int:
            chosen = self._chosen(account_id, symbol, name)
            return default if chosen is None else chosen

        def share(name: LimitName, default: Fraction) -> Fraction:
            chosen = self._chosen(account_id, symbol, name)
            return default if chosen is None else Fraction(chosen, 10**_SHARE_DIGITS)

        age_s = self._chosen(account_id, symbol, LimitName.PRICE_AGE)
        return Limits(
            tradable=bool(number(LimitName.TRADABLE, symbol not in rules.untradable)),
            order_size=number(LimitName.ORDER_SIZE, of.size_max),
            order_notional=number(LimitName.ORDER_NOTIONAL, rules.order_notional),
            position_notional=number(LimitName.POSITION_NOTIONAL, rules.position_notional),
            currency_exposure=number(LimitName.CURRENCY_EXPOSURE, rules.currency_exposure),
            price_collar=share(LimitName.PRICE_COLLAR, rules.price_collar),
            price_age_ns=of.max_price_age_ns if age_s is None else age_s * 1_000_000_000,
            orders_per_second=number(LimitName.ORDERS_PER_SECOND, rules.orders_per_second),
            margin_rate=margin_rate(of, self.leverage(account_id, symbol)),
            daily_loss=share(LimitName.DAILY_LOSS, rules.daily_loss),
            drawdown=share(LimitName.DRAWDOWN, rules.drawdown),
            margin_call=share(LimitName.MARGIN_CALL, rules.margin_call),
            stop_out=share(LimitName.STOP_OUT, rules.stop_out),
            auto_trade=bool(number(LimitName.AUTO_TRADE, 1)),
        )


def margin_rate(of: Instrument, leverage: int) -> Fraction:
    """Share of the notional held: the instrument's, or 1 / leverage where that is more."""
    own = Fraction(of.margin_rate)
    return max(own, Fraction(1, leverage)) if leverage else own


def parse_value(name: LimitName, text: str, symbol: str, code: str) -> int | None:
    """The value of a limit from decimal text, for an account in the currency `code`; None for empty text.

    Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`, naming the limit.
    """
    if symbol and name in _OF_AN_ACCOUNT:
        raise invalid_field("VALIDATION_FAILED", name.value, "is a limit of the account, not of a symbol")
    if not symbol and name in _OF_A_SYMBOL:
        raise invalid_field("VALIDATION_FAILED", name.value, _OF_A_SYMBOL[name])
    if not text:
        return None
    raw = parse_decimal(text, digits_of(name, symbol, code), field=name.value)
    low, high = _COUNTS.get(name, (0, _MONEY_DIGITS_MOST))
    if name in _SHARES:
        high = _SHARES[name] * 10**_SHARE_DIGITS
    if not low <= raw <= high:
        digits = digits_of(name, symbol, code)
        least, most = format_trimmed(low, digits), format_trimmed(high, digits)
        raise invalid_field("VALIDATION_FAILED", name.value, f"must be from {least} to {most}")
    return raw


def value_text(name: LimitName, value: int | None, symbol: str, code: str) -> str:
    """A limit as text; empty for none."""
    if value is None:
        return ""
    digits = digits_of(name, symbol, code)
    return format_decimal(value, digits) if name in _MONEY else format_trimmed(value, digits)


def digits_of(name: LimitName, symbol: str, code: str) -> int:
    """Decimals of a limit's whole number."""
    if name in _MONEY:
        return currency(code).digits
    if name is LimitName.ORDER_SIZE:
        return instrument(symbol).size_digits
    return _SHARE_DIGITS if name in _SHARES else 0


def unit_of(name: LimitName, symbol: str, code: str) -> str:
    """What a limit counts."""
    if name in _MONEY:
        return code
    if name is LimitName.ORDER_SIZE:
        return instrument(symbol).base
    units = {
        LimitName.PRICE_AGE: "s",
        LimitName.ORDERS_PER_SECOND: "orders/s",
        LimitName.TRADABLE: "0 or 1",
        LimitName.AUTO_TRADE: "0 or 1",
    }
    return "share" if name in _SHARES else units.get(name, "times")
