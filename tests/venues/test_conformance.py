"""What any venue behind the port has to do with orders; run against each subject of `conftest.py`.

The gateway relies on every line of this, of `test_cash.py` and of `test_busts.py`, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from services.trading_gateway.domain.conditions import Conditions
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    Accepted,
    Amended,
    AmendRefused,
    CancelRefused,
    Ended,
    Executed,
    OrderReport,
    Report,
)
from services.trading_gateway.domain.values import OrderStatus, Side
from services.trading_gateway.ports import (
    KeyTakenError,
    NotSentError,
    OutcomeUnknownError,
    VenueRefusedError,
)
from tests.venues.fold import fold
from tests.venues.subjects import (
    ACCOUNT,
    Session,
    Simulated,
    Subject,
    amended,
    asked,
    cancelling,
    history,
    price,
    session,
)


def executions(reports: list[Report], order: Order) -> dict[str, int]:
    """Sizes of an order's fills by execution id."""
    found: dict[str, int] = {}
    for each in reports:
        if isinstance(each, Executed) and each.order_id == order.order_id:
            assert found.setdefault(each.execution_id, each.size) == each.size, "an execution changed"
    return found


def filled(reports: list[Report], order: Order) -> int:
    return sum(executions(reports, order).values())


def of(kind: type[OrderReport], order: Order) -> Callable[[list[Report]], bool]:
    return lambda reports: any(isinstance(each, kind) and each.order_id == order.order_id for each in reports)


async def until_filled(subject: Subject, order: Order, size: int | None = None) -> None:
    """Quotes that a buyer at 1.10010 takes, until the venue says that it has filled."""
    for _ in range(200):
        seen = await subject.venue.order(order.order_id)
        if seen is not None and seen.status is OrderStatus.FILLED:
            return
        await subject.market("1.10000", "1.10010", size)
    raise AssertionError("it never filled")


async def submit(
    subject: Subject, order: Order, listener: Session, kind: type[OrderReport] = Accepted
) -> Order:
    await subject.venue.submit(order)
    await listener.until(of(kind, order))
    return order


async def test_an_order_is_taken_once_however_often_it_is_sent(subject: Subject) -> None:
    listener = await session(subject)
    order = asked("k1", Side.BUY)
    for _ in range(3):
        await subject.venue.submit(order)
    await until_filled(subject, order)
    await subject.restart()
    await listener.ended()
    again = await session(subject)
    await subject.venue.submit(order)
    everything = (await history(subject)).reports
    assert filled([*everything], order) == order.size
    assert (await subject.venue.snapshot()).holdings == fold({order.order_id: order}, everything).holdings
    await again.stop()


async def test_an_id_does_not_serve_for_another_order(subject: Subject) -> None:
    listener = await session(subject)
    order = await submit(subject, asked("k1", Side.BUY, limit="1.09000"), listener)
    with pytest.raises((KeyTakenError, VenueRefusedError)):
        await subject.venue.submit(asked("k1", Side.BUY, "20000", limit="1.09000"))
    seen = await subject.venue.order(order.order_id)
    assert seen is not None
    assert (seen.size, seen.status) == (order.size, OrderStatus.ACCEPTED)
    await listener.stop()


async def test_parts_of_an_order_are_executions_of_their_own(subject: Subject) -> None:
    listener = await session(subject)
    await subject.market("1.10000", "1.10010", size=4_000)
    order = await submit(subject, asked("k1", Side.BUY, "25000"), listener)
    await until_filled(subject, order, size=4_000)
    reports = await listener.until(lambda reports: filled(reports, order) == order.size)
    assert len(executions(reports, order)) > 1
    await listener.stop()


async def test_a_cancel_ends_what_works_and_no_fill_follows(subject: Subject) -> None:
    listener = await session(subject)
    order = await submit(subject, asked("k1", Side.BUY, limit="1.09000"), listener)
    await subject.venue.cancel(cancelling(order))
    await subject.venue.cancel(cancelling(order))
    reports = await listener.until(of(Ended, order))
    await subject.market("1.08000", "1.08010")
    assert (await subject.venue.snapshot()).orders == ()
    assert not filled([*reports, *(await history(subject)).reports], order)
    await listener.stop()


async def test_a_cancel_that_comes_too_late_is_refused(subject: Subject) -> None:
    listener = await session(subject)
    order = await submit(subject, asked("k1", Side.BUY), listener)
    await until_filled(subject, order)
    await listener.until(lambda reports: filled(reports, order) == order.size)
    try:
        await subject.venue.cancel(cancelling(order))
    except VenueRefusedError:
        pass
    else:
        await listener.until(of(CancelRefused, order))
    seen = await subject.venue.order(order.order_id)
    assert seen is not None
    assert seen.status is OrderStatus.FILLED
    await listener.stop()


async def test_an_amendment_names_the_revision_that_asked(subject: Subject) -> None:
    listener = await session(subject)
    order = await submit(subject, asked("k1", Side.BUY, limit="1.09000"), listener)
    wanted = amended(order, size=2_000_000, limit=109_100)
    await subject.venue.amend(wanted)
    await subject.venue.amend(wanted)
    reports = await listener.until(of(Amended, order))
    answer = next(each for each in reports if isinstance(each, Amended))
    assert (answer.size, answer.limit, answer.revision) == (2_000_000, 109_100, wanted.amend_revision)
    seen = await subject.venue.order(order.order_id)
    assert seen is not None
    assert (seen.size, seen.limit, seen.revision) == (2_000_000, 109_100, wanted.amend_revision)
    await listener.stop()


