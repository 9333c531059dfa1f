"""Random runs with a hedging account: its books reconcile, and the journal gives them again byte for byte."""

from __future__ import annotations

import pytest

from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import PositionMode, Side
from tests.trading_gateway.domain.test_hedging import differing
from tests.trading_gateway.domain.test_whole_runs import RULES, Walk, books, events, ticks_of


class HedgedWalk(Walk):
    """A seeded run in which most orders are of a hedging account: opened with legs, closed by id in parts."""

    def __init__(self, seed: int, cut: int = 0) -> None:
        super().__init__(seed, cut, RULES)
        self.floor.open("hedged", currency="CHF", mode=PositionMode.HEDGING)
        self.floor.tick(("0.88000", "0.88010"), symbol="USDCHF")
        self.floor.tick(("0.96800", "0.96810"), symbol="EURCHF")

    def order(self, key: str) -> None:
        if self.random.random() < 0.3:
            super().order(key)
            return
        tickets = self.floor.engine.book.holdings.open("hedged")
        if tickets and self.random.random() < 0.5:
            self.close(key, self.random.choice(tickets))
        else:
            self.open(key)

    def open(self, key: str) -> None:
        symbol = self.random.choice(("EURUSD", "USDJPY"))
        self.ticks(symbol)
        self.floor.tick(*[("0.88000", "0.88010")] * 2, symbol="USDCHF")  # live crosses
        distance = "0.00040" if symbol == "EURUSD" else "0.040"
        legs = TypedLeg(distance=distance), TypedLeg(trail_distance=distance), None
        self.floor.place(
            key,
            self.random.choice(tuple(Side)),
            str(self.random.choice((1_000, 3_333, 20_000))),
            symbol=symbol,
            account="hedged",
            take_profit=self.random.choice((legs[0], None)),
            stop_loss=self.random.choice(legs),
        )

    def close(self, key: str, ticket: Position) -> None:
        self.ticks(ticket.symbol)
        size = self.random.choice((1_000, 2_222, 50_000))
        self.floor.place(
            key,
            Side.of(-ticket.size),
            str(size),
            symbol=ticket.symbol,
            account="hedged",
            position=ticket.position_id,
        )


@pytest.mark.parametrize("seed", range(6))
def test_books_of_a_hedging_account_reconcile_and_are_replayed_byte_for_byte(seed: int) -> None:
    floor = HedgedWalk(seed).run(300)
    tickets = floor.engine.book.positions_of("hedged")
    assert len(tickets) > 10
    assert any(each.flat for each in tickets)
    assert any(each.financing for each in tickets)
    for account_id in floor.engine.book.accounts:
        assert differing(floor, account_id) == []
    fills = [each for changes in floor.stored for each in changes.fills if each.account_id == "hedged"]
    for ticket in tickets:
        own = [each for each in fills if each.position_id == ticket.position_id]
        assert ticket.cost - ticket.realised_quote == sum(each.signed_size * each.price for each in own)
        assert ticket.realised == sum(each.realised for each in own)

    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(RULES, Policy(), journal, ticks_of(floor.batches))
    changes = [again.take_changes()]
    assert books(again.book, changes) == books(floor.engine.book, floor.stored)
    assert events(changes) == events(floor.stored)


@pytest.mark.parametrize("cut", [1, 3])
def test_how_ticks_are_cut_changes_nothing(cut: int) -> None:
    whole, parts = HedgedWalk(3).run(200), HedgedWalk(3, cut).run(200)
    assert books(whole.engine.book, whole.stored) == books(parts.engine.book, parts.stored)
