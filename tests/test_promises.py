"""The operator hears of a promise to a customer before it is broken, when it is, and when it is kept after all."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from downstream import promises
from downstream.domain.job import Failure, Job, What
from downstream.domain.order import Order
from downstream.domain.promise import ONE_ORDER, SLACK, Danger, danger, still_needed
from downstream.domain.state import State
from downstream.holds import DISPUTED, OPERATOR, Hold, hold
from downstream.promises import endangered, tell
from downstream.settings import Settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
SETTINGS = Settings(jobs_at_once=1)
MINUTE = timedelta(minutes=1)


def put(home: Path, state: str, stream_id: str, promised_in: timedelta | None, **fields: Any) -> None:
    """A paid job, ordered two hours ago; promised for then, or not told by any file."""
    given = {"paid_amount": 49, "paid_at": NOW - timedelta(hours=2)} | fields
    job = Job(stream_id=stream_id, customer_email="reader@customer.example", **given)
    (home / "jobs" / state / f"{stream_id}.json").write_bytes(job.to_json())
    if promised_in is not None:
        folder = home / "streams" / stream_id
        folder.mkdir(parents=True, exist_ok=True)
        secret, then = "x" * 32, NOW - timedelta(hours=2)
        order = Order(stream_id=stream_id, secret=secret, created_at=then, changed_at=then, ordered_at=then)
        (folder / "order.json").write_bytes(order.model_copy(update={"promised_by": NOW + promised_in}).to_json())


def found(home: Path, now: datetime = NOW) -> dict[str, Danger | None]:
    """The endangered orders, the most urgent first."""
    return {promise.stream_id: promise.danger(now) for promise in endangered(home, SETTINGS, now)}


def said(home: Path, now: datetime = NOW) -> list[str]:
    """What the operator is told at that moment."""
    heard: list[str] = []
    tell(home, SETTINGS, now, heard.append)
    return heard


# --- what is endangered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_minutes", "needed_minutes", "promise_minutes", "expected"),
    [
        (61, 50, 120, None),
        (59, 50, 120, Danger.THREATENED),  # less than is needed, and a margin
        (31, 5, 120, None),
        (29, 5, 120, Danger.THREATENED),  # the last quarter
        (11, 0, 40, None),
        (0, 0, 120, Danger.BROKEN),
        (-5, 0, 120, Danger.BROKEN),
    ],
)
def test_a_promise_is_threatened_before_it_is_broken(
    left_minutes: int, needed_minutes: int, promise_minutes: int, expected: Danger | None
) -> None:
    promised_by = NOW + left_minutes * MINUTE
    ordered_at = promised_by - promise_minutes * MINUTE

    assert danger(ordered_at, promised_by, needed_minutes * MINUTE, NOW) is expected


def test_what_is_needed_grows_with_what_comes_before() -> None:
    assert still_needed(State.PENDING, 2) == 3 * ONE_ORDER
    assert still_needed(State.REVIEW) < still_needed(State.PROCESSING) < still_needed(State.PENDING)
    assert still_needed(State.COMPLETED) == timedelta()


@pytest.mark.parametrize("state", ["pending", "processing", "review", "failed"])
def test_an_order_is_endangered_wherever_it_lies_until_it_is_delivered(home: Path, state: str) -> None:
    put(home, state, "late", -MINUTE)
    put(home, state, "close", 25 * MINUTE)
    put(home, state, "safe", timedelta(hours=9))
    put(home, "completed", "done", -MINUTE)

    assert found(home) == {"late": Danger.BROKEN, "close": Danger.THREATENED}


def test_a_revision_of_a_delivered_page_was_promised_for_no_time(home: Path) -> None:
    put(home, "pending", "revised", -MINUTE)
    path = home / "jobs/pending/revised.json"
    job = Job.model_validate_json(path.read_bytes()).noting(What.MAILED, at=NOW, who="review")
    path.write_bytes(job.noting(What.REGENERATE, at=NOW, who="operator").to_json())

    assert found(home) == {}


def test_an_order_without_a_promise_is_due_when_orders_usually_are(home: Path) -> None:
    put(home, "processing", "by-hand", None, paid_at=NOW - ONE_ORDER * SLACK - MINUTE)
    put(home, "processing", "younger", None, paid_at=NOW - MINUTE)
    put(home, "processing", "undated", None, paid_at=None)
    put(home, "processing", "beyond", None, paid_at=datetime.max.replace(tzinfo=UTC))

    assert found(home) == {"by-hand": Danger.BROKEN}


def test_those_far_behind_in_the_queue_are_threatened_early(home: Path) -> None:
    for number in range(4):
        put(home, "pending", f"order-{number}", timedelta(minutes=129), paid_at=NOW - (9 - number) * MINUTE)

    assert found(home) == {"order-2": Danger.THREATENED, "order-3": Danger.THREATENED}


def test_nobody_waits_for_an_order_that_is_unpaid_or_given_back(home: Path) -> None:
    put(home, "pending", "unpaid", -MINUTE, paid_amount=None, paid_at=None)
    put(home, "failed", "cancelled", -MINUTE, failure=Failure(kind="cancelled", reason="x", at=NOW))
    put(home, "pending", "disputed", -MINUTE)
    put(home, "pending", "held", -MINUTE)
    put(home, "failed", "refunded", -MINUTE)
    path = home / "jobs/failed/refunded.json"
    job = Job.model_validate_json(path.read_bytes())
    path.write_bytes(job.noting(What.REFUNDED, at=NOW, who="shop", evidence={"amount_minor": 4900}).to_json())
    for name, kind in (("disputed", DISPUTED), ("held", OPERATOR)):
        hold(home, Hold(name, kind, "x", NOW.isoformat()))

    assert found(home) == {"held": Danger.BROKEN}


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_promise_is_told_of_when_it_is_threatened_when_it_is_broken_daily_and_when_it_is_over(home: Path) -> None:
    put(home, "processing", "order-1", 30 * MINUTE)

    first, again = said(home), said(home, NOW + 5 * MINUTE)
    broken, soon = said(home, NOW + 31 * MINUTE), said(home, NOW + timedelta(hours=20))
    reminded = said(home, NOW + timedelta(hours=25))
    (home / "jobs/processing/order-1.json").rename(home / "jobs/completed/order-1.json")
    over, silent = said(home, NOW + timedelta(hours=26)), said(home, NOW + timedelta(hours=27))

    close = "order-1 is promised by 2026-01-06 12:30 UTC: 30 min are left, 30 needed, it lies in jobs/processing. "
    assert first == [f"{close}See: downstream explain order-1"]
    late = "order-1 was promised by 2026-01-06 12:30 UTC and is not delivered: it lies in jobs/processing. "
    assert broken == [f"{late}See: downstream explain order-1"] == reminded
    assert over == ["all clear: the promise to order-1 is in no danger any more"]
    assert again == soon == silent == []


def test_many_at_once_are_one_sentence_that_leads_with_the_oldest(home: Path) -> None:
    for number in range(14):
        put(home, "review", f"order-{number:02d}", -number * MINUTE)

    (sentence,) = said(home)

    assert sentence.startswith("order-13 was promised by 2026-01-06 11:47 UTC")
    assert "(and 13 other(s): order-12, order-11," in sentence
    assert "and 3 more)" in sentence
    assert "customer" not in sentence
    assert len(json.loads((home / "logs/alerts.json").read_bytes())) == 14


# --- the program -----------------------------------------------------------------------------------------------------


def long_ago(home: Path, seconds: float = 700) -> None:
    """That long passes since process looked."""
    stamp = home / "jobs/.promises"
    os.utime(stamp, (stamp.stat().st_mtime - seconds,) * 2)


def test_a_tick_with_nothing_to_make_still_tells_of_a_page_that_nobody_reviews(home: Path, run: Run) -> None:
    put(home, "review", "late", None, paid_at=datetime.now(UTC) - timedelta(hours=5))

    first, second = run("process"), run("process")
    long_ago(home)
    third = run("process")
    (home / "jobs/review/late.json").rename(home / "jobs/completed/late.json")
    long_ago(home)
    fourth, fifth = run("process"), run("process")

    assert "late was promised by" in first.stderr
    assert second.stderr == third.stderr == fifth.stderr == ""
    assert fourth.stderr == "all clear: the promise to late is in no danger any more\n"
    assert {one.returncode for one in (first, second, third, fourth, fifth)} == {3}


def test_status_tells_of_it_and_of_the_alarms_that_stand(home: Path, run: Run) -> None:
    put(home, "review", "late", None, paid_at=datetime.now(UTC) - timedelta(hours=5))
    run("process")

    table, as_json = run("status").stdout, json.loads(run("status", "--json").stdout)

    assert "\npromise    late was promised by" in table
    assert "\nalarm      promise.broken.late, told 20" in table
    assert [(one["stream_id"], one["danger"]) for one in as_json["promises"]] == [("late", "broken")]
    assert set(as_json["alarms"]) == {"promise.broken.late"}


def test_only_the_first_of_a_long_queue_are_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "MOST_PENDING", 2)
    for number in range(4):
        put(home, "pending", f"order-{number}", -MINUTE, paid_at=NOW - (9 - number) * MINUTE)

    assert list(found(home)) == ["order-0", "order-1"]


def test_a_fault_in_the_look_at_promises_does_not_keep_orders_from_being_made(home: Path, run: Run) -> None:
    put(home, "pending", "test", None, paid_amount=None, paid_at=None)
    put(home, "failed", "late", None, paid_at=datetime.now(UTC) - timedelta(hours=5))
    (home / "streams/late/order.json").parent.mkdir()
    (home / "streams/late/order.json").write_text("{}")
    (home / "jobs/.promises").mkdir()
    (home / "jobs/.promises/x").mkdir()
    os.utime(home / "jobs/.promises", (0, 0))

    ended = run("process")

    assert "late was promised by" in ended.stderr
    assert ended.returncode == 0
    assert (home / "jobs/review/test.json").exists()
