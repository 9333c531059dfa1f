"""Positions: the sums that must hold to the last digit, whatever is done."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.trading_gateway.domain.positions import Position, filled, reduces

FLAT = Position("demo", "EURUSD")

fills = st.lists(
    st.tuples(
        st.integers(-5_000_000_00, 5_000_000_00).filter(bool),
        st.integers(60_000, 200_000),
    ),
    min_size=1,
    max_size=40,
)


def applied(trades: list[tuple[int, int]]) -> Position:
    position = FLAT
    for signed_size, price in trades:
        position = filled(position, signed_size, price, 0).position
    return position


@given(fills)
def test_cost_less_realised_is_what_was_paid(trades: list[tuple[int, int]]) -> None:
    position = applied(trades)

    assert position.size == sum(size for size, _ in trades)
    assert position.cost - position.realised_quote == sum(size * price for size, price in trades)
    assert position.revision == len(trades)


@given(fills)
def test_a_flat_position_has_no_cost_and_the_cost_has_the_sign_of_the_size(
    trades: list[tuple[int, int]],
) -> None:
    position = FLAT
    for signed_size, price in trades:
        position = filled(position, signed_size, price, 0).position
        assert position.cost * position.size >= 0
        if position.flat:
            assert position.cost == 0
    closed = filled(position, -position.size, 123_456, 0).position if position.size else position
    assert (closed.size, closed.cost) == (0, 0)


@given(fills, st.randoms())
def test_the_order_of_fills_moves_profit_between_open_and_realised_but_loses_none(
    trades: list[tuple[int, int]], random: Random
) -> None:
    shuffled = list(trades)
    random.shuffle(shuffled)

    one, other = applied(trades), applied(shuffled)

    assert one.size == other.size
    assert one.cost - one.realised_quote == other.cost - other.realised_quote


@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**8), min_size=1, max_size=8), st.randoms())
def test_opening_fills_commute_entirely(price: int, sizes: list[int], random: Random) -> None:
    trades = [(size, price + number) for number, size in enumerate(sizes)]
    shuffled = list(trades)
    random.shuffle(shuffled)

    assert applied(trades) == applied(shuffled)


def test_a_third_of_a_cost_that_does_not_divide_leaves_its_rest_in_the_position() -> None:
    bought = filled(FLAT, 3, 100, 0).position  # cost 300
    bought = filled(bought, 0 + 4, 101, 0).position  # cost 704, size 7
    sold = filled(bought, -2, 110, 0)

    assert sold.realised == 2 * 110 - 201  # 704 * 2 / 7 = 201.14…
    assert (sold.position.size, sold.position.cost) == (5, 503)


def test_half_of_an_odd_cost_is_released_half_even() -> None:
    bought = filled(filled(FLAT, 1, 10, 0).position, 1, 11, 0).position  # cost 21
    assert filled(bought, -1, 0, 0).position.cost == 11  # 10.5 releases 10

    dearer = filled(filled(FLAT, 1, 11, 0).position, 1, 12, 0).position  # cost 23
    assert filled(dearer, -1, 0, 0).position.cost == 11  # 11.5 releases 12


def test_a_fill_through_flat_closes_at_the_old_cost_and_opens_at_its_own_price() -> None:
    long = filled(FLAT, 10_000_00, 110_000, 0).position
    turned = filled(long, -15_000_00, 110_050, 1)

    assert turned.closed == 10_000_00
    assert turned.realised == 10_000_00 * 50
    assert turned.position.size == -5_000_00
    assert turned.position.cost == -5_000_00 * 110_050


def test_reducing_means_nearer_to_flat_and_not_beyond() -> None:
    assert reduces(100, -100)
    assert reduces(-100, 40)
    assert not reduces(100, -101)
    assert not reduces(100, 1)
    assert not reduces(0, 1)
