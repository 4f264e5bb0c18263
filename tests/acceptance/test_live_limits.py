"""Caps refuse the call before it is made; and whatever a clock that was wrong has written holds up nobody for ever."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from matrix import BEFORE_CLIPS, ORDER, TALE, TITLE, Row, Tick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenRow = Callable[..., Row]


# --- caps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "cause", "sentence", "most_micros"),
    [
        ("CAP_PER_CALL_CENTS", "10", "cap.call", "the cap for a call is reached: clips/0", 230_000),
        ("CAP_PER_JOB_PERCENT", "1", "cap.job.order-1", "would take it past its cap of $0.5145", 514_500),
        ("CAP_PER_DAY_CENTS", "50", "cap.day", "the cap for a day is reached: $0.4", 500_000),
        ("CAP_PER_MONTH_CENTS", "50", "cap.month", "the cap for a month is reached: $0.4", 500_000),
    ],
)
def test_a_cap_refuses_the_call_is_told_once_and_the_order_goes_on_when_it_is_raised(
    open_row: OpenRow, name: str, value: str, cause: str, sentence: str, most_micros: int
) -> None:
    row = open_row(**{name: value})

    first = row.tick("process")
    bill = row.bill
    row.later()
    second = row.tick("process")

    assert first.code == 7
    assert first.tells(sentence, name, "It is looked at again at 20")
    assert second == Tick(7, "", ())
    assert (row.where(), row.waits_for(), row.job().get("tries", 0)) == ("pending", cause, 0)
    assert sum(charge.micro_dollars for charge in row.services.bill) <= most_micros
    assert row.bill == bill

    row.settings[name] = "99999" if "CENTS" in name else "40"
    row.later()
    over = row.tick("process")

    assert over.code == 0
    assert over.tells(f"all clear: {cause} holds up no order any more")
    assert row.tick("review").is_quiet
    row.finish()


def test_a_cap_that_holds_up_two_orders_is_told_once(open_row: OpenRow) -> None:
    row = open_row(CAP_PER_DAY_CENTS="30")
    row.order("order-2", TALE, title=TITLE)

    told = row.tick("process")

    assert told.code == 7
    assert told.tells("the cap for a day is reached")
    assert [row.waits_for(each) for each in row.orders] == ["cap.day", "cap.day"]
    assert sum(charge.micro_dollars for charge in row.services.bill) <= 300_000
    row.settings.clear()


def test_an_order_that_nobody_paid_has_a_cap_of_its_own(open_row: OpenRow) -> None:
    row = open_row(CAP_PER_UNPAID_JOB_CENTS="10")
    path = row.home / "jobs" / "pending" / f"{ORDER}.json"
    job = {**json.loads(path.read_bytes()), "live": True}
    path.write_text(json.dumps({key: value for key, value in job.items() if not key.startswith("paid")}))

    told = row.tick("process")

    assert told.code == 7
    assert told.tells("would take it past its cap of $0.10")
    assert sum(charge.micro_dollars for charge in row.services.bill) <= 100_000


# --- clocks --------------------------------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes every line of a file of JSON lines."""
    lines = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def later_by(days: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A line as it would have been written by a clock that was ahead."""
    return lambda line: {**line, "at": (datetime.fromisoformat(line["at"]) + timedelta(days=days)).isoformat()}


def end_of_month(now: datetime) -> datetime:
    """The last second of the month; on its last day, too, that is still to come."""
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return next_month - timedelta(seconds=1)


def receipts_of(row: Row) -> Path:
    return row.home / "streams" / ORDER / "receipts.jsonl"


@pytest.mark.parametrize("service", ["gemini", "minimax", "vercel"])
def test_a_pace_that_was_noted_in_the_future_holds_up_nobody(open_row: OpenRow, service: str) -> None:
    row = open_row("in review" if service == "vercel" else "before clips")
    ahead = time.time() + 30 * 86_400
    with row.limits(service) as state:
        state |= {"creates": [ahead] * 600, "still_until": ahead, "held_until": ahead, "why": "x", "fingerprint": "x"}

    assert row.tick("review" if service == "vercel" else "process") == Tick(0, "", ())
    assert row.where() == ("completed" if service == "vercel" else "review")


@pytest.mark.parametrize("days", [2, 40], ids=["days", "months"])
def test_books_from_the_future_are_gone_on_with(open_row: OpenRow, days: int) -> None:
    row = open_row()
    assert row.tick("process", kill_at="before receipt outcome keyframes/02 #1").code == -9
    [ledger] = (row.home / "logs" / "ledger").glob("*.jsonl")
    rewrite(receipts_of(row), later_by(days))
    rewrite(ledger, later_by(days))
    ledger.rename(ledger.with_name(f"{datetime.now(UTC) + timedelta(days=days):%Y-%m}.jsonl"))

    row.reach_clips(keyframe=1)

    assert row.phases("keyframes/02") == ["intent", "unknown", "intent", "outcome"]


def test_what_was_spent_in_the_future_of_this_month_still_counts_for_the_month(open_row: OpenRow) -> None:
    row = open_row(CAP_PER_MONTH_CENTS="40")
    assert row.tick("process", kill_at="after ledger settled keyframes/05 #1").code == -9
    [ledger] = (row.home / "logs" / "ledger").glob("*.jsonl")
    rewrite(ledger, lambda line: {**line, "at": end_of_month(datetime.now(UTC)).isoformat()})

    told = row.tick("process")

    assert told.code == 7
    assert told.tells("the cap for a month is reached: $0.2")
    assert row.bill == BEFORE_CLIPS


def test_a_person_who_asks_for_a_retry_is_obeyed_also_when_the_clock_was_set_back(open_row: OpenRow) -> None:
    row = open_row()
    assert row.tick("process", kill_at="before receipt outcome keyframes/02 #1").code == -9
    assert row.tick("process", kill_at="before receipt outcome keyframes/02 #1").code == -9
    rewrite(receipts_of(row), later_by(2))
    [ledger] = (row.home / "logs" / "ledger").glob("*.jsonl")
    rewrite(ledger, later_by(2))
    assert row.tick("process").code == 4
    assert "asked for keyframes/02 2 times" in row.failure()[1]

    assert row.tick("retry", ORDER).code == 0
    row.reach_clips(keyframe=2)
