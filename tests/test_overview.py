"""``downstream status`` and ``show``: where every order stands, told from the files."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Failure, Job, State, What
from downstream.locks import Lock
from downstream.overview import MOST_PENDING, life, status
from downstream.queue import NoSuchJob, Queue, StillWritten, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def put(home: Path, state: str, stream_id: str, **fields: Any) -> None:
    """A job in any folder."""
    job = Job(stream_id=stream_id, customer_email="test@test.com", arrived_at=NOW, **fields)
    (home / "jobs" / state / f"{stream_id}.json").write_bytes(job.to_json())


def rows(home: Path) -> dict[str, tuple[str, str]]:
    """Stream id to state and note."""
    return {row.stream_id: (row.state, row.note) for row in status(home, NOW).jobs}


def test_every_folder_is_counted_and_every_open_order_has_its_line(home: Path) -> None:
    put(home, "failed", "bad", failure=Failure(kind="refused", reason="the filter said no", at=NOW))
    put(home, "failed", "silent")
    put(home, "review", "made")
    put(home, "review", "approved")
    with_approval = Queue(home).read("review", "approved.json").noting(What.APPROVED, at=NOW, who="review")
    (home / "jobs/review/approved.json").write_bytes(with_approval.to_json())
    put(home, "processing", "left")
    put(home, "processing", "alive")
    put(home, "pending", "new")
    put(home, "pending", "paid", paid_amount=49)
    put(home, "pending", "later", not_before=NOW + timedelta(minutes=90), tries=3)
    put(home, "completed", "old")
    (home / "streams/alive").mkdir()
    (home / "streams/alive/production.json").write_text("{}")
    (home / "streams/alive/clips").mkdir()
    (home / "streams/alive/clips/01.mp4").write_text("")
    (home / "streams/alive/clips/.02.mp4").write_text("")

    with Lock.wait(home / "streams/alive/lock"):
        found = rows(home)

    assert status(home, NOW).counts == {"pending": 3, "processing": 2, "review": 2, "completed": 1, "failed": 2}
    assert found == {
        "bad": ("failed", "the filter said no"),
        "silent": ("failed", "no reason is noted"),
        "made": ("review", "waits for review"),
        "approved": ("review", "approved, being delivered"),
        "left": ("processing", "left by a crash, resumed at the next tick: nothing yet"),
        "alive": ("processing", "being made: plan 1, clips 1"),
        "new": ("pending", ""),
        "paid": ("pending", "waits for outside services"),
        "later": ("pending", "tried 3 times, again in 90 min"),
    }


def test_what_waits_comes_in_the_order_of_service_and_only_its_head(home: Path) -> None:
    for number in range(MOST_PENDING + 5):
        put(home, "pending", f"job-{number:02d}", paid_at=NOW - timedelta(minutes=number))

    found = status(home, NOW)

    last = MOST_PENDING + 4
    assert [row.stream_id for row in found.jobs] == [f"job-{number:02d}" for number in range(last, 4, -1)]
    assert found.counts["pending"] == MOST_PENDING + 5


def test_money_and_time_are_told(home: Path) -> None:
    put(home, "review", "paid", paid_amount=49.5, paid_at=NOW - timedelta(days=1))
    put(home, "review", "voucher", paid_amount=0, paid_at=NOW)
    put(home, "review", "test")

    found = {row.stream_id: (row.paid, row.since) for row in status(home, NOW).jobs}

    assert found == {
        "paid": ("49.50 EUR", "2026-01-05T12:00+00:00"),
        "voucher": ("0.00 EUR", "2026-01-06T12:00+00:00"),
        "test": ("no", "2026-01-06T12:00+00:00"),
    }


def test_files_that_are_no_jobs_have_their_line_too_and_names_are_made_printable(home: Path) -> None:
    for state in ("failed", "review", "processing", "pending"):
        (home / "jobs" / state / f"list-{state}.json").write_text("[]")
        Path(os.fsdecode(bytes(home / "jobs" / state) + b"/\xff\x1b.json")).write_text("[]")
    (home / "jobs/failed/colon: in name.json").write_text("[]")

    found = status(home, NOW)

    assert {row.note for row in found.jobs} == {"not a job: it is not a JSON object"}
    names = {row.stream_id for row in found.jobs}
    assert names == {"list-failed", "list-review", "list-processing", "list-pending", "__", "colon: in name"}
    assert json.dumps(found.as_json()).encode()


def test_a_half_written_job_is_passed_over(home: Path) -> None:
    put(home, "pending", "test")
    status(home, NOW)
    (home / "jobs/pending/test.json").write_text('{"stream_id"')

    assert status(home, NOW).jobs == []


def test_a_job_claimed_or_opened_by_an_editor_just_after_the_listing_is_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, "pending", "stays")
    (home / "jobs/pending/edited.json").write_text('{"stream_id"')
    listed = [("claimed.json", False), ("edited.json", False), ("stays.json", False)]
    monkeypatch.setattr(Queue, "waiting", lambda _: listed)

    assert list(rows(home)) == ["stays"]


def test_looking_changes_no_job_and_needs_no_heartbeat(home: Path) -> None:
    put(home, "pending", "test")
    put(home, "processing", "left")
    (home / "jobs/pending/bad name.json").write_text("[]")
    (home / "HEARTBEAT.md").unlink()
    before = {path: path.read_bytes() for path in home.glob("jobs/*/*")}

    found = status(home, NOW)

    assert found.heartbeat == "paused"
    assert {path: path.read_bytes() for path in home.glob("jobs/*/*")} == before


def test_finished_jobs_are_counted_and_not_read_so_a_hundred_thousand_take_no_second(home: Path) -> None:
    for thousand in range(100):
        first = home / "jobs/completed" / f"j{thousand}-0.json"
        first.write_text("not even a job")
        for number in range(1, 1000):
            os.link(first, home / "jobs/completed" / f"j{thousand}-{number}.json")  # quicker than writing each

    started = time.process_time()
    found = status(home, NOW)

    assert time.process_time() - started < 1
    assert found.counts["completed"] == 100_000
    assert found.jobs == []


@pytest.fixture
def told(home: Path) -> Callable[[str], str]:
    """The life of an order, as one text."""
    return lambda stream_id: "\n".join(life(home, stream_id))


def test_the_life_of_an_order_tells_what_happened_when_and_by_whom(home: Path, told: Callable[[str], str]) -> None:
    put(home, "pending", "test", paid_amount=49, paid_at=NOW)
    queue = Queue(home)
    claim = queue.claim_next(live=True, now=NOW)
    assert claim is not None
    claim.advance(claim.job, State.REVIEW, at=NOW + timedelta(hours=1), who="process")
    claim = queue.claim("test", State.REVIEW)
    job = claim.job.noting(What.APPROVED, at=NOW + timedelta(hours=2), who="operator", reason="fine")
    claim.save(job)
    public = home / "streams/test/public"
    public.mkdir()
    (public / "index.html").write_text("")

    text = told("test")

    assert text.splitlines() == [
        "test  review  (jobs/review/test.json)",
        "  paid      49.00 EUR on 2026-01-06 12:00 UTC",
        "  made      nothing yet",
        f"  page      {public / 'index.html'}",
        "  2026-01-06 12:00:00  arrived",
        "  2026-01-06 13:00:00  processing → review  by process",
        "  2026-01-06 14:00:00  approved  by operator  fine",
    ]


def test_the_life_of_a_failed_order_tells_why_and_when_it_is_tried_again(
    home: Path, told: Callable[[str], str]
) -> None:
    failure = Failure(kind="refused", reason="the filter said no", at=NOW)
    put(home, "failed", "bad", failure=failure, not_before=NOW, tries=2)

    assert "  failed    refused: the filter said no" in told("bad")
    assert "  next try  2026-01-06 12:00:00 UTC (tried 2 times)" in told("bad")


@pytest.mark.parametrize(
    ("content", "trouble"), [(None, NoSuchJob), ("[]", Unreadable), ('{"stream_id"', StillWritten)]
)
def test_what_has_no_life_says_so(
    home: Path, told: Callable[[str], str], content: str | None, trouble: type[Exception]
) -> None:
    if content is not None:
        (home / "jobs/pending/test.json").write_text(content)

    with pytest.raises(trouble):
        told("test")


def test_an_order_that_moves_on_while_it_is_looked_for_is_found(home: Path, told: Callable[[str], str]) -> None:
    put(home, "pending", "test")
    child = os.fork()
    if child == 0:
        places = [home / "jobs" / state / "test.json" for state in ("pending", "processing", "review")]
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for source, target in pairwise([*places, places[0]]):
                source.rename(target)
        os._exit(0)

    looks = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        try:
            assert told("test").split()[1] in {"pending", "processing", "review"}
        except NoSuchJob:  # it went back to the left just then
            continue
        looks += 1

    assert looks > 20
