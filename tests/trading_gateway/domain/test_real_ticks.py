"""Real files through the engine: every fill is at a quote that was there and sound, and the books balance."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from services.market.formats import read_tick_blocks
from services.market.ticks import TickBatch, merge
from services.trading_gateway.domain.inputs import TicksRead
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce
from tests.trading_gateway.kit import REPLAY_SESSION, Floor

ACCOUNT = "replay-r1"
SCALE = 100_000


def read(shared_data: Path, start: str) -> list[TickBatch]:
    """A file's EURUSD ticks in batches of a hundred."""
    batches: list[TickBatch] = []
    with read_tick_blocks(next((shared_data / "ticks").glob(f"{start}*"))) as blocks:
        for block in blocks:
            batches += block.batch("r1").split(100)
    return batches


def traded(batches: list[TickBatch]) -> Floor:
    """Orders of all kinds along the way, by a fixed seed."""
    random, floor = Random(20140501), Floor()
    floor.announce(REPLAY_SESSION)
    floor.open(ACCOUNT, scope="r1")
    for number, batch in enumerate(batches):
        floor.read(batch)
        if number % 7 == 3:
            side, type_ = random.choice(tuple(Side)), random.choice(tuple(OrderType))
            price = batch.bids[-1] + random.randint(-60, 60)
            text = f"{price // SCALE}.{price % SCALE:05d}"
            floor.place(
                f"k{number}",
                side,
                str(random.randint(1, 40) * 1_000),
                type_=type_,
                limit=text if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) else "",
                stop=text if type_.waits and type_ is not OrderType.TRAILING_STOP else "",
                trail="0.00030" if type_ is OrderType.TRAILING_STOP else "",
                tif=None if type_ is OrderType.MARKET else TimeInForce.DAY,
                account=ACCOUNT,
                stop_loss=random.choice((None, None, TypedLeg(distance="0.00080"))),
            )
    floor.engine.journal.mark_all()
    floor.settle()
    return floor


@pytest.mark.parametrize("start", ["oanda_eurusd", "fxcm_eurusd"])
def test_a_whole_file_trades_on_sound_quotes_only_and_balances(shared_data: Path, start: str) -> None:
    batches = read(shared_data, start)
    whole = merge(batches)
    crossed = sum(bid > ask for bid, ask in zip(whole.bids, whole.asks, strict=True))
    floor = traded(batches)
    fills = [fill for changes in floor.stored for fill in changes.fills]

    assert len(fills) > 100
    assert (crossed > len(whole) // 20) == start.startswith("fxcm")
    for fill in fills:
        at = fill.tick_sequence - 1
        bid, ask = whole.bids[at], whole.asks[at]
        assert bid <= ask
        assert fill.price == (ask if fill.side is Side.BUY else bid)
        assert fill.time_ns >= whole.times_ns[at]
    positions = {each.symbol: each for each in floor.engine.book.positions_of(ACCOUNT)}
    posted = [each for changes in floor.stored for each in changes.transactions]
    result = reconcile(floor.account(ACCOUNT), positions, fills, posted)
    assert result.reconciled, [line for line in result.lines if not line.equal]

    def ticks(mark: TicksRead) -> TickBatch:
        return whole[mark.first - 1 : mark.last]

    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(floor.rules, floor.policy, journal, ticks)
    assert again.take_changes().fills == fills
    assert again.book.account(ACCOUNT) == floor.account(ACCOUNT)
