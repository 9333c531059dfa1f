"""Settings of trading: FXMESH_TRADING_GATEWAY_<FIELD>. Shares are decimal text, so that limits are exact."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from services.market.instruments import ACCOUNT_CURRENCIES, INSTRUMENTS
from services.runtime.settings import CommaSeparated, service_config
from services.trading_gateway.adapters.financing import read_table
from services.trading_gateway.domain.autotrade import PPM, Policy
from services.trading_gateway.domain.conditions import Conditions
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.handlers.accounts import FirstAccount
from services.trading_gateway.handlers.desk import Conduct
from services.trading_gateway.handlers.reading import ReplayAccounts
from services.trading_gateway.handlers.sending import Patience


def _number(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a decimal number such as 0.05") from None
    if not value.is_finite() or value < 0:
        raise ValueError("must be a number from zero up")
    return text


def _share(text: str) -> str:
    if Decimal(_number(text)) > 1:
        raise ValueError("must be a share from 0 to 1")
    return text


def _amount(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", text) is None:
        raise ValueError("must be an amount such as 100000 or 100000.00")
    return text


def _currency(code: str) -> str:
    if code not in ACCOUNT_CURRENCIES:
        raise ValueError(f"must be one of {', '.join(ACCOUNT_CURRENCIES)}")
    return code


def _account(name: str) -> str:
    if name and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is None:
        raise ValueError("must be letters, digits, _ and - (at most 64), or empty")
    return name


def _known(symbols: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [symbol for symbol in symbols if symbol not in INSTRUMENTS]
    if unknown:
        raise ValueError(f"no instrument {', '.join(unknown)}")
    return symbols


def _funds(text: str) -> tuple[str, str, str]:
    account, code, cash = text.split(":")
    return account, code, cash


def _funded(accounts: tuple[str, ...]) -> tuple[str, ...]:
    for each in accounts:
        if each.count(":") != 2:
            raise ValueError(f"{each!r} is not NAME:CURRENCY:CASH")
        account, code, cash = _funds(each)
        if not _account(account):
            raise ValueError(f"{each!r} names no account")
        _currency(code)
        _amount(cash)
    return accounts


def _financing(path: str) -> str:
    read_table(path)
    return path


def _database(address: SecretStr) -> SecretStr:
    if address.get_secret_value():
        # The driver is loaded by those who use it.
        from services.runtime.postgres import database_address

        database_address(address.get_secret_value())
    return address


Number = Annotated[str, AfterValidator(_number)]
Share = Annotated[str, AfterValidator(_share)]
Amount = Annotated[str, AfterValidator(_amount)]
CurrencyCode = Annotated[str, AfterValidator(_currency)]


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("trading_gateway")

    database_url: Annotated[SecretStr, AfterValidator(_database)] = SecretStr("")
    """PostgreSQL database of the books, postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Several gateways may
    share it, of which one trades. Empty: a SQLite file in the data folder, for one process.
    """
    lease_seconds: float = Field(default=5.0, ge=3, le=300)
    """How long after its last sign of life another gateway takes over; the one that gave none stops trading a
    second before. Signs come every second: a machine that stands still for longer needs more.
    """
    demo_account: Annotated[str, AfterValidator(_account)] = "demo"
    """Account opened at the first start, trading signals on the live market. Empty: none."""
    demo_currency: CurrencyCode = "USD"
    """Its currency. Only pairs that lead to it through a live quote can be traded."""
    demo_deposit: Amount = "100000"
    """Its first deposit, in its currency."""
    replay_currency: CurrencyCode = "USD"
    """Currency of a replay's account; a pair without it is traded in its own quote currency instead, because
    no other price of that time is there to convert at.
    """
    replay_deposit: Amount = "100000"
    """Its deposit. A currency without cents gets a hundred times as many units."""

    commission_per_million: Number = "0"
    """Charged on the notional of each fill, per million, in the account currency; rounded half-even per fill.
    """
    financing_file: Annotated[str, AfterValidator(_financing)] = ""
    """Rates of overnight financing (docs/trading.md has the format). Empty: the table that ships, whose rates
    are invented for paper trading. "none": positions are kept for nothing.
    """
    max_order_notional: Amount = "5000000"
    """Largest order, in the account currency (as for all amounts here: yen count a hundred times)."""
    max_position_notional: Amount = "10000000"
    """Largest position a symbol may come to, with everything that works on its side filled."""
    max_currency_exposure: Amount = "20000000"
    """Largest net exposure to one currency. Orders that make it smaller pass."""
    leverage: int = Field(default=0, ge=0, le=10_000)
    """Largest notional for each unit of margin, where that asks for more than the instrument's margin rate
    (3.33 % for majors); 0: those alone.
    """
    margin_call: Number = "1"
    """Equity as a share of the margin held below which an account is told (MarginCallChanged)."""
    stop_out: Number = "0.5"
    """Equity as a share of the margin held below which positions are closed, the largest loss first. The half
    is what ESMA prescribes for retail accounts (2018/796).
    """
    price_collar: Share = "0.05"
    """Share of the quote that a limit or stop price may be away from it; protects from typing errors. Orders
    further away are refused, resting ones too.
    """
    max_orders_per_second: int = Field(default=20, ge=1)
    """Per account and second of market time; what only reduces a position is not counted."""
    daily_loss_limit: Share = "0.10"
    """Share of the equity at 17:00 New York that may be lost until the next; beyond it only reducing passes.
    """
    drawdown_limit: Share = "0.30"
    """The same from the account's peak; lasts until the account is above that again. The peak is the highest
    equity at a fill, at 17:00 New York and after cash of a venue, not what open positions were worth between.
    """
    max_outbox_backlog: int = Field(default=10_000, ge=0)
    """Events waiting for the bus above which no new risk is taken: nobody outside would see it."""
    untradable_symbols: Annotated[CommaSeparated, AfterValidator(_known)] = ()
    """Symbols for which every order is refused."""
    paper_seed: int = Field(default=0, ge=0)
    """What the paper venue draws from: the same seed does the same to the same orders."""
    paper_slippage_ticks: int = Field(default=0, ge=0, le=1_000)
    """Most that a fill at market is worse than the quote; each is worse by up to as much."""
    paper_latency_ms: int = Field(default=0, ge=0, le=60_000)
    """Market time before a new order may fill: it misses the quotes before."""
    paper_partial_fills: Share = "0"
    """Share of fills that get only a part of what the quote holds."""
    paper_rejects: Share = "0"
    """Share of orders that the paper venue refuses."""
    paper_lost: Share = "0"
    """Share of orders that never reach it: UNKNOWN until it is asked, then rejected with NOT_AT_VENUE."""
    paper_unanswered: Share = "0"
    """Share of orders that it works without saying so: UNKNOWN until they fill or it is asked."""
    paper_settle_seconds: int = Field(default=5, ge=1, le=600)
    """Market time after which it is asked for an order that it did not answer."""
    paper_disconnects: Share = "0"
    """Share of requests after which the session with the simulated venue drops."""
    simulated_venue: Annotated[str, AfterValidator(_account)] = ""
    """Name of a simulated venue outside, with books of its own in `<name>.venue.db`: what an account opened
    on it goes through is what one at a broker would, under the conditions above. The file is this process's
    alone: not for several gateways. Empty: none.
    """
    simulated_accounts: Annotated[CommaSeparated, AfterValidator(_funded)] = ()
    """Accounts whose cash the simulated venue keeps, each NAME:CURRENCY:CASH, and what they begin with there:
    open them with that deposit. Of others it tells orders and positions only.
    """
    simulated_financing: Share = "0"
    """Largest annual rate, received or paid, that it finances their positions at each 17:00 New York."""
    simulated_busts: Share = "0"
    """Share of its fills that it takes back at the next quote of the symbol: what a trade that an exchange
    busts does to the books.
    """
    venue_answer_seconds: float = Field(default=5.0, gt=0, le=60)
    """How long a venue outside may take to answer; after that the outcome is unknown."""
    venue_settle_seconds: float = Field(default=5.0, gt=0, le=600)
    """How long after that it may still get an order. Then it is asked, and what it does not have is gone."""
    venue_audit_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How often the books are compared with what it holds. A report that never came is found by then."""
    feed_stale_seconds: float = Field(default=2.0, gt=0, le=60)
    """Silence of the live tick stream after which no order is taken. Market data sends a heartbeat a second.
    """

    auto_threshold: Share = "0.2"
    """Least strength × probability of a signal that is traded. Higher: fewer and stronger trades."""
    auto_unpredicted: Share = "0.5"
    """Stands for the probability where no model answered; 0 trades predicted signals only."""
    auto_risk: Share = "0.005"
    """Share of the equity an automatic entry loses when its stop is hit at its price."""
    auto_stop_ranges: Number = "2"
    """Distance of the protective stop in average true ranges (14 bars). Smaller: larger size, hit more often.
    """
    auto_leverage: Number = "3"
    """Largest notional of an automatic entry as a multiple of the equity."""
    auto_flip: bool = True
    """A signal against the position turns it; off: it only closes it."""
    signal_wait_seconds: float = Field(default=20.0, gt=0, le=600)
    """How long a signal of the live market waits for the ticks it rests on before it is decided about anyway.
    """
    drift_reduces: bool = False
    """Let ModelDriftDetected set auto-trading accounts to REDUCING; off: it is logged and counted only.
    Setting them back is a person's decision.
    """

    mark_seconds: float = Field(default=5.0, gt=0, le=60)
    """How often the progress of ticks is stored while nothing else is. After a crash that much is read again.
    """

    def conduct(self) -> Conduct:
        """How the desk trades."""
        return Conduct(self._rules(), self._policy(), self.feed_stale_seconds)

    def first_account(self) -> FirstAccount:
        """The account that exists from the first start."""
        return FirstAccount(self.demo_account, self.demo_currency, self.demo_deposit)

    def replay_accounts(self) -> ReplayAccounts:
        """How the account of a replay is opened."""
        return ReplayAccounts(self.replay_currency, self.replay_deposit)

    def patience(self) -> Patience:
        """How long venues outside are waited for."""
        return Patience(self.venue_answer_seconds, self.venue_settle_seconds, self.venue_audit_seconds)

    def _rules(self) -> Rules:
        return Rules(
            commission_per_million=Fraction(self.commission_per_million),
            financing=read_table(self.financing_file),
            price_collar=Fraction(self.price_collar),
            order_notional=_minor_units(self.max_order_notional),
            position_notional=_minor_units(self.max_position_notional),
            currency_exposure=_minor_units(self.max_currency_exposure),
            orders_per_second=self.max_orders_per_second,
            daily_loss=Fraction(self.daily_loss_limit),
            drawdown=Fraction(self.drawdown_limit),
            leverage=self.leverage,
            margin_call=Fraction(self.margin_call),
            stop_out=Fraction(self.stop_out),
            outbox_backlog=self.max_outbox_backlog,
            untradable=frozenset(self.untradable_symbols),
            paper=self.conditions(),
        )

    def conditions(self) -> Conditions:
        """How far paper and simulated venues are from perfect ones."""
        return Conditions(
            seed=self.paper_seed,
            slippage_ticks=self.paper_slippage_ticks,
            latency_ns=self.paper_latency_ms * 1_000_000,
            partial_ppm=int(Fraction(self.paper_partial_fills) * PPM),
            reject_ppm=int(Fraction(self.paper_rejects) * PPM),
            lost_ppm=int(Fraction(self.paper_lost) * PPM),
            unanswered_ppm=int(Fraction(self.paper_unanswered) * PPM),
            drop_ppm=int(Fraction(self.paper_disconnects) * PPM),
            financing_ppm=int(Fraction(self.simulated_financing) * PPM),
            bust_ppm=int(Fraction(self.simulated_busts) * PPM),
            settle_ns=self.paper_settle_seconds * 1_000_000_000,
        )

    def funds(self) -> list[tuple[str, str, str]]:
        """Account, currency and cash of the accounts whose cash the simulated venue keeps."""
        return [_funds(each) for each in self.simulated_accounts]

    def _policy(self) -> Policy:
        return Policy(
            threshold_ppm=int(Fraction(self.auto_threshold) * PPM),
            unpredicted_ppm=int(Fraction(self.auto_unpredicted) * PPM),
            risk_share=Fraction(self.auto_risk),
            stop_ranges=Fraction(self.auto_stop_ranges),
            leverage=Fraction(self.auto_leverage),
            flip=self.auto_flip,
        )


def _minor_units(amount: str) -> int:
    return int(Fraction(amount) * 100)
