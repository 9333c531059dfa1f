"""What a simulated venue keeps of money: cash and positions of the accounts that it was told of.

It settles fills and charges overnight financing by rules and rates of its own, at four decimals whatever the
currency, as brokers do: the books of the gateway have to come to its figures, not it to theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

from services.errors import FxError
from services.market.calendar import civil_day
from services.market.instruments import instrument
from services.money.conversion import ExactAmount, RateQuote, convert
from services.money.exact import exact_text
from services.money.rounding import round_fraction
from services.trading_gateway.domain.conditions import PPM, Conditions
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.opening import next_roll
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Effect, Position, filled
from services.trading_gateway.domain.reports import Busted, CashMoved, Executed, OrderReport, Report
from services.trading_gateway.domain.valuation import cost_digits
from services.trading_gateway.domain.values import CashKind

DIGITS = 4
_YEAR_DAYS = 365


class SimulatedCash:
    """By account: its currency, what it has, what it holds."""

    def __init__(self, conditions: Conditions, quotes: Mapping[str, Quote]) -> None:
        self._conditions = conditions
        self._quotes = quotes
        self._currencies: dict[str, str] = {}
        self._cash: dict[str, Fraction] = {}
        self._positions: dict[tuple[str, str], Position] = {}
        self._fills: dict[tuple[str, str], dict[tuple[str, str], tuple[int, Executed]]] = {}
        """By account and symbol, in the order of filling: side and fill, by order and execution."""
        self._booked: set[tuple[str, str]] = set()
        self._roll_ns = 0

    def fund(self, account_id: str, code: str, cash: str) -> None:
        """It knows the account from now on, with so much in it before anything else."""
        self._currencies[account_id] = code
        self._cash[account_id] = self._cash.get(account_id, Fraction(0)) + Fraction(cash)

    @property
    def balances(self) -> tuple[tuple[str, str], ...]:
        """Cash of the accounts that it was told of."""
        return tuple((each, exact_text(self._cash[each])) for each in sorted(self._currencies))

    def booked(self, moved: CashMoved) -> bool:
        """True for a transaction that it has made."""
        return (moved.account_id, moved.transaction_id) in self._booked

    def settles(self, order: Order) -> bool:
        """False where no quote leads from a profit of the order to its account's currency: it waits."""
        code = self._currencies.get(order.account_id)
        try:
            return code is None or self._converted(Fraction(1), order.symbol, code) is not None
        except FxError:
            return False

    def settled(self, order: Order, report: OrderReport) -> OrderReport:
        """A fill with what it moved in cash."""
        code = self._currencies.get(order.account_id)
        if code is None or not isinstance(report, Executed):
            return report
        effect = self._filled(self._position(order), order.side.sign, report)
        profit = Fraction(effect.realised, 10 ** cost_digits(instrument(order.symbol)))
        return replace(report, commission=0, cash=self._converted(profit, order.symbol, code))

    def hold(self, report: Report, order: Order | None) -> None:
        """What it reports has happened."""
        if isinstance(report, CashMoved):
            self._booked.add((report.account_id, report.transaction_id))
            self._add(report.account_id, report.amount)
        elif isinstance(report, Executed) and order is not None:
            effect = self._filled(self._position(order), order.side.sign, report)
            self._positions[order.account_id, order.symbol] = effect.position
            self._fills.setdefault((order.account_id, order.symbol), {})[
                order.order_id, report.execution_id
            ] = order.side.sign, report
            self._add(order.account_id, report.cash or "0")
        elif isinstance(report, Busted) and order is not None:
            self._positions[order.account_id, order.symbol] = self._without(order, report.execution_id)
            del self._fills[order.account_id, order.symbol][order.order_id, report.execution_id]
            self._add(order.account_id, report.cash or "0")

    def taken_back(self, order: Order, executed: Executed) -> str | None:
        """Cash that moves when a fill is taken back: the difference that it made to all that was realised, at
        the market of now. Raises FxError without a quote.
        """
        code = self._currencies.get(order.account_id)
        if code is None:
            return None
        before, after = self._position(order), self._without(order, executed.execution_id)
        moved = Fraction(
            after.realised_quote - before.realised_quote, 10 ** cost_digits(instrument(order.symbol))
        )
        return self._converted(moved, order.symbol, code)

    def _without(self, order: Order, execution_id: str) -> Position:
        """The position made of all fills but one."""
        key = order.account_id, order.symbol
        position = Position(*key)
        for (order_id, other), (sign, executed) in self._fills[key].items():
            if (order_id, other) != (order.order_id, execution_id):
                position = self._filled(position, sign, executed).position
        return position

    @staticmethod
    def _filled(position: Position, sign: int, executed: Executed) -> Effect:
        return filled(position, sign * executed.size, executed.price, executed.time_ns)

    def rolled(self, time_ns: int) -> Iterator[CashMoved]:
        """Financing of what is held, when a quote is the first after 17:00 New York that this life sees."""
        due, self._roll_ns = self._roll_ns, next_roll(time_ns)
        if not due or time_ns < due or not self._conditions.financing_ppm:
            return
        day = civil_day(due - 1).isoformat()
        for (account_id, symbol), position in sorted(self._positions.items()):
            quote, code = self._quotes.get(symbol), self._currencies.get(account_id)
            if position.flat or quote is None or code is None:
                continue
            ppm = self._conditions.overnight_ppm(account_id, symbol, day)
            value = Fraction(abs(position.size) * quote.bid, 10 ** cost_digits(instrument(symbol)))
            try:
                amount = self._converted(value * ppm / (PPM * _YEAR_DAYS), symbol, code)
            except FxError:
                continue
            name, words = f"financing-{symbol}-{day}", f"{ppm} millionths a year"
            yield CashMoved(due, account_id, name, CashKind.FINANCING, amount, code, symbol, words)

    def _position(self, order: Order) -> Position:
        key = order.account_id, order.symbol
        return self._positions.get(key) or Position(*key)

    def _add(self, account_id: str, amount: str) -> None:
        self._cash[account_id] = self._cash.get(account_id, Fraction(0)) + Fraction(amount)

    def _converted(self, value: Fraction, symbol: str, code: str) -> str:
        """An amount in a symbol's quote currency, in an account's. Raises FxError without a quote."""
        rates = {
            of.symbol: RateQuote(of.base, of.quote, each.bid, each.ask, of.digits)
            for of, each in ((instrument(name), quote) for name, quote in self._quotes.items())
            if each.tradable
        }
        fine = ExactAmount(round_fraction(value * 10**18), 18, instrument(symbol).quote)
        exact = convert(fine, code, rates).exact
        return exact_text(Fraction(round_fraction(exact * 10**DIGITS), 10**DIGITS))
