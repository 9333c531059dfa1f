"""Accounts, the kill switch, cash and limits through the desk and the real store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.errors import FxError, Kind
from services.trading_gateway.config import Settings
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.events import AccountView
from services.trading_gateway.domain.limits import LimitName
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.values import LedgerKind, OrderStatus, OrderType, Side, TradingState
from services.trading_gateway.ports import Told
from tests.trading_gateway.kit import REPLAY_SESSION
from tests.trading_gateway.world import World


async def test_the_demo_account_is_there_from_the_first_start_and_opened_once(world: World) -> None:
    view = await world.accounts.get("demo")
    assert (view.account.balance, view.account.currency, view.account.auto_trade) == (10_000_000, "USD", True)
    await world.restart()
    assert [each.account.account_id for each in await world.accounts.all()] == ["demo"]
    assert (await world.accounts.get("demo")).account.ledger_entries == 1


async def test_without_a_name_no_demo_account_is_opened(tmp_path: Path) -> None:
    world = World(tmp_path, Settings(demo_account=""))
    await world.start()
    assert await world.accounts.all() == []
    await world.stop()


async def test_opening_an_account_once_per_request(world: World) -> None:
    opened = await world.accounts.open("r1", "yen", "JPY", "5000000", auto_trade=False)
    assert (opened.account.balance, opened.account.currency) == (5_000_000, "JPY")
    assert await world.accounts.open("r1", "yen", "JPY", "5000000", auto_trade=False) == opened
    for request, name, reason in (
        ("r2", "yen", "ACCOUNT_EXISTS"),
        ("r1", "other", "REQUEST_ID_REUSED"),
        ("r3", "replay-x", "ACCOUNT_EXISTS"),
    ):
        with pytest.raises(FxError) as caught:
            await world.accounts.open(request, name, "JPY", "5000000", auto_trade=False)
        assert (caught.value.kind, caught.value.reason) == (Kind.ALREADY_EXISTS, reason)
    with pytest.raises(FxError, match="at most 0 decimals"):
        await world.accounts.open("r4", "cents", "JPY", "1.5", auto_trade=False)
    with pytest.raises(FxError, match="must be one of USD"):
        await world.accounts.open("r5", "odd", "XXX", "1", auto_trade=False)
    for code in ("XAU", "KWD", "KRW"):  # no price of anything leads there: nothing could be traded
        with pytest.raises(FxError, match=f"no instrument converts to {code}: .* USD, EUR, GBP, JPY, CHF"):
            await world.accounts.open("r6", "odd", code, "1", auto_trade=False)


async def test_the_kill_switch_holds_all_accounts_and_outlives_a_restart(world: World) -> None:
    await world.accounts.open("r1", "second", "USD", "1000", auto_trade=False)
    working = await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    views = await world.accounts.set_trading_state("r2", "", TradingState.HALTED, "drill")
    assert [(each.account.account_id, each.account.trading_state) for each in views] == [
        ("demo", TradingState.HALTED),
        ("second", TradingState.HALTED),
    ]
    await world.restart()
    with pytest.raises(FxError, match=r"TRADING_HALTED.*drill"):
        await world.place("a", Side.BUY)
    assert (await world.orders.cancel("r3", working.order_id)).status is OrderStatus.CANCELLED

    await world.accounts.set_trading_state("r4", "demo", TradingState.ACTIVE, "")
    await world.tick(("1.10000", "1.10010"))
    assert (await world.place("b", Side.BUY)).status is OrderStatus.FILLED


async def test_setting_a_state_twice_changes_the_account_once(world: World) -> None:
    await world.accounts.set_trading_state("r1", "demo", TradingState.HALTED, "x")
    before = (await world.accounts.get("demo")).account.revision
    await world.accounts.set_trading_state("r1", "demo", TradingState.HALTED, "x")
    await world.accounts.set_trading_state("r2", "demo", TradingState.HALTED, "x")
    assert (await world.accounts.get("demo")).account.revision == before


async def test_auto_trading_is_switched_per_account(world: World) -> None:
    assert not (await world.accounts.set_auto_trade("r1", "demo", auto_trade=False)).account.auto_trade
    await world.restart()
    assert not (await world.accounts.get("demo")).account.auto_trade


async def test_auto_trading_is_switched_per_symbol_and_says_who_did(world: World) -> None:
    async def switch(request: str, *, on: bool, symbol: str = "EURUSD") -> AccountView:
        return await world.accounts.set_auto_trade(
            request, "demo", auto_trade=on, symbol=symbol, reason="a test", changed_by="key:ada"
        )

    assert (await switch("r1", on=False)).auto_trade_off == ("EURUSD",)
    await switch("r2", on=False, symbol="")
    with pytest.raises(FxError, match="UNKNOWN_SYMBOL"):
        await switch("r3", on=False, symbol="AAABBB")
    await world.restart()
    view = await world.accounts.get("demo")
    assert (view.auto_trade_off, view.account.auto_trade) == (("EURUSD",), False)
    await switch("r4", on=True)
    assert (await switch("r1", on=False)).auto_trade_off == ()  # late: what was said meanwhile stays
    audit = await world.limits.changes("demo", None, 10)
    assert [(each.symbol, each.old, each.new, each.changed_by, each.reason) for each in audit] == [
        ("EURUSD", "0", "1", "key:ada", "a test"),
        ("", "1", "0", "key:ada", "a test"),
        ("EURUSD", "1", "0", "key:ada", "a test"),
    ]
    wanted = ((LimitName.AUTO_TRADE, "0"),)
    await world.limits.set("r5", "demo", "USDJPY", wanted, "", "key:ada")  # the same switch
    assert (await world.accounts.get("demo")).auto_trade_off == ("USDJPY",)
    with pytest.raises(FxError, match="SetAutoTrade"):
        await world.limits.set("r6", "demo", "", wanted, "", "key:ada")


async def test_positions_are_valued_at_what_closing_would_bring(world: World) -> None:
    await world.place("a", Side.BUY, "10000")
    await world.tick(("1.10100", "1.10110"))
    (view,) = await world.accounts.positions("demo", frozenset(), include_flat=False)
    assert (view.position.size, view.unrealised, view.margin) == (10_000_00, 900, 36_664)
    account = await world.accounts.get("demo")
    assert (account.equity, account.margin) == (10_000_900, 36_664)

    await world.orders.close_position("demo", "EURUSD", "c")
    assert await world.accounts.positions("demo", frozenset(), include_flat=False) == []
    (flat,) = await world.accounts.positions("demo", frozenset({"EURUSD"}), include_flat=True)
    assert (flat.position.realised, flat.unrealised, flat.margin) == (900, 0, 0)
    with pytest.raises(FxError, match="UNKNOWN_ACCOUNT"):
        await world.accounts.positions("nobody", frozenset(), include_flat=True)


async def test_the_ledger_is_read_in_order_and_adds_up_to_the_balance(world: World) -> None:
    for number in range(3):
        await world.place(f"b{number}", Side.BUY, "10000")
        await world.tick((f"1.1{number + 1}000", f"1.1{number + 1}010"))
        await world.tick((f"1.1{number + 1}000", f"1.1{number + 1}010"))
        await world.place(f"s{number}", Side.SELL, "10000")
    code, first = await world.accounts.ledger("demo", 0, 2)
    _, rest = await world.accounts.ledger("demo", first[-1].entry, 100)
    entries = [*first, *rest]

    assert code == "USD"
    assert [entry.entry for entry in entries] == [1, 2, 3, 4]
    assert [entry.kind for entry in entries] == [LedgerKind.DEPOSIT] + [LedgerKind.REALISED_PROFIT] * 3
    assert sum(entry.amount for entry in entries) == (await world.accounts.get("demo")).account.balance
    assert (await world.accounts.reconcile("demo")).reconciled


async def test_limits_and_their_use(world: World) -> None:
    await world.place("a", Side.BUY, "10000")
    await world.place("rest", Side.BUY, "20000", type_=OrderType.LIMIT, limit="1.09900")
    state = await world.accounts.risk_state("demo")
    used = {each.name: (each.limit, each.used, each.unit) for each in state.limits}

    assert state.exposure == {"EUR": "10000", "USD": "-11000"}
    assert used["order_notional"] == ("5000000.00", "21980.00", "USD")
    assert used["position_notional"] == ("10000000.00", "11000.00", "USD")
    assert used["currency_exposure"] == ("20000000.00", "11001.00", "USD")
    assert used["margin"] == ("99999.00", "366.30", "USD")
    assert used["daily_loss"] == ("10000.00", "1.00", "USD")
    assert used["drawdown"] == ("30000.00", "1.00", "USD")
    assert used["order_rate"] == ("20", "2", "orders/s")


async def test_a_halt_of_all_holds_for_accounts_opened_later_until_all_resume(world: World) -> None:
    await world.accounts.set_trading_state("r1", "", TradingState.HALTED, "drill")
    await world.restart()
    opened = await world.accounts.open("r2", "later", "USD", "1000", auto_trade=True)
    assert (opened.account.trading_state, opened.account.state_reason) == (TradingState.HALTED, "drill")
    await world.announce(REPLAY_SESSION)
    await world.tick(("1.10000", "1.10010"), session="r1")
    for account in ("later", "replay-r1"):
        with pytest.raises(FxError, match=r"TRADING_HALTED.*drill"):
            await world.place("a", Side.BUY, account=account)

    await world.accounts.set_trading_state("r3", "later", TradingState.ACTIVE, "")  # one says nothing of all
    still = await world.accounts.open("r4", "latest", "USD", "1000", auto_trade=False)
    assert still.account.trading_state is TradingState.HALTED
    await world.accounts.set_trading_state("r5", "", TradingState.ACTIVE, "")
    assert {each.account.trading_state for each in await world.accounts.all()} == {TradingState.ACTIVE}
    after = await world.accounts.open("r6", "after", "USD", "1000", auto_trade=False)
    assert after.account.trading_state is TradingState.ACTIVE

    conduct, journal = world.settings.conduct(), await world.store.journal(0, 1_000)
    ticks = {each.session_id: each for each in world.sent}
    again = replay(conduct.rules, conduct.policy, journal, lambda read: ticks[read.session_id])
    assert again.book.accounts == world.desk.engine.book.accounts
    assert again.book.standing == world.desk.engine.book.standing


async def test_limits_outlive_a_restart_and_say_who_set_them(world: World) -> None:
    wanted = ((LimitName.ORDER_NOTIONAL, "500"),)
    (change,) = await world.limits.set("r1", "demo", "", wanted, "new desk", "key:ada")
    assert await world.limits.set("r1", "demo", "", wanted, "new desk", "key:ada") == [change]
    assert (change.changed_by, change.wall_ns) == ("key:ada", world.clock.now_ns())
    assert await world.limits.set("r2", "demo", "", wanted, "again", "key:bob") == []
    with pytest.raises(FxError, match="REQUEST_ID_REUSED"):
        await world.limits.set("r1", "demo", "EURUSD", wanted, "new desk", "key:ada")
    with pytest.raises(FxError, match="UNKNOWN_ACCOUNT"):
        await world.limits.set("r3", "nobody", "", wanted, "", "key:ada")
    await world.restart()
    await world.tick(("1.10000", "1.10010"))
    with pytest.raises(FxError, match="NOTIONAL_LIMIT"):
        await world.place("a", Side.BUY)
    (later,) = await world.limits.set("r4", "demo", "", ((LimitName.ORDER_NOTIONAL, ""),), "", "key:bob")
    assert (later.number, later.old, later.new) == (2, "500.00", "")
    assert await world.limits.changes("demo", None, 10) == [later, change]
    assert (await world.place("b", Side.BUY)).status is OrderStatus.FILLED


async def test_refusals_beyond_the_rate_are_stored_together(world: World) -> None:
    await world.limits.set("r1", "demo", "", ((LimitName.ORDERS_PER_SECOND, "1"),), "", "key:ada")
    await world.place("a", Side.BUY)
    commits = world.counts.commits
    for number in range(5):
        with pytest.raises(FxError, match="ORDER_RATE"):
            await world.place(f"b{number}", Side.BUY)
    assert world.counts.commits == commits  # nothing is written for each of them
    await world.storms.tell()
    await world.storms.tell()
    assert world.counts.commits == commits + 1
    assert (await world.accounts.risk_state("demo")).refusals == {"ORDER_RATE": 5}
    await world.tick(("1.10000", "1.10010"), ("1.10000", "1.10010"))
    assert (await world.place("b0", Side.BUY)).status is OrderStatus.FILLED  # the key was left free


async def test_the_books_are_proved_from_what_is_stored(world: World) -> None:
    await world.place("a", Side.BUY, "10000")
    await world.place("b", Side.SELL, "4000")
    proof = await world.accounts.reconcile("demo")
    assert (proof.reconciled, proof.fills, proof.transactions) == (True, 2, 3)
    assert [each.number for each in await world.accounts.transactions("demo", 1, 10)] == [2, 3]

    def spoil(connection: sa.Connection) -> None:
        body = sa.func.replace(world.schema.transactions.c.body, "-10000", "-10001")
        connection.execute(world.schema.transactions.update().values(body=body))

    await world.database.write(spoil)
    proof = await world.accounts.reconcile("demo")
    assert {each.name for each in proof.lines if not each.equal} == {"transactions out of balance"}


async def test_an_order_that_forgot_its_fills_is_found(world: World) -> None:
    order = await world.place("a", Side.BUY, "1000")
    assert (await world.accounts.reconcile("demo")).reconciled
    forgot = replace(order, filled=0)
    last = (await world.store.load()).journal_number
    await world.store.commit(Changes(last, orders={forgot.order_id: forgot}), Told())
    (line,) = (each for each in (await world.accounts.reconcile("demo")).lines if not each.equal)
    assert (line.name, line.booked, line.recomputed) == (f"order {order.order_id} filled", "0", "1000")
