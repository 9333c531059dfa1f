"""A state machine over orders, ledger and risk: whatever is done in whatever order, the books prove right.

After every step each account is proved from its fills and postings, and no account holds what its limits
forbid it to add. At the end the journal and the ticks give everything again, byte for byte.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.errors import FxError
from services.market.instruments import instrument
from services.trading_gateway.domain.inputs import SetLimits, SetTradingState
from services.trading_gateway.domain.limits import LimitName, LimitSetting
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import (
    OrderStatus,
    OrderType,
    PositionMode,
    Side,
    TradingState,
)
from tests.trading_gateway.domain.test_whole_runs import OVERNIGHT, books, events, ticks_of
from tests.trading_gateway.kit import SECOND, START, Floor

RULES = Rules(commission_per_million=Fraction(35), financing=OVERNIGHT, orders_per_second=5)
PRICES = {"EURUSD": 110_000, "USDJPY": 110_000, "EURJPY": 121_000, "EURGBP": 80_000, "USDCHF": 88_000}
ACCOUNTS = {"demo": "USD", "euros": "EUR", "pounds": "GBP", "yen": "JPY", "hedged": "CHF"}
MODES = {"hedged": PositionMode.HEDGING}
symbols, accounts = st.sampled_from(sorted(PRICES)), st.sampled_from(sorted(ACCOUNTS))


class Trading(RuleBasedStateMachine):
    """One floor, five accounts in five currencies, one of them hedging."""

    @initialize()
    def begin(self) -> None:
        self.floor = Floor(RULES)
        self.prices = dict(PRICES)
        self.keys = 0
        self.floor.announce()
        for account, currency in ACCOUNTS.items():
            mode = MODES.get(account, PositionMode.NETTING)
            deposit = 300_000 if currency == "JPY" else 200_000
            self.floor.open(account, deposit=deposit, currency=currency, mode=mode)
        for symbol in PRICES:
            self.tick(symbol, 0, 1)

    @rule(symbol=symbols, move=st.integers(-45, 45), pause=st.sampled_from((1, 1, 1, 30, 90_000)))
    def tick(self, symbol: str, move: int, pause: int) -> None:
        """A tick, after a second or after more than a day with its roll."""
        of = instrument(symbol)
        self.prices[symbol] += move
        quote = (of.price_text(self.prices[symbol]), of.price_text(self.prices[symbol] + 10))
        self.floor.tick(quote, quote, symbol=symbol, at_ns=self.floor.now_ns + pause * SECOND)

    @rule(account=accounts, symbol=symbols, side=st.sampled_from(Side), size=st.integers(1, 60_000))
    def market(self, account: str, symbol: str, side: Side, size: int) -> None:
        self.keys += 1
        self.floor.place(f"m{self.keys}", side, str(size), symbol=symbol, account=account)

    @rule(
        account=accounts,
        symbol=symbols,
        side=st.sampled_from(Side),
        size=st.integers(1, 9_000),
        away=st.integers(-60, 60),
        type_=st.sampled_from((OrderType.LIMIT, OrderType.STOP)),
    )
    def resting(self, account: str, symbol: str, side: Side, size: int, away: int, type_: OrderType) -> None:
        self.keys += 1
        price = instrument(symbol).price_text(self.prices[symbol] + away)
        self.floor.place(
            f"r{self.keys}",
            side,
            str(size),
            type_=type_,
            symbol=symbol,
            account=account,
            limit=price if type_ is OrderType.LIMIT else "",
            stop=price if type_ is OrderType.STOP else "",
        )

    @precondition(lambda self: bool(self.floor.engine.book.holdings.open("hedged")))
    @rule(which=st.integers(0, 1_000), size=st.integers(1, 60_000))
    def close(self, which: int, size: int) -> None:
        """A position by its id, wholly or in part; what is more than it holds is not traded."""
        held = self.floor.engine.book.holdings.open("hedged")
        ticket = held[which % len(held)]
        self.keys += 1
        self.floor.place(
            f"c{self.keys}",
            Side.of(-ticket.size),
            str(size),
            symbol=ticket.symbol,
            account="hedged",
            position=ticket.position_id,
        )

    @precondition(lambda self: bool(self.floor.engine.book.working()))
    @rule(which=st.integers(0, 1_000))
    def cancel(self, which: int) -> None:
        working = self.floor.engine.book.working()
        try:
            self.floor.cancel(working[which % len(working)])
        except FxError:
            self.floor.settle()

    @rule(
        account=accounts,
        limit=st.sampled_from(
            (
                (LimitName.ORDER_NOTIONAL, 1_000_000),
                (LimitName.ORDER_NOTIONAL, None),
                (LimitName.LEVERAGE, 10),
                (LimitName.LEVERAGE, None),
                (LimitName.STOP_OUT, 2_000_000),
                (LimitName.MARGIN_CALL, 3_000_000),
                (LimitName.STOP_OUT, None),
            )
        ),
    )
    def limit(self, account: str, limit: tuple[LimitName, int | None]) -> None:
        setting = LimitSetting(account, "", *limit)
        self.floor.engine.set_limits(SetLimits(self.floor.now_ns, account, (setting,), "key:ada", "", START))
        self.floor.settle()

    @rule(account=accounts, state=st.sampled_from(TradingState))
    def switch(self, account: str, state: TradingState) -> None:
        self.floor.engine.set_trading_state(SetTradingState(self.floor.now_ns, account, state, "drill"))
        self.floor.settle()

    @invariant()
    def the_books_prove_right(self) -> None:
        book, stored = self.floor.engine.book, self.floor.stored
        for account in book.accounts.values():
            of = account.account_id
            result = reconcile(
                account,
                {each.name: each for each in book.positions_of(of)},
                [fill for changes in stored for fill in changes.fills if fill.account_id == of],
                [each for changes in stored for each in changes.transactions if each.account_id == of],
            )
            assert result.reconciled, [line for line in result.lines if not line.equal]

    @invariant()
    def risk_is_kept(self) -> None:
        book = self.floor.engine.book
        for order in book.orders.values():
            assert 0 <= order.filled <= order.size
            assert order.status is not OrderStatus.PLACED
        for account in book.accounts.values():
            held = {each.symbol for each in book.positions_of(account.account_id) if not each.flat}
            assert book.open_symbols.get(account.account_id, set()) == held
            assert account.balance - account.deposited == (
                account.realised - account.commission + account.financing
            )

    @invariant()
    def open_orders_are_found_as_they_are(self) -> None:
        book = self.floor.engine.book
        at_work = sorted(
            (each for each in book.orders.values() if not each.final), key=lambda each: each.number
        )
        assert book.working() == at_work
        for account, symbol, side in itertools.product(book.accounts, self.prices, Side):
            of = [each for each in at_work if (each.account_id, each.symbol) == (account, symbol)]
            reducing = [each for each in of if each.reduce_only]
            assert book.reducing(account, symbol) == reducing
            adding = (each.remaining for each in of if each.side is side and each not in reducing)
            assert book.adding(account, symbol, side) == sum(adding)

    def teardown(self) -> None:
        """The journal gives it all again."""
        if not hasattr(self, "floor"):
            return
        self.floor.engine.journal.mark_all()
        self.floor.settle()
        entries = [entry for changes in self.floor.stored for entry in changes.journal]
        again = replay(RULES, self.floor.policy, entries, ticks_of(self.floor.batches))
        made = [again.take_changes()]
        assert books(again.book, made) == books(self.floor.engine.book, self.floor.stored)
        assert events(made) == events(self.floor.stored)


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
