"""The daily, weekly and monthly reviews: figures right to the number, every period reviewed once and to its end."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from conftest import books

from downstream.domain.forgotten import KeptPayment, Proof
from downstream.domain.job import Entry, Failure, Job, What
from downstream.domain.period import Period
from downstream.domain.ports import Providers, Silence, Suppliers
from downstream.domain.state import State
from downstream.heartbeat import write_heartbeat
from downstream.holds import CANCELLED, DISPUTED, OPERATOR, REFUNDED, Hold, hold
from downstream.ledger import Caps, Ledger
from downstream.locks import Lock
from downstream.log import open_log
from downstream.queue import Queue
from downstream.receipts import Attempt, Phase
from downstream.settings import read_settings
from downstream.stages.context import Context
from downstream.stages.daily import daily
from downstream.stages.monthly import monthly
from downstream.stages.reviews import make_reviews
from downstream.stages.weekly import weekly

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES: dict[Period, Callable[[Context], list[Path]]] = {
    Period.DAILY: daily,
    Period.WEEKLY: weekly,
    Period.MONTHLY: monthly,
}


def nobody() -> Providers:
    """A review asks no provider anything."""
    raise AssertionError


def context(home: Path, now: str, *, zone: str = "UTC", policy: str = "auto", live: bool = False) -> Context:
    """One run of a review at that moment, on the clock of the zone."""
    from zoneinfo import ZoneInfo

    moment = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return Context(
        home=home,
        settings=read_settings({"TIMEZONE": zone, "REVIEW_POLICY": policy}),
        queue=Queue(home),
        suppliers=Suppliers(embedded=nobody, live=nobody if live else None),
        log=open_log(home, "daily"),
        progress=Silence(),
        stage="daily",
        clock=lambda: moment,
        **books(home),
    )


def written(home: Path, period: Period, now: str, **options: Any) -> list[str]:
    """The labels of the reviews that a run at that moment writes."""
    return [path.stem.removeprefix(f"{period.value}-") for path in STAGES[period](context(home, now, **options))]


def report(home: Path, period: Period, label: str) -> str:
    """A review as it lies in the logs."""
    return (home / "logs/reviews" / f"{period.value}-{label}.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading."""
    return text.partition(f"## {title}\n\n")[2].partition("\n\n## ")[0].strip()


