"""Orders that failed are told once, reminded of after a day, and told to be over; whenever a run is killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from downstream import failures
from downstream.alerts import standing_alarms
from downstream.domain.job import Entry, Failure, Job, What
from downstream.domain.state import State
from downstream.holds import CANCELLED, REFUNDED, Hold, hold
from downstream.queue import MAX_RECOVERIES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def failed(home: Path, stream_id: str = "test", kind: str = "person_decides", **fields: Any) -> Path:
    """An order in ``failed`` of which nobody was told."""
    failure = Failure(kind=kind, reason="the story has no end", at=NOW)
    job = Job(stream_id=stream_id, customer_email="test@test.com", failure=failure, **fields)
    path = home / "jobs" / State.FAILED / f"{stream_id}.json"
    path.write_bytes(job.to_json())
    return path


def looked(home: Path, hours: float = 0) -> list[str]:
    """What a look so much later says."""
    said: list[str] = []
    failures.look(home, NOW + timedelta(hours=hours), said.append)
    return said


def test_it_is_told_once_reminded_of_after_a_day_and_told_to_be_over(home: Path) -> None:
    path = failed(home)

    assert looked(home) == ["test failed: the story has no end. See: downstream show test"]
    assert looked(home, 23) == []
    assert list(standing_alarms(home)) == ["failed.test"]
    assert looked(home, 24) == ["test failed: the story has no end. See: downstream show test"]
    path.rename(home / "jobs/pending/test.json")
    assert looked(home, 25) == ["all clear: test waits in jobs/failed no longer"]
    assert looked(home, 26) == []
    assert standing_alarms(home) == {}


def test_many_are_told_in_one_sentence(home: Path) -> None:
    paths = [failed(home, name) for name in ("one", "three", "two")]

    (sentence,) = looked(home)
    for path in paths:
        path.unlink()
    (over,) = looked(home, 1)

    assert sentence.startswith("one failed: ")
    assert sentence.endswith("(and 2 other(s): three, two)")
    assert over == "all clear: one waits in jobs/failed no longer (and 2 other(s): three, two)"


REJECTED = Entry(at=NOW, who="operator", what=What.REJECTED, reason="no")
PAID: dict[str, Any] = {"paid_amount": 49, "paid_at": NOW}
REFUND = Entry(at=NOW, who="shop", what=What.REFUNDED, evidence={"amount_minor": 4900, "currency": "eur"})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("cancelled", {}),
        ("refunded", PAID),
        ("withdrawn", {}),
        ("rejected", {"history": (REJECTED,)}),
        ("person_decides", PAID | {"history": (REFUND,)}),
    ],
)
def test_what_a_person_gave_up_is_no_alarm(home: Path, kind: str, fields: dict[str, Any]) -> None:
    failed(home, kind=kind, **fields)

    assert looked(home) == []


@pytest.mark.parametrize("kind", [CANCELLED, REFUNDED])
def test_what_is_given_up_later_is_over(home: Path, kind: str) -> None:
    failed(home)
    looked(home)

    hold(home, Hold("test", kind, "so", NOW.isoformat()))

    assert looked(home, 1) == ["all clear: test waits in jobs/failed no longer"]
    assert looked(home, 48) == []


def test_what_review_rejects_by_itself_is_an_alarm(home: Path) -> None:
    failed(home, kind="rejected", history=(REJECTED.model_copy(update={"who": "review"}),))

    assert len(looked(home)) == 1


def test_a_look_that_is_killed_before_anybody_was_told_is_made_up_for(home: Path) -> None:
    failed(home)

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failures.look(home, NOW, killed)

    assert len(looked(home)) == 1


@pytest.mark.parametrize("command", ["process", "review"])
def test_an_order_of_which_nobody_was_told_is_told_by_the_next_run_and_then_all_is_quiet(
    home: Path, run: Run, command: str
) -> None:
    path = failed(home)

    first, second = run(command), run(command)

    assert first.stderr == "test failed: the story has no end. See: downstream show test\n"
    assert second.stderr == ""
    path.rename(home / "jobs/completed/test.json")
    assert run(command).stderr == "all clear: test waits in jobs/failed no longer\n"


def test_an_order_that_fails_in_a_run_is_told_once_and_is_an_alarm(home: Path, run: Run) -> None:
    order = {"stream_id": "test", "customer_email": "test@test.com", "recoveries": MAX_RECOVERIES}
    (home / "jobs/processing/test.json").write_text(json.dumps(order))

    first, second, third = run("process"), run("process"), run("review")

    assert first.stderr.count("ended without a word") == 1
    assert (second.stderr, third.stderr) == ("", "")
    assert list(standing_alarms(home)) == ["failed.test"]
