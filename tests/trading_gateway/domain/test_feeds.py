"""Feeds: the state after a tick depends on the ticks alone, and flawed quotes are known as such."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.market.ticks import TickBatch
from services.trading_gateway.domain.feeds import Feed, FeedState, Flaw
from services.trading_gateway.domain.markets import LIVE, Markets, Session
from tests.trading_gateway.kit import LIVE_SESSION, SECOND, START, batch

MINUTE = 60 * SECOND


def feed() -> Feed:
    made = Feed(FeedState(LIVE, "EURUSD"))
    made.join("syn-1", always_open=True)
    return made


def taken(one: Feed, ticks: TickBatch) -> None:
    for index in range(len(ticks)):
        one.take(ticks, index)


ticks_strategy = st.lists(
    st.tuples(
        st.integers(0, 15 * 60),  # seconds since the tick before: long silences happen
        st.integers(108_000, 112_000),
        st.integers(-3, 30),  # spread: crossed and locked ones too
    ),
    min_size=1,
    max_size=30,
)


def made_batch(rows: list[tuple[int, int, int]], first: int = 1) -> TickBatch:
    times, now = [], START
    for wait, _, _ in rows:
        now += wait * SECOND
        times.append(now)
    return TickBatch(
        "syn-1",
        "EURUSD",
        first,
        5,
        times,
        [bid for _, bid, _ in rows],
        [bid + spread for _, bid, spread in rows],
    )


@given(ticks_strategy, st.data())
def test_skipping_a_batch_in_any_pieces_gives_the_state_of_taking_each_tick(
    rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    ticks = made_batch(rows)
    one, other = feed(), feed()

    taken(one, ticks)
    start = 0
    while start < len(ticks):
        stop = data.draw(st.integers(start + 1, len(ticks)))
        other.skip(ticks, start, stop)
        start = stop

    assert one.state == other.state


def test_a_crossed_quote_is_flagged_and_the_good_one_before_it_is_kept() -> None:
    one = feed()
    taken(one, batch([("1.10000", "1.10010"), ("1.10020", "1.10010")]))

    assert one.state.quote is not None
    assert one.state.quote.flaw is Flaw.CROSSED
    assert one.state.good is not None
    assert one.state.good.sequence == 1


def test_the_first_tick_after_missing_ones_is_gapped_and_the_next_is_good() -> None:
    one = feed()
    taken(one, batch([("1.10000", "1.10010")]))
    late = batch([("1.10000", "1.10010"), ("1.10001", "1.10011")], first=5, start_ns=START + SECOND)

    assert one.gapped_by(late)
    one.begin(late)
    one.take(late, 0)
    assert one.state.quote is not None
    assert one.state.quote.flaw is Flaw.GAPPED
    one.take(late, 1)
    assert one.state.quote.tradable


def test_joining_a_feed_in_the_middle_is_no_gap() -> None:
    one = feed()
    assert not one.gapped_by(batch([("1.10000", "1.10010")], first=70))


def test_silence_beyond_the_instruments_limit_and_an_implausible_jump_are_gaps() -> None:
    one = feed()
    taken(one, batch([("1.10000", "1.10010")]))
    taken(one, batch([("1.10000", "1.10010")], first=2, start_ns=START + 11 * MINUTE))
    assert one.state.quote is not None
    assert one.state.quote.flaw is Flaw.GAPPED

    taken(one, batch([("1.20000", "1.20010")], first=3, start_ns=START + 11 * MINUTE + SECOND))
    assert one.state.quote.flaw is Flaw.GAPPED
    taken(one, batch([("1.20000", "1.20010")], first=4, start_ns=START + 11 * MINUTE + 2 * SECOND))
    assert one.state.quote.tradable


def test_ticks_read_before_are_trimmed_however_they_are_cut() -> None:
    one = feed()
    taken(one, batch([("1.10000", "1.10010")] * 3))
    again = one.fresh(batch([("1.10000", "1.10010")] * 5))

    assert (again.first_sequence, len(again)) == (4, 2)


def test_coarser_prices_are_brought_to_the_instruments_digits() -> None:
    one = feed()
    coarse = TickBatch("syn-1", "EURUSD", 1, 4, [START], [11_000], [11_001])
    fine = one.fresh(coarse)

    assert (fine.digits, list(fine.bids), list(fine.asks)) == (5, [110_000], [110_010])


def test_a_new_session_starts_anew_but_amounts_still_convert() -> None:
    one = feed()
    taken(one, batch([("1.10000", "1.10010")]))
    one.join("syn-2", always_open=True)

    assert (one.state.sequence, one.state.quote) == (0, None)
    assert one.state.good is not None


def test_scopes_keep_apart() -> None:
    markets = Markets()
    replay = Session("r1", replay=True, symbols=("EURUSD",), always_open=False)
    live = markets.follow(LIVE_SESSION, "EURUSD")
    taken(live, batch([("1.10000", "1.10010")]))
    old = markets.follow(replay, "EURUSD")
    taken(old, batch([("1.38000", "1.38010")], session="r1"))

    assert markets.rates("")["EURUSD"].bid == 110_000
    assert markets.rates("r1")["EURUSD"].bid == 138_000
    assert list(markets.rates("r1")) == ["EURUSD"]
    assert "USDJPY" not in markets.rates("")