def table(text: str) -> dict[str, tuple[str, str]]:
    """The figures: name to this period's and the one before's."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section(text, "Figures").splitlines()[2:]]
    return {name: (this, before) for name, this, before in rows}


def moment(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moved(source: State, target: State, when: str) -> Entry:
    """A move."""
    return Entry(at=moment(when), who="x", what=What.MOVED, source=source, target=target)


def put(home: Path, state: State, stream_id: str, *history: Entry, **fields: Any) -> Path:
    """A job file, last written when its history ends."""
    job = Job(stream_id=stream_id, customer_email="customer@example.com", history=history, **fields)
    path = home / "jobs" / state / f"{stream_id}.json"
    path.write_bytes(job.to_json())
    last = max([entry.at for entry in history] + [job.order_time]).timestamp()
    os.utime(path, (last, last))
    return path


@pytest.fixture
def business(home: Path) -> Path:
    """An installation with two days of business, on 6 January 2026 at 23:00."""
    to_review, done = (State.PROCESSING, State.REVIEW), (State.REVIEW, State.COMPLETED)
    write_heartbeat(home, status="ACTIVE", renewed=moment("2026-01-01T00:00").date(), renew_days=30)
    put(
        home,
        State.COMPLETED,
        "long-ago",
        moved(*done, "2026-01-01T10:00"),
        paid_amount=49,
        paid_at=moment("2026-01-01T09:00"),
    )
    put(
        home, State.COMPLETED, "yesterday",
        moved(*to_review, "2026-01-05T10:00"), moved(*done, "2026-01-05T11:00"),
        paid_amount=49, paid_at=moment("2026-01-05T09:00"),
    )  # fmt: skip
    put(
        home, State.COMPLETED, "at-the-bell",
        moved(*done, "2026-01-05T23:00"), paid_amount=49, paid_at=moment("2026-01-05T22:00"),
    )  # fmt: skip
    put(
        home, State.COMPLETED, "today",
        Entry(at=moment("2026-01-06T01:00"), who="x", what=What.RECOVERED),
        moved(*to_review, "2026-01-06T01:30"),
        Entry(at=moment("2026-01-06T02:00"), who="x", what=What.REGENERATE, evidence={"segments": ["02"]}),
        moved(State.REVIEW, State.PENDING, "2026-01-06T02:00"),
        moved(*to_review, "2026-01-06T02:30"),
        moved(*done, "2026-01-06T03:00"),
        paid_amount=59.9, paid_at=moment("2026-01-06T00:00"),
    )  # fmt: skip
    put(
        home, State.COMPLETED, "today-in-dollars",
        moved(*done, "2026-01-06T20:30"), paid_amount=20, currency="usd", paid_at=moment("2026-01-06T19:30"),
    )  # fmt: skip
    put(
        home, State.FAILED, "refused",
        moved(State.PROCESSING, State.FAILED, "2026-01-06T12:00"),
        paid_amount=49, paid_at=moment("2026-01-06T11:00"),
        failure=Failure(kind="refused", reason="the filter said no", at=moment("2026-01-06T12:00")),
    )  # fmt: skip
    put(
        home, State.FAILED, "test",
        moved(State.PROCESSING, State.FAILED, "2026-01-04T12:00"),
        arrived_at=moment("2026-01-04T11:00"),
        failure=Failure(kind="unexpected", reason="a fault in the program", at=moment("2026-01-04T12:00")),
    )  # fmt: skip
    put(home, State.REVIEW, "made", moved(*to_review, "2026-01-06T22:00"), arrived_at=moment("2026-01-06T21:00"))
    put(home, State.PENDING, "held", paid_amount=49, paid_at=moment("2026-01-06T17:00"))
    put(home, State.PENDING, "too-late", paid_amount=49, paid_at=moment("2026-01-06T23:00:01"))
    return home


def test_the_days_figures_are_right_to_the_number(business: Path) -> None:
    assert written(business, Period.DAILY, "2026-01-06T23:00") == ["2026-01-06"]

    text = report(business, Period.DAILY, "2026-01-06")

    assert "From 2026-01-05 23:00 to 2026-01-06 23:00, made 2026-01-06 23:00 UTC." in text
    assert "not over" not in text
    assert table(text) == {
        "orders received": ("5", "2"),
        "of them paid": ("4", "2"),
        "revenue, EUR": ("157.90 EUR", "98.00 EUR"),
        "revenue, USD": ("20.00 USD", "0.00 USD"),
        "completed": ("2", "2"),
        "failed": ("1", "0"),
        "regenerations": ("1", "0"),
        "recoveries after a crash": ("1", "0"),
        "median hours from order to page": ("2.00", "1.50"),
    }
    assert (
        "The oldest order, held, has waited 6.0 hours. (2 pending, 0 processing, 1 review, 5 completed, 2 failed)"
        in text
    )
    assert section(text, "What happened").splitlines() == [
        "- 01-06 00:00 today: received",
        "- 01-06 01:00 today: recovered",
        "- 01-06 01:30 today: review",
        "- 01-06 02:00 today: regenerate",
        "- 01-06 02:30 today: review",
        "- 01-06 03:00 today: completed",
        "- 01-06 11:00 refused: received",
        "- 01-06 12:00 refused: failed",
        "- 01-06 17:00 held: received",
        "- 01-06 19:30 today-in-dollars: received",
        "- 01-06 20:30 today-in-dollars: completed",
        "- 01-06 21:00 made: received",
        "- 01-06 22:00 made: review",
    ]
    assert section(text, "Heartbeat") == "Renewed on 2026-01-01, to be renewed by 2026-01-31."


def test_what_needs_a_decision_comes_first_with_the_commands_for_it(business: Path) -> None:
    (business / "jobs/failed/broken.json").write_text("[]")
    put(business, State.PENDING, "asks", live=True, arrived_at=moment("2026-01-06T10:00"))
    written(business, Period.DAILY, "2026-01-06T23:00", policy="operator")

    text = report(business, Period.DAILY, "2026-01-06")
    decisions = section(text, "Needs a decision")

    assert text.index("## Needs a decision") < min(text.index(f"## {name}") for name in ("Waiting", "Figures", "What"))
    assert decisions.index("**test** failed on 2026-01-04 12:00, unpaid: a fault") < decisions.index(
        "**refused** failed"
    )
    assert "**refused** failed on 2026-01-06 12:00, paid 49.00 EUR: the filter said no" in decisions
    for command in (
        "downstream show refused",
        "downstream retry refused",
        "`downstream refund refused`",
        "`streams/refused`",
    ):
        assert command in decisions
    assert decisions.count("refund:") == 1  # nobody paid for the test
    assert "**failed/broken.json: it is not a JSON object**" in decisions
    assert "**1 page(s) wait for your review**: made" in decisions
    assert "**3 order(s) wait for outside services whose keys are not set**: asks, held, too-late" in decisions


def test_where_nothing_needs_a_decision_the_review_says_so(home: Path) -> None:
    put(home, State.REVIEW, "made", arrived_at=moment("2026-01-06T10:00"))
    put(home, State.PENDING, "paid", paid_amount=49, paid_at=moment("2026-01-06T22:30"))
    write_heartbeat(home, status="ACTIVE", renewed=moment("2026-01-01T00:00").date(), renew_days=30)

    written(home, Period.DAILY, "2026-01-06T23:00", live=True)

    assert section(report(home, Period.DAILY, "2026-01-06"), "Needs a decision") == "Nothing."


def test_promises_to_customers_that_are_late_or_will_be_need_a_decision(home: Path) -> None:
    put(home, State.PENDING, "late", paid_amount=49, paid_at=moment("2026-01-06T10:00"))
    put(home, State.REVIEW, "soon", paid_amount=49, paid_at=moment("2026-01-06T21:15"))
    put(home, State.PENDING, "in-time", paid_amount=49, paid_at=moment("2026-01-06T22:30"))
    put(home, State.COMPLETED, "done", paid_amount=49, paid_at=moment("2026-01-06T10:00"))
    write_heartbeat(home, status="ACTIVE", renewed=moment("2026-01-01T00:00").date(), renew_days=30)

    written(home, Period.DAILY, "2026-01-06T23:00", live=True)

    text = section(report(home, Period.DAILY, "2026-01-06"), "Needs a decision")
    assert text.splitlines() == [
        "**2 promise(s) to customers are broken, or nearly so**",
        "",
        (
            "- late was promised by 2026-01-06 12:00 UTC and is not delivered: it lies in jobs/pending - "
            "`downstream explain late`"
        ),
        (
            "- soon is promised by 2026-01-06 23:15 UTC: 15 min are left, 20 needed, it lies in jobs/review - "
            "`downstream explain soon`"
        ),
    ]


def test_an_empty_house_has_a_review_too(home: Path) -> None:
    written(home, Period.MONTHLY, "2026-02-01T10:00")

    text = report(home, Period.MONTHLY, "2026-01")
    assert "No order waits." in text
    assert section(text, "What happened") == "Nothing."
    assert table(text)["median hours from order to page"] == ("-", "-")


def test_an_overdue_heartbeat_is_in_every_review(home: Path) -> None:
    write_heartbeat(home, status="ACTIVE", renewed=moment("2025-11-01T00:00").date(), renew_days=30)

    for period, label in ((Period.DAILY, "2026-01-04"), (Period.WEEKLY, "2026-W01"), (Period.MONTHLY, "2026-01")):
        written(home, period, "2026-01-04T23:00")
        assert "**The heartbeat**: last renewed on 2025-11-01" in section(
            report(home, period, label), "Needs a decision"
        )


def test_week_and_month_add_up_their_days(business: Path) -> None:
    written(business, Period.WEEKLY, "2026-01-11T20:00")
    written(business, Period.MONTHLY, "2026-02-01T10:00")

    week = table(report(business, Period.WEEKLY, "2026-W02"))
    month = table(report(business, Period.MONTHLY, "2026-01"))

    assert week["orders received"] == ("8", "2")
    assert week["revenue, EUR"] == ("304.90 EUR", "49.00 EUR")
    assert week["completed"] == ("4", "1")
    assert week["failed"] == ("1", "1")
    assert month["orders received"] == ("10", "0")
    assert month["revenue, EUR"] == ("353.90 EUR", "0.00 EUR")
    assert month["completed"] == ("5", "0")


def test_local_clocks_decide_which_day_it_was(home: Path) -> None:
    done = (State.REVIEW, State.COMPLETED)
    # 22:30 and 23:30 in Budapest on the day the clocks go forward, when a day is 23 hours long.
    put(home, State.COMPLETED, "before", moved(*done, "2026-03-29T20:30"), arrived_at=moment("2026-03-29T20:00"))
    put(home, State.COMPLETED, "after", moved(*done, "2026-03-29T21:30"), arrived_at=moment("2026-03-29T21:15"))
    failure = Failure(kind="refused", reason="no", at=moment("2026-03-29T20:30"))
    put(home, State.FAILED, "bad", arrived_at=moment("2026-03-28T21:30"), failure=failure)

    written(home, Period.DAILY, "2026-03-29T23:00", zone="Europe/Budapest")
    written(home, Period.DAILY, "2026-03-30T23:00", zone="Europe/Budapest")

    first, second = (report(home, Period.DAILY, f"2026-03-{day}") for day in (29, 30))
    assert table(first)["completed"] == ("1", "0")
    assert table(second)["completed"] == ("1", "1")
    assert "- 03-29 22:30 before: completed" in first
    assert "- 03-29 23:30 after: completed" in second
    assert "made 2026-03-29 23:00 CEST" in first
    assert "**bad** failed on 2026-03-29 22:30" in first


@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_a_review_run_by_cron_on_the_day_the_clocks_change_is_final(home: Path, change: str) -> None:
    assert written(home, Period.DAILY, f"{change}T23:00", zone="Europe/Budapest") == [change]

    assert json.loads((home / f"triggers/daily-{change}.done").read_bytes())["complete"] is True
    assert written(home, Period.DAILY, f"{change}T23:30", zone="Europe/Budapest") == []


# --- money -----------------------------------------------------------------------------------------------------------


def spent(home: Path, stream_id: str, call: str, when: str, micros: int, *, zone: str = "UTC") -> Attempt:
    """A call of that price is reserved at that moment, on the clock of the zone; its attempt, to be settled."""
    at = datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(zone))
    attempt = Attempt(call, "inputs", "minimax", 1, at, micros)
    ledger(home, at, zone).reserve(stream_id, call, "inputs", 1, "minimax", micros)
    return attempt


def settled(home: Path, stream_id: str, attempt: Attempt, micros: int, *, exact: bool) -> None:
    """The attempt's end is in the books."""
    attempt.phase, attempt.cost_micros, attempt.exact = Phase.OUTCOME, micros, exact
    ledger(home, attempt.began_at, "UTC").settle(stream_id, attempt)


