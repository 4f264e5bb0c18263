"""The figures of a period, right to the number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from downstream.domain.forgotten import KeptPayment
from downstream.domain.job import Entry, Job, What
from downstream.domain.money import Money
from downstream.domain.report import Event, Figures, Window, events, figures, oldest
from downstream.domain.state import State

START = datetime(2026, 1, 5, 23, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))


def at(hours: float) -> datetime:
    """So many hours after the window began."""
    return START + timedelta(hours=hours)


def moved(target: State, hours: float) -> Entry:
    """A move at that hour."""
    return Entry(at=at(hours), who="x", what=What.MOVED, source=State.PROCESSING, target=target)


def noted(what: What, hours: float) -> Entry:
    """Something else that happened at that hour."""
    return Entry(at=at(hours), who="x", what=what)


def job(stream_id: str, *history: Entry, **fields: Any) -> Job:
    """An order."""
    return Job(stream_id=stream_id, customer_email="a@b", history=history, **fields)


def test_no_jobs_make_no_figures() -> None:
    assert figures([], WINDOW) == Figures()
    assert events([], WINDOW) == ()
    assert oldest([]) is None


def test_orders_count_by_payment_and_where_there_is_none_by_arrival() -> None:
    jobs = [
        job("paid", paid_amount=49, paid_at=at(1), arrived_at=at(30)),
        job("paid-before", paid_amount=49, paid_at=at(-1), arrived_at=at(1)),
        job("paid-after", paid_amount=49, paid_at=at(24.1), arrived_at=at(1)),
        job("paid-without-date", paid_amount=0.5, arrived_at=at(2)),
        job("voucher", paid_amount=0, paid_at=at(3)),
        job("paid-elsewhere", paid_at=at(4)),
        job("dollars", paid_amount=20, currency="usd", paid_at=at(5)),
        job("yen", paid_amount=4900, currency="jpy", paid_at=at(5)),
        job("test", arrived_at=at(24)),
        job("zero", paid_amount=0, arrived_at=at(6)),
        job("never-seen"),
    ]

    found = figures(jobs, WINDOW)

    assert (found.received, found.paid) == (8, 6)
    assert found.revenue_minor == {"eur": 4950, "usd": 2000, "jpy": 4900}


def test_what_happened_counts_when_it_happened() -> None:
    jobs = [
        job("a", moved(State.REVIEW, 1), moved(State.COMPLETED, 2), arrived_at=at(-10)),
        job("b", moved(State.COMPLETED, -0.1), arrived_at=at(-10)),
        job("c", moved(State.COMPLETED, 24.1), arrived_at=at(-10)),
        job("d", noted(What.RECOVERED, 1), noted(What.RECOVERED, 2), noted(What.RECOVERED, -1), moved(State.FAILED, 3)),
        job("e", noted(What.REGENERATE, 5), moved(State.PENDING, 5), moved(State.REVIEW, 6), noted(What.APPROVED, 7)),
        job("f", moved(State.FAILED, 1), noted(What.RETRIED, 2), moved(State.PENDING, 2), moved(State.FAILED, 24)),
    ]

    found = figures(jobs, WINDOW)

    assert (found.completed, found.failed, found.regenerated, found.recovered) == (1, 3, 1, 2)
    assert found.received == 0


def test_the_median_runs_from_order_to_page() -> None:
    def completed(name: str, order: float, done: float) -> Job:
        return job(name, moved(State.COMPLETED, done), paid_at=at(order))

    assert figures([completed("a", -1, 1)], WINDOW).median_hours == 2.0
    assert figures([completed("a", 0, 1), completed("b", 0, 4)], WINDOW).median_hours == 2.5
    assert figures([completed("a", 0, 1), completed("b", 0, 2), completed("c", 0, 20)], WINDOW).median_hours == 2.0
    assert figures([completed("a", 0, 1 / 3)], WINDOW).median_hours == 0.33


def test_events_come_in_order_of_time_and_say_what_happened() -> None:
    jobs = [
        job("b", moved(State.REVIEW, 2), noted(What.APPROVED, 3), moved(State.COMPLETED, 3), paid_at=at(1)),
        job("a", noted(What.REGENERATE, 3), moved(State.PENDING, 3), noted(What.RECOVERED, 25), arrived_at=at(-1)),
    ]

    assert events(jobs, WINDOW) == (
        Event(at(1), "b", "received"),
        Event(at(2), "b", "review"),
        Event(at(3), "a", "regenerate"),
        Event(at(3), "b", "approved"),
        Event(at(3), "b", "completed"),
    )


def test_the_oldest_order_came_first_and_the_name_decides_between_equals() -> None:
    early, late = job("z", paid_at=at(1)), job("a", paid_at=at(2))

    assert oldest([late, early]) is early
    assert oldest([early, job("y", arrived_at=at(1))]) == job("y", arrived_at=at(1))


def given_back(total_minor: int, hours: float) -> Entry:
    """So much went back up to that hour."""
    return Entry(at=at(hours), who="shop", what=What.REFUNDED, evidence={"amount_minor": total_minor})


def test_what_went_back_is_taken_off_when_it_went_back() -> None:
    jobs = [
        job("full", given_back(4900, 2), paid_amount=49, paid_at=at(1)),
        job("of-last-week", given_back(4900, 3), paid_amount=49, paid_at=at(-100)),
        job("next-day", given_back(4900, 25), paid_amount=49, paid_at=at(4)),
        job(
            "in-parts", given_back(1000, -1), given_back(1500, 5), given_back(4900, 30), paid_amount=49, paid_at=at(-2)
        ),
        job("yen", given_back(300, 5), given_back(300, 6), paid_amount=4900, currency="jpy", paid_at=at(5)),
    ]

    found = figures(jobs, WINDOW)

    assert found.revenue_minor == {"eur": 4900 + 4900 - 4900 - 4900 - 500, "jpy": 4600}
    assert found.refunds == (Money("eur", 4900), Money("eur", 4900), Money("eur", 500), Money("jpy", 300))


def test_the_money_of_orders_that_are_forgotten_still_counts() -> None:
    kept = [
        KeptPayment(amount_minor=4900, currency="eur", paid_at=at(1)),
        KeptPayment(amount_minor=4900, currency="eur", paid_at=at(-1), refunded_minor=2000, refunded_at=at(2)),
        KeptPayment(amount_minor=4900, currency="eur"),
    ]

    found = figures([job("other", paid_amount=10, paid_at=at(3))], WINDOW, kept)

    assert (found.received, found.paid) == (2, 2)
    assert found.revenue_minor == {"eur": 4900 - 2000 + 1000}
    assert found.refunds == (Money("eur", 2000),)
