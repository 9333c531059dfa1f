"""The limits of an account and how much of each is used: to be looked at before an order is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from services.market.instruments import instrument
from services.money.currencies import currency
from services.money.decimals import format_decimal, format_trimmed
from services.money.exact import decimal_text
from services.money.rounding import Rounding, round_fraction
from services.trading_gateway.domain import valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.limits import LimitSetting, unit_of, value_text


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit and its use, both as decimal text in `unit`."""

    name: str
    limit: str
    used: str
    unit: str
    symbol: str = ""
    set_at_run_time: bool = False


@dataclass(frozen=True, slots=True)
class RiskState:
    """Risk of an account. Exposure is signed, in units of each currency."""

    account: Account
    limits: tuple[Limit, ...]
    exposure: dict[str, str]
    refusals: dict[str, int]


def risk_state(book: Book, account: Account, time_ns: int) -> RiskState:
    """Limits, exposure and refusals of an account at the quotes of the moment."""
    exposures = valuation.exposures(book, book.holdings.open(account.account_id), account.session_id)
    return RiskState(
        account,
        tuple(_limits(book, account, exposures, time_ns)),
        {code: format_trimmed(each.raw, each.digits) for code, each in exposures.items()},
        dict(sorted(book.refusals.get(account.account_id, {}).items())),
    )


def _limits(
    book: Book, account: Account, exposures: dict[str, valuation.Exposure], time_ns: int
) -> list[Limit]:
    """The limits of the account with their use, then what was set for single symbols."""
    limits, at = book.limits.of_account(account.account_id), valuation.valued(book, account)
    view = at.view
    largest_order = max((_worth(book, account, each) for each in _working(book, account)), default=0)
    largest_position = max((_worth(book, account, each) for each in _held(book, account)), default=0)
    largest_exposure = max(
        (valuation.worth(book, account, at, each) or 0 for each in exposures.values()), default=0
    )
    start, peak = account.day_start_equity, account.peak_equity
    level = Fraction(view.equity, view.margin) if view.margin else None
    leverage = book.limits.leverage(account.account_id)
    return [
        _money(account, "order_notional", limits.order_notional, largest_order),
        _money(account, "position_notional", limits.position_notional, largest_position),
        _money(account, "currency_exposure", limits.currency_exposure, largest_exposure),
        _money(account, "margin", view.equity, view.margin),
        _money(account, "daily_loss", int(limits.daily_loss * start), max(start - view.equity, 0)),
        _money(account, "drawdown", int(limits.drawdown * peak), max(peak - view.equity, 0)),
        Limit(
            "order_rate",
            str(limits.orders_per_second),
            str(book.order_rate.lately(account.account_id, time_ns)),
            "orders/s",
        ),
        _share("margin_call", limits.margin_call, level),
        _share("stop_out", limits.stop_out, level),
        Limit("leverage", str(leverage) if leverage else "by instrument", "", "times"),
        *(_set_limit(account, each) for each in book.limits.set_for(account.account_id)),
    ]


def _share(name: str, limit: Fraction, used: Fraction | None) -> Limit:
    """A level: `used` is how far equity is, empty without margin held."""
    shown = "" if used is None else format_trimmed(round_fraction(used * 10_000, Rounding.FLOOR), 4)
    return Limit(name, decimal_text(limit), shown, "share")


def _set_limit(account: Account, setting: LimitSetting) -> Limit:
    name, symbol, code = setting.name, setting.symbol, account.currency
    text = value_text(name, setting.value, symbol, code)
    return Limit(name.value, text, "", unit_of(name, symbol, code), symbol, set_at_run_time=True)


def _working(book: Book, account: Account) -> list[tuple[str, int, int]]:
    """(symbol, size, price) of what works."""
    return [
        (each.symbol, each.remaining, each.limit or each.stop or 0)
        for each in book.working(account.account_id)
    ]


def _held(book: Book, account: Account) -> list[tuple[str, int, int]]:
    """(symbol, size, closing price) of what is open, that of one side of a symbol together."""
    sizes: Counter[tuple[str, bool]] = Counter()
    for each in book.holdings.standing(account.account_id):
        sizes[each.symbol, each.size > 0] += each.size
    return [
        (symbol, abs(size), price)
        for (symbol, _), size in sizes.items()
        if (price := valuation.closing_price(book, account.session_id, symbol, size)) is not None
    ]


def _worth(book: Book, account: Account, traded: tuple[str, int, int]) -> int:
    symbol, size, price = traded
    return valuation.notional(book, account, instrument(symbol), size, price) or 0


def _money(account: Account, name: str, limit: int, used: int) -> Limit:
    digits = currency(account.currency).digits
    return Limit(name, format_decimal(limit, digits), format_decimal(used, digits), account.currency)