def ledger(home: Path, at: datetime, zone: str) -> Ledger:
    """The installation's ledger at that moment."""
    caps = Caps(per_call_micros=10**9, per_day_micros=10**9, per_month_micros=10**9)
    return Ledger(home, caps=caps, timezone=zone, clock=lambda: at)


def money(text: str) -> dict[str, tuple[str, str]]:
    """The table of the money section."""
    rows = [line for line in section(text, "Money").splitlines()[2:] if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows]
    return {name: (this, before) for name, this, before in cells}


def test_what_services_cost_stands_beside_what_was_received(business: Path) -> None:
    settled(business, "yesterday", spent(business, "yesterday", "plan", "2026-01-05T10:00", 94_000), 4_000, exact=True)
    plan = spent(business, "today", "plan", "2026-01-06T01:00", 94_000)
    settled(business, "today", plan, 3_713, exact=True)
    clip = spent(business, "today", "clips/01", "2026-01-06T01:10", 190_000)
    settled(business, "today", clip, 190_000, exact=False)
    settled(business, "free", spent(business, "free", "plan", "2026-01-06T01:20", 94_000), 0, exact=True)
    spent(business, "refused", "clips/01", "2026-01-06T23:00", 40_001)
    spent(business, "tomorrow", "clips/01", "2026-01-06T23:01", 190_000)

    written(business, Period.DAILY, "2026-01-06T23:30")

    text = report(business, Period.DAILY, "2026-01-06")
    assert money(text) == {
        "received, EUR": ("157.90 EUR", "98.00 EUR"),
        "received, USD": ("20.00 USD", "0.00 USD"),
        "spent on services": ("$0.233714", "$0.004"),
        "of it assumed or lost": ("$0.19", "$0.00"),
        "of it still open": ("$0.040001", "$0.00"),
        "average of an order": ("$0.116857", "$0.004"),
    }
    assert section(text, "Money").endswith("The dearest orders:\n\n- today: $0.193713\n- refused: $0.040001")


