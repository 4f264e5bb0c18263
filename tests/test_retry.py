"""``downstream retry``: a failed order goes round again with a clean slate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from planned import planned

from downstream.domain.job import Failure, Job, What
from downstream.domain.state import State
from downstream.job_file import Unreadable
from downstream.queue import MAX_RECOVERIES, Busy, NoSuchJob, Queue
from downstream.retry import retry

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def failed(home: Path, **fields: Any) -> Job:
    """A job that failed after all sorts of trouble."""
    job = Job(
        stream_id="test",
        customer_email="test@test.com",
        recoveries=4,
        tries=11,
        not_before=NOW + timedelta(hours=6),
        failure=Failure(kind="recoveries", reason="x", at=NOW),
        **fields,
    )
    (home / "jobs/failed/test.json").write_bytes(job.to_json())
    return job


def again(home: Path, step: str | None = None, segment_id: str | None = None, *, cleared: bool = False) -> Job:
    """The job after a retry, as it waits."""
    retry(Queue(home), "test", step=step, segment_id=segment_id, cleared=cleared, now=NOW)
    return Queue(home).read(State.PENDING, "test.json")


def test_a_retried_job_waits_with_a_clean_count_and_its_story_told(home: Path) -> None:
    failed(home, note="kept")

    job = again(home)

    assert (job.recoveries, job.tries, job.not_before, job.failure) == (0, 0, None, None)
    assert [(entry.what, entry.who) for entry in job.history] == [(What.RETRIED, "operator"), (What.MOVED, "operator")]
    assert (job.history[1].source, job.history[1].target) == (State.FAILED, State.PENDING)
    assert job.redo == {}
    assert job.model_extra == {"note": "kept"}
    claim = Queue(home).claim_next(live=False, now=NOW)
    assert claim is not None


def test_a_retried_job_may_be_recovered_three_times_again(home: Path) -> None:
    failed(home)
    again(home)
    (home / "jobs/pending/test.json").rename(home / "jobs/processing/test.json")

    for recoveries in range(1, MAX_RECOVERIES + 1):
        claim = Queue(home).claim_next(live=False, now=NOW)
        assert claim is not None
        assert claim.job.recoveries == recoveries
        claim.release()


@pytest.mark.parametrize(
    ("step", "segment_id", "key"), [("plan", None, "plan"), ("clips", None, "clips"), ("clips", "03", "clips/03")]
)
def test_a_step_named_is_made_again_each_time_it_is_asked_for(
    home: Path, step: str, segment_id: str | None, key: str
) -> None:
    failed(home, redo={"frames": 1})
    planned(home)

    once = again(home, step, segment_id)

    assert once.redo == {"frames": 1, key: 1}
    assert once.take(step, segment_id or "") == 2
    assert once.history[0].evidence == {"from": step, "segment": segment_id}
    (home / "jobs/pending/test.json").rename(home / "jobs/failed/test.json")
    (home / "jobs/failed/test.json").write_bytes(once.evolve(history=()).to_json())
    assert again(home, step, segment_id).redo == {"frames": 1, key: 2}


@pytest.mark.parametrize("state", ["pending", "processing", "review", "completed"])
def test_only_a_failed_job_can_be_retried(home: Path, state: str) -> None:
    job = failed(home)
    (home / "jobs/failed/test.json").rename(home / "jobs" / state / "test.json")

    with pytest.raises(NoSuchJob):
        again(home)

    assert (home / "jobs" / state / "test.json").read_bytes() == job.to_json()


def test_a_job_somebody_holds_is_not_retried(home: Path) -> None:
    failed(home)
    claim = Queue(home).claim("test", State.FAILED)

    with pytest.raises(Busy):
        again(home)

    claim.release()
    assert again(home)


def test_a_file_that_is_no_job_is_not_retried_and_stays(home: Path) -> None:
    (home / "jobs/failed/test.json").write_text(json.dumps({"stream_id": "test"}))

    with pytest.raises(Unreadable, match="customer_email: Field required"):
        again(home)

    assert (home / "jobs/failed/test.json").exists()


def test_a_retry_cut_in_two_by_a_crash_is_carried_out_by_the_next(home: Path) -> None:
    failed(home)
    again(home)
    (home / "jobs/pending/test.json").rename(home / "jobs/failed/test.json")  # as if the rename had not happened

    with pytest.raises(NoSuchJob):
        again(home)

    assert len(Queue(home).read(State.PENDING, "test.json").history) == 2


def test_a_story_a_person_has_read_is_cleared_for_good_and_the_history_says_so(home: Path) -> None:
    failed(home)

    job = again(home, cleared=True)

    assert job.cleared
    assert job.history[0].evidence == {"cleared": True}
    (home / "jobs/pending/test.json").unlink()
    (home / "jobs/failed/test.json").write_bytes(job.evolve(history=()).to_json())
    later = again(home, "plan")
    assert later.cleared
    assert later.history[0].evidence == {"from": "plan", "segment": None}


def test_a_segment_the_plan_does_not_have_is_refused_with_those_it_has(home: Path) -> None:
    job = failed(home)
    planned(home)

    with pytest.raises(ValueError, match=r"^test has no segment 04; it has 01, 02, 03$"):
        again(home, "clips", "04")

    assert (home / "jobs/failed/test.json").read_bytes() == job.to_json()
    assert again(home, "clips", "03").redo == {"clips/03": 1}


@pytest.mark.parametrize("plan", [None, "{}", "[", '{"segments": []}'])
def test_without_a_plan_no_segment_can_be_asked_for(home: Path, plan: str | None) -> None:
    failed(home)
    if plan:
        (home / "streams/test").mkdir()
        (home / "streams/test/production.json").write_text(plan)

    with pytest.raises(ValueError, match="test has no plan that can be read"):
        again(home, "clips", "01")

    assert again(home, "clips").redo == {"clips": 1}