async def test_an_amendment_that_lost_the_race_against_a_fill_is_refused(subject: Subject) -> None:
    listener = await session(subject)
    order = await submit(subject, asked("k1", Side.BUY), listener)
    await until_filled(subject, order)
    await listener.until(lambda reports: filled(reports, order) == order.size)
    wanted = amended(order, size=2_000_000)
    try:
        await subject.venue.amend(wanted)
    except VenueRefusedError:
        pass
    else:
        reports = await listener.until(of(AmendRefused, order))
        assert all(
            each.revision == wanted.amend_revision for each in reports if isinstance(each, AmendRefused)
        )
    await listener.stop()


async def test_what_is_unknown_to_it_is_absent(subject: Subject) -> None:
    listener = await session(subject)
    assert await subject.venue.order(asked("never", Side.BUY).order_id) is None
    with pytest.raises(VenueRefusedError) as refused:
        await subject.venue.cancel(cancelling(asked("never", Side.BUY)))
    assert refused.value.reason == "UNKNOWN_ORDER"
    await listener.stop()


async def test_without_a_session_nothing_is_sent(subject: Subject) -> None:
    order = asked("k1", Side.BUY)
    with pytest.raises(NotSentError):
        await subject.venue.submit(order)
    listener = await session(subject)
    assert await subject.venue.order(order.order_id) is None
    await subject.drop()
    await listener.ended()
    with pytest.raises(NotSentError):
        await subject.venue.submit(order)
    another = await session(subject)
    await another.stop()  # whoever reads no more has no session either
    with pytest.raises(NotSentError):
        await subject.venue.submit(order)


async def test_a_session_goes_on_from_a_cursor(subject: Subject) -> None:
    listener = await session(subject)
    first = await submit(subject, asked("k1", Side.BUY, limit="1.09000"), listener)
    cursor = (await history(subject)).cursor
    second = await submit(subject, asked("k2", Side.BUY, limit="1.08000"), listener)
    await subject.drop()
    await listener.ended()
    await subject.market("1.07990", "1.08000")  # both fill while nobody listens
    resumed = await session(subject, cursor)
    missed = [*(await history(subject, cursor)).reports]
    everything = [*(await history(subject)).reports]
    assert of(Accepted, second)(missed)
    assert not of(Accepted, first)(missed)
    assert filled(missed, first) == filled(everything, first) > 0
    await resumed.until(lambda reports: filled(reports, first) == filled(everything, first))
    await resumed.stop()


async def test_its_picture_is_the_fold_of_its_reports(subject: Subject) -> None:
    random = Random(3)
    listener = await session(subject)
    sent: dict[str, Order] = {}
    for number in range(40):
        order = asked(
            f"k{number}",
            random.choice([Side.BUY, Side.SELL]),
            random.choice(["1000", "7000"]),
            limit=price(random.randrange(109_900, 110_100)),
        )
        sent[order.order_id] = order
        await subject.venue.submit(order)
        if random.random() < 0.3:
            await subject.venue.cancel(cancelling(random.choice([*sent.values()])))
        bid = random.randrange(109_950, 110_050)
        await subject.market(price(bid), price(bid + 5), size=5_000)
    heard, seen = await history(subject), await subject.venue.snapshot()
    assert heard.cursor == seen.cursor
    folded = fold(sent, heard.reports)
    assert {each.order_id: (each.size, each.filled, each.limit) for each in seen.orders} == folded.working
    assert seen.holdings == folded.holdings
    assert {each.account_id for each in seen.orders} <= {ACCOUNT}
    for order_id, order in folded.orders.items():
        theirs = await subject.venue.order(order_id)
        assert theirs is not None
        assert (theirs.filled, theirs.status.final) == (order.filled, order.final)
    # The books outlive the process that answers.
    await subject.restart()
    resumed = await session(subject)
    assert (await subject.venue.snapshot()).holdings == seen.holdings
    await resumed.stop()
    await listener.stop()


async def test_a_request_without_an_answer_is_said_to_be_unknown_and_may_have_arrived(tmp_path: Path) -> None:
    conditions = Conditions(seed=1, lost_ppm=300_000, unanswered_ppm=300_000, drop_ppm=200_000)
    subject = await Simulated(tmp_path, conditions).open()
    await subject.market("1.10000", "1.10010")
    outcomes: dict[str, int] = {}
    listener = await session(subject)
    for number in range(60):
        order = asked(f"k{number}", Side.BUY)
        try:
            await subject.venue.submit(order)
            outcome = "taken"
        except OutcomeUnknownError:
            outcome = "unknown"
        except NotSentError:
            await listener.stop()
            listener = await session(subject)
            outcome = "not sent"
        try:
            there = await subject.venue.order(order.order_id) is not None
        except NotSentError:
            await listener.stop()
            listener = await session(subject)
            there = await subject.venue.order(order.order_id) is not None
        outcomes[f"{outcome}, {'there' if there else 'absent'}"] = (
            outcomes.get(f"{outcome}, {'there' if there else 'absent'}", 0) + 1
        )
    # What was taken is there, what was not sent is not, and of the unknown there are both.
    assert outcomes.keys() == {"taken, there", "unknown, there", "unknown, absent"}
    await listener.stop()
    await subject.close()