def test_weeks_and_months_add_up_what_lies_in_more_than_one_book(home: Path) -> None:
    for number, when in enumerate(("2025-11-30T12:00", "2025-12-31T12:00", "2026-01-31T21:00", "2026-02-01T19:00"), 1):
        spent(home, f"order-{number}", "plan", when, number)

    written(home, Period.WEEKLY, "2026-02-01T20:00")
    written(home, Period.MONTHLY, "2026-02-01T10:00")

    assert money(report(home, Period.WEEKLY, "2026-W05"))["spent on services"] == ("$0.000007", "$0.00")
    assert money(report(home, Period.MONTHLY, "2026-01"))["spent on services"] == ("$0.000003", "$0.000002")


def test_only_the_five_dearest_orders_are_named(home: Path) -> None:
    for number in range(1, 8):
        spent(home, f"order-{number}", "plan", "2026-01-06T12:00", number * 1000)

    written(home, Period.DAILY, "2026-01-06T23:00")

    named = [line for line in report(home, Period.DAILY, "2026-01-06").splitlines() if line.startswith("- order-")]
    assert named == [f"- order-{number}: $0.00{number}" for number in range(7, 2, -1)]


def test_a_day_without_spending_says_so(home: Path) -> None:
    written(home, Period.DAILY, "2026-01-06T23:00")

    found = money(report(home, Period.DAILY, "2026-01-06"))

    assert found["spent on services"] == ("$0.00", "$0.00")
    assert found["average of an order"] == ("-", "-")
    assert "dearest" not in report(home, Period.DAILY, "2026-01-06")


# --- refunds and what stands still -----------------------------------------------------------------------------------


def refunded(when: str, amount_minor: int) -> Entry:
    """So much of the payment had gone back then."""
    evidence = {"amount_minor": amount_minor, "currency": "eur"}
    return Entry(at=moment(when), who="shop", what=What.REFUNDED, evidence=evidence)


def test_refunds_are_taken_off_and_named_wherever_money_is_told(business: Path) -> None:
    put(
        business, State.COMPLETED, "refunded-today",
        refunded("2026-01-06T15:00", 1000), refunded("2026-01-06T16:00", 4900),
        paid_amount=49, paid_at=moment("2026-01-05T09:30"),
    )  # fmt: skip

    written(business, Period.DAILY, "2026-01-06T23:00")

    text = report(business, Period.DAILY, "2026-01-06")
    assert table(text)["revenue, EUR"] == ("108.90 EUR", "147.00 EUR")
    assert table(text)["refunds, EUR"] == ("2: 49.00 EUR", "0: 0.00 EUR")
    assert money(text)["received, EUR"] == ("108.90 EUR", "147.00 EUR")
    assert money(text)["refunds, EUR"] == ("2: 49.00 EUR", "0: 0.00 EUR")
    assert "- 01-06 16:00 refunded-today: refunded" in text


def test_an_order_that_was_given_up_and_paid_back_needs_no_decision_and_one_that_is_owed_does(home: Path) -> None:
    for name, kind, back in (("closed", "refunded", 4900), ("owed", "cancelled", 0), ("in-part", "withdrawn", 4899)):
        put(
            home, State.FAILED, name, refunded("2026-01-06T15:00", back),
            failure=Failure(kind=kind, reason="over", at=moment("2026-01-06T12:00")),
            paid_amount=49, paid_at=moment("2026-01-06T10:00"),
        )  # fmt: skip
    failure = Failure(kind="cancelled", reason="over", at=moment("2026-01-06T12:00"))
    put(home, State.FAILED, "unpaid", failure=failure, arrived_at=moment("2026-01-06T10:00"))

    written(home, Period.DAILY, "2026-01-06T23:00")

    decisions = section(report(home, Period.DAILY, "2026-01-06"), "Needs a decision")
    assert "`downstream refund owed`" in decisions
    assert "`downstream refund in-part`" in decisions
    assert "closed" not in decisions
    assert "unpaid" not in decisions


def test_an_order_whose_money_is_back_names_no_refund_any_more(home: Path) -> None:
    failure = Failure(kind="rejected", reason="the judge said no", at=moment("2026-01-06T12:00"))
    put(
        home, State.FAILED, "bad", refunded("2026-01-06T15:00", 4900), failure=failure,
        paid_amount=49, paid_at=moment("2026-01-06T10:00"),
    )  # fmt: skip

    written(home, Period.DAILY, "2026-01-06T23:00")

    text = report(home, Period.DAILY, "2026-01-06")
    assert "**bad** failed" in text
    assert "downstream refund" not in text


def test_held_orders_and_disputes_are_listed_with_the_next_step(home: Path) -> None:
    for name, kind in (("asked", OPERATOR), ("bank", DISPUTED), ("back", REFUNDED), ("going", CANCELLED)):
        hold(home, Hold(name, kind, f"the reason of {name}", "2026-01-06T12:00:00+00:00"))

    written(home, Period.DAILY, "2026-01-06T23:00")

    lines = section(report(home, Period.DAILY, "2026-01-06"), "Needs a decision").split("\n\n**")[0].splitlines()
    assert lines[0] == "**2 order(s) stand still**"
    assert lines[2].startswith("- asked: the reason of asked - `downstream release asked` lets it go on")
    assert lines[3].startswith("- bank: the reason of bank - answer the dispute at the payment service; ")
    assert len(lines) == 4


def test_the_money_of_a_forgotten_order_stays_in_the_books(home: Path) -> None:
    folder = home / "logs/forgotten"
    folder.mkdir()
    payment = KeptPayment(
        amount_minor=4900, currency="eur", paid_at=moment("2026-01-06T10:00"),
        refunded_minor=1900, refunded_at=moment("2026-01-06T11:00"),
    )  # fmt: skip
    for name, how in (("gone", "done"), ("going", "begun")):
        proof = Proof(stream_id=name, status=how, command="x", begun_at=moment("2026-01-06T12:00"), kept=(payment,))
        (folder / f"{name}.json").write_bytes(proof.to_json())
    (folder / "spoilt.json").write_text("{")

    written(home, Period.DAILY, "2026-01-06T23:00")

    found = table(report(home, Period.DAILY, "2026-01-06"))
    assert found["of them paid"] == ("1", "0")
    assert found["revenue, EUR"] == ("30.00 EUR", "0.00 EUR")
    assert found["refunds, EUR"] == ("1: 19.00 EUR", "0: 0.00 EUR")


# --- which reviews are due -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "now", "label"),
    [
        (Period.DAILY, "2026-01-06T23:00", "2026-01-06"),
        (Period.DAILY, "2025-12-31T23:00", "2025-12-31"),
        (Period.WEEKLY, "2026-01-04T20:00", "2026-W01"),
        (Period.WEEKLY, "2027-01-03T20:00", "2026-W53"),
        (Period.MONTHLY, "2026-02-01T10:00", "2026-01"),
        (Period.MONTHLY, "2026-01-01T10:00", "2025-12"),
    ],
)
def test_a_review_at_cron_s_time_is_final_and_made_once(home: Path, period: Period, now: str, label: str) -> None:
    assert written(home, period, now) == [label]
    before = report(home, period, label)

    assert written(home, period, now) == []
    assert written(home, period, now.replace(":00", ":59")) == []

    assert report(home, period, label) == before
    assert not list((home / "triggers").glob("*.trigger"))
    assert [path.name for path in (home / "triggers").glob("*.done")] == [f"{period.value}-{label}.done"]


@pytest.mark.parametrize(
    ("period", "early", "label", "at_its_end"),
    [
        (Period.DAILY, "2026-01-06T10:00", "2026-01-06", "2026-01-06T23:00"),
        (Period.WEEKLY, "2026-01-06T10:00", "2026-W02", "2026-01-11T20:00"),
        (Period.MONTHLY, "2026-01-06T10:00", "2026-01", "2026-02-01T10:00"),
    ],
)
def test_a_review_so_far_is_replaced_until_its_period_is_over(
    home: Path, period: Period, early: str, label: str, at_its_end: str
) -> None:
    assert written(home, period, early) == [label]
    assert "The period is not over" in report(home, period, label)

    put(
        home,
        State.COMPLETED,
        "late",
        moved(State.REVIEW, State.COMPLETED, "2026-01-06T12:00"),
        arrived_at=moment("2026-01-06T11:00"),
    )
    assert written(home, period, early.replace("10:00", "12:30")) == [label]
    assert "The period is not over" in report(home, period, label)
    assert table(report(home, period, label))["completed"][0] == "1"

    assert written(home, period, at_its_end) == [label]
    assert "not over" not in report(home, period, label)
    assert written(home, period, at_its_end) == []


def test_a_review_so_far_is_completed_by_the_next_day_if_nobody_came_at_its_end(home: Path) -> None:
    assert written(home, Period.DAILY, "2026-01-06T10:00") == ["2026-01-06"]

    assert written(home, Period.DAILY, "2026-01-07T10:00") == ["2026-01-06", "2026-01-07"]

    assert "not over" not in report(home, Period.DAILY, "2026-01-06")
    assert "not over" in report(home, Period.DAILY, "2026-01-07")


def test_the_hour_after_the_bell_belongs_to_the_next_day(home: Path) -> None:
    written(home, Period.DAILY, "2026-01-06T23:00")
    put(home, State.PENDING, "late", arrived_at=moment("2026-01-06T23:30"))

    assert written(home, Period.DAILY, "2026-01-06T23:45") == []
    assert written(home, Period.DAILY, "2026-01-07T23:00") == ["2026-01-07"]

    assert table(report(home, Period.DAILY, "2026-01-07"))["orders received"] == ("1", "0")


@pytest.mark.parametrize(
    ("period", "last", "now", "labels"),
    [
        (Period.DAILY, "2025-12-30T23:00", "2026-01-02T23:00", ["2025-12-31", "2026-01-01", "2026-01-02"]),
        (Period.DAILY, "2026-03-27T23:00", "2026-03-30T23:00", ["2026-03-28", "2026-03-29", "2026-03-30"]),
        (Period.WEEKLY, "2026-12-20T20:00", "2027-01-10T20:00", ["2026-W52", "2026-W53", "2027-W01"]),
        (Period.MONTHLY, "2025-12-01T10:00", "2026-03-01T10:00", ["2025-12", "2026-01", "2026-02"]),
    ],
)
def test_missed_periods_are_made_up_for_once(
    home: Path, period: Period, last: str, now: str, labels: list[str]
) -> None:
    written(home, period, last, zone="Europe/Budapest")

    assert written(home, period, now, zone="Europe/Budapest") == labels

    assert all("not over" not in report(home, period, label) for label in labels)
    assert written(home, period, now, zone="Europe/Budapest") == []


def test_a_week_and_a_month_whose_bell_was_missed_are_made_up_for_by_the_next_day(home: Path) -> None:
    written(home, Period.WEEKLY, "2026-01-25T20:00")
    written(home, Period.MONTHLY, "2026-01-01T10:00")
    assert daily(context(home, "2026-01-30T23:00"))[0].stem == "daily-2026-01-30"

    made = daily(context(home, "2026-02-03T23:00"))  # the machine was off from Saturday to Tuesday

    assert [path.stem for path in made][-2:] == ["weekly-2026-W05", "monthly-2026-01"]
    assert all("not over" not in path.read_text() for path in made)
    assert daily(context(home, "2026-02-03T23:30")) == []
    assert written(home, Period.WEEKLY, "2026-02-08T20:00") == ["2026-W06"]


def test_a_week_that_was_looked_at_early_by_the_machines_clock_is_final_the_day_after(home: Path) -> None:
    """Cron goes by the machine's clock, here UTC; the week ends by the operator's."""
    zone = "America/New_York"
    written(home, Period.WEEKLY, "2026-01-04T15:00", zone=zone)
    assert "not over" in report(home, Period.WEEKLY, "2026-W01")

    daily(context(home, "2026-01-05T18:00", zone=zone))

    assert "not over" not in report(home, Period.WEEKLY, "2026-W01")


def test_a_made_up_day_has_the_figures_of_that_day(business: Path) -> None:
    written(business, Period.DAILY, "2026-01-04T23:00")

    assert written(business, Period.DAILY, "2026-01-08T23:00") == [f"2026-01-0{day}" for day in range(5, 9)]

    received = [table(report(business, Period.DAILY, f"2026-01-0{day}"))["orders received"] for day in range(5, 9)]
    assert received == [("2", "1"), ("5", "2"), ("1", "5"), ("0", "1")]


def test_a_new_installation_makes_up_for_nothing(home: Path) -> None:
    assert written(home, Period.DAILY, "2026-01-06T23:00") == ["2026-01-06"]


def test_of_years_that_were_missed_only_the_last_weeks_are_made_up_for(home: Path) -> None:
    written(home, Period.DAILY, "2020-01-01T23:00")

    labels = written(home, Period.DAILY, "2026-01-06T23:00")

    assert len(labels) == 60
    assert labels[-1] == "2026-01-06"
    assert written(home, Period.DAILY, "2026-01-06T23:00") == []


# --- triggers --------------------------------------------------------------------------------------------------------


def test_a_trigger_dropped_by_hand_is_worked_off_and_becomes_done(business: Path) -> None:
    written(business, Period.DAILY, "2026-01-06T23:00")
    trigger = business / "triggers/daily-2026-01-05.trigger"
    trigger.write_text("please")

    assert written(business, Period.DAILY, "2026-01-06T23:30") == ["2026-01-05"]

    assert not trigger.exists()
    assert json.loads(trigger.with_suffix(".done").read_bytes())["complete"] is True
    assert table(report(business, Period.DAILY, "2026-01-05"))["revenue, EUR"] == ("98.00 EUR", "0.00 EUR")


def test_a_trigger_asks_for_a_final_review_to_be_written_anew(business: Path) -> None:
    written(business, Period.DAILY, "2026-01-06T23:00")
    (business / "triggers/daily-2026-01-06.trigger").touch()

    assert written(business, Period.DAILY, "2026-01-07T09:00") == ["2026-01-06", "2026-01-07"]


def test_a_stage_works_off_only_its_own_triggers(home: Path) -> None:
    for name in ("weekly-2026-W01", "monthly-2025-12"):
        (home / f"triggers/{name}.trigger").touch()

    written(home, Period.DAILY, "2026-01-06T23:00")

    assert len(list((home / "triggers").glob("*.trigger"))) == 2


@pytest.mark.parametrize(
    "name",
    [
        "daily-.trigger",
        "daily-2026-02-30.trigger",
        "daily-tomorrow.trigger",
        "daily-0001-01-01.trigger",
        "daily-20260106.trigger",
    ],
)
def test_a_trigger_that_names_no_day_is_told_of_once_a_day_and_left(home: Path, name: str) -> None:
    (home / "triggers" / name).touch()
    first, second, later = (context(home, f"2026-01-{day}T23:00") for day in ("06", "06", "08"))

    for run in (first, second, later):
        make_reviews(run, Period.DAILY)

    assert first.outcome.told == [f"triggers/{name} names no daily period"]
    assert second.outcome.told == []
    assert later.outcome.told == first.outcome.told
    assert (home / "triggers" / name).exists()
    assert (home / "logs/reviews/daily-2026-01-06.md").exists()


def test_a_day_to_come_may_be_asked_for_and_stops_no_other(home: Path) -> None:
    written(home, Period.DAILY, "2026-01-06T23:00")
    (home / "triggers/daily-2062-01-06.trigger").touch()

    assert written(home, Period.DAILY, "2026-01-07T23:00") == ["2026-01-07", "2062-01-06"]

    assert "not over" in report(home, Period.DAILY, "2062-01-06")
    assert written(home, Period.DAILY, "2026-01-09T23:00") == ["2026-01-08", "2026-01-09"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"complete": null}', '"x"'])
def test_a_damaged_done_file_only_means_once_more(home: Path, damage: str) -> None:
    written(home, Period.DAILY, "2026-01-06T23:00")
    (home / "triggers/daily-2026-01-06.done").write_text(damage)

    assert written(home, Period.DAILY, "2026-01-06T23:10") == ["2026-01-06"]
    assert written(home, Period.DAILY, "2026-01-06T23:20") == []


def test_other_files_among_the_triggers_are_nobodys_business(home: Path) -> None:
    for name in ("daily-2026-99-99.done", "daily-.done", "notes.txt", ".gitkeep", "daily-2026-01-01.done.bak"):
        (home / "triggers" / name).write_text('{"complete": true}')

    assert written(home, Period.DAILY, "2026-01-06T23:00") == ["2026-01-06"]


# --- trouble ---------------------------------------------------------------------------------------------------------


def killed_at(write_number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that ends the process just before it writes, renames or removes for the n-th time."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in {"os.rename", "os.remove"} or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            seen += 1
            if seen == write_number:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def test_killed_at_any_step_each_day_ends_with_its_review_done(home: Path, tmp_path: Path) -> None:
    import shutil

    written(home, Period.DAILY, "2026-01-04T23:00")
    killed = 0
    for instant in range(1, 200):
        copy = tmp_path / str(instant)
        shutil.copytree(home, copy)
        child = os.fork()
        if child == 0:
            run = context(copy, "2026-01-06T23:00")
            sys.addaudithook(killed_at(instant))
            daily(run)
            os._exit(0)
        status = os.waitpid(child, 0)[1]

        written(copy, Period.DAILY, "2026-01-06T23:05")

        assert sorted(path.name for path in (copy / "triggers").iterdir() if not path.name.startswith(".")) == [
            f"daily-2026-01-0{day}.done" for day in (4, 5, 6)
        ], f"killed at {instant}"
        assert all("not over" not in report(copy, Period.DAILY, f"2026-01-0{day}") for day in (4, 5, 6))
        assert written(copy, Period.DAILY, "2026-01-06T23:10") == []
        shutil.rmtree(copy)
        if status == 0:
            break
        killed += 1
    assert status == 0
    assert killed > 20


def test_killed_between_report_and_done_the_review_is_written_once_more(home: Path) -> None:
    written(home, Period.DAILY, "2026-01-06T23:00")
    (home / "triggers/daily-2026-01-06.done").rename(home / "triggers/daily-2026-01-06.trigger")

    assert written(home, Period.DAILY, "2026-01-06T23:01") == ["2026-01-06"]

    assert not list((home / "triggers").glob("*.trigger"))


def test_while_one_review_is_written_another_run_leaves_it_alone(home: Path) -> None:
    with Lock.wait(home / "triggers/.daily.lock"):
        assert written(home, Period.DAILY, "2026-01-06T23:00") == []
        assert written(home, Period.WEEKLY, "2026-01-11T20:00") == ["2026-W02"]

    assert written(home, Period.DAILY, "2026-01-06T23:00") == ["2026-01-06"]


def test_two_runs_at_once_write_each_review_once(home: Path) -> None:
    written(home, Period.DAILY, "2026-01-01T23:00")
    read_end, write_end = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for label in written(home, Period.DAILY, "2026-01-20T23:00"):
                os.write(write_end, f"{label}\n".encode())
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    os.close(write_end)

    told = os.read(read_end, 10_000).decode().split()
    assert sorted(told) == [f"2026-01-{day:02d}" for day in range(2, 21)]


def test_files_that_are_no_jobs_never_stop_a_review(home: Path) -> None:
    odd = Path(os.fsdecode(bytes(home / "jobs/failed") + b"/caf\xe9 \n## x.json"))
    odd.write_text("[]")
    (home / "jobs/failed/folder.json").mkdir()
    os.mkfifo(home / "jobs/pending/pipe.json")
    (home / "jobs/completed/half.json").write_text("{")
    (home / "jobs/review/wrong.json").write_bytes(b"\xff")
    put(
        home, State.PENDING, "year-one", paid_at=datetime.fromisoformat("0001-01-01T00:00:00+14:00"), paid_amount=1
    ).touch()
    put(home, State.COMPLETED, "last-year", paid_at=datetime.fromisoformat("9999-12-31T23:59:59-12:00")).touch()

    assert written(home, Period.DAILY, "2026-01-06T23:00") == ["2026-01-06"]

    decisions = section(report(home, Period.DAILY, "2026-01-06"), "Needs a decision")
    assert "**failed/caf_ _## x.json: it is not a JSON object**" in decisions
    assert "**failed/folder.json: it is not a regular file**" in decisions


def test_an_order_that_moves_on_while_the_folders_are_read_is_counted_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, State.PENDING, "test", arrived_at=moment("2026-01-06T10:00"))
    look = Queue.jobs

    def moving(queue: Queue, state: State, *, changed_since: datetime | None = None) -> Any:
        yield from look(queue, state, changed_since=changed_since)
        following = {State.PENDING: State.PROCESSING, State.PROCESSING: State.REVIEW, State.REVIEW: State.COMPLETED}
        if state in following:
            queue.path(state, "test").rename(queue.path(following[state], "test"))

    monkeypatch.setattr(Queue, "jobs", moving)
    written(home, Period.DAILY, "2026-01-06T23:00")

    text = report(home, Period.DAILY, "2026-01-06")
    assert table(text)["orders received"] == ("1", "0")
    assert "No order waits." in text


def test_a_review_holds_no_address_and_changes_no_job(business: Path) -> None:
    before = {path: path.read_bytes() for path in business.glob("jobs/*/*")}

    written(business, Period.DAILY, "2026-01-06T23:00")

    assert "customer@example.com" not in report(business, Period.DAILY, "2026-01-06")
    assert "customer@example.com" not in (business / "logs/daily.log").read_text()
    assert {path: path.read_bytes() for path in business.glob("jobs/*/*")} == before


def test_old_finished_jobs_are_not_opened(business: Path) -> None:
    long_ago = business / "jobs/completed/long-ago.json"
    modified = long_ago.stat().st_mtime
    put(business, State.COMPLETED, "long-ago", moved(State.REVIEW, State.COMPLETED, "2026-01-06T12:00"))
    os.utime(long_ago, (modified, modified))  # opened, it would count as completed today

    written(business, Period.DAILY, "2026-01-06T23:00")

    assert table(report(business, Period.DAILY, "2026-01-06"))["completed"] == ("2", "2")


def test_a_long_day_is_told_by_its_end(home: Path) -> None:
    start = moment("2026-01-06T00:00")
    for number in range(120):
        done = moved(State.REVIEW, State.COMPLETED, f"{start + timedelta(minutes=number + 1):%Y-%m-%dT%H:%M}")
        put(home, State.COMPLETED, f"job-{number:03d}", done, arrived_at=start + timedelta(minutes=number))

    written(home, Period.DAILY, "2026-01-06T23:00")

    lines = section(report(home, Period.DAILY, "2026-01-06"), "What happened").splitlines()
    assert lines[0] == "- … 40 earlier ones are left out"
    assert len(lines) == 201
    assert lines[-1] == "- 01-06 02:00 job-119: completed"
