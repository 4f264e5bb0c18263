"""Whatever goes wrong with one order stays with that order, and goes where a person or a later run finds it."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from conftest import books

from downstream.domain.errors import OnHold, PersonDecides, Refused, StopRun, Throttled, TryAgain
from downstream.domain.ports import Call, KeyframeRequest, Picture, Providers, Silence, Suppliers
from downstream.log import open_log
from downstream.providers.embedded.clips import EmbeddedClips
from downstream.providers.embedded.director import EmbeddedDirector
from downstream.providers.embedded.hosting import EmbeddedHosting
from downstream.providers.embedded.keyframes import EmbeddedKeyframes
from downstream.providers.embedded.mail import EmbeddedMail
from downstream.queue import Queue
from downstream.settings import read_settings
from downstream.stages.context import LONGEST_SOON_SECONDS, MAX_TRIES, Context
from downstream.stages.process import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = {"CLIP_WIDTH": "64", "CLIP_HEIGHT": "36", "CLIP_SECONDS": "0.5", "CLIP_FRAMES_PER_SECOND": "8"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FaultyKeyframes:
    """Makes keyframes, except that segment 03 of the stream ``bad`` ends in ``error``."""

    name = "faulty keyframes"
    by_reference = False

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._real = EmbeddedKeyframes()

    def price_micros(self, _: KeyframeRequest) -> int:
        """Nothing."""
        return 0

    def inputs(self, request: KeyframeRequest) -> object:
        """All of it."""
        return request

    def make(self, request: KeyframeRequest, call: Call) -> Picture:
        """A keyframe, or the error."""
        if request.stream_id == "bad" and request.segment_id == "03":
            raise self._error
        return self._real.make(request, call)


def context(home: Path, error: Exception, now: datetime = NOW) -> Context:
    """A run whose keyframes go wrong in the stream ``bad``."""
    providers = Providers(
        "embedded",
        EmbeddedDirector(),
        FaultyKeyframes(error),
        EmbeddedClips(),
        EmbeddedHosting(home),
        EmbeddedMail(home),
    )
    return Context(
        home=home,
        settings=replace(read_settings(SMALL), jobs_at_once=1),
        queue=Queue(home),
        suppliers=Suppliers(embedded=cache(lambda: providers)),
        log=open_log(home, "processor"),
        progress=Silence(),
        stage="process",
        clock=lambda: now,
        **books(home),
    )


def job(home: Path, state: str, stream_id: str = "bad") -> dict[str, Any]:
    """The job file's content."""
    found: dict[str, Any] = json.loads((home / "jobs" / state / f"{stream_id}.json").read_bytes())
    return found


@pytest.fixture(autouse=True)
def _two_orders(home: Path, drop: Callable[..., Path]) -> None:
    drop("bad", paid_at=None)
    drop("good")
    (home / "HEARTBEAT.md").write_text("Status: ACTIVE\nRenewed: 2026-03-01\nRenew every: 30 days\n")


def test_a_passing_fault_puts_the_order_back_with_a_growing_wait(home: Path) -> None:
    run = context(home, TryAgain("the service is busy", wait_seconds=100))
    process(run)

    first = job(home, "pending")
    assert run.outcome.later == ["bad"]
    assert run.outcome.done == ["good"]
    assert 80 <= (datetime.fromisoformat(first["not_before"]) - NOW).total_seconds() <= 120

    too_early = context(home, TryAgain("busy", wait_seconds=100), NOW + timedelta(seconds=60))
    process(too_early)
    assert too_early.outcome.later == []

    later = NOW + timedelta(seconds=130)
    process(context(home, TryAgain("busy", wait_seconds=100), later))
    second = job(home, "pending")
    assert second["tries"] == 2
    assert 160 <= (datetime.fromisoformat(second["not_before"]) - later).total_seconds() <= 240


@pytest.mark.parametrize(
    ("wait_seconds", "soon", "waits_seconds"),
    [(3600.0, False, 3601), (60.0, True, 61), (3600.0, True, LONGEST_SOON_SECONDS)],
    ids=["a hold", "a short one", "one that would be too long for what was bought"],
)
def test_a_hold_lasts_no_longer_than_what_was_bought_keeps(
    home: Path, wait_seconds: float, waits_seconds: float, *, soon: bool
) -> None:
    held = OnHold("the cap is reached", fingerprint="cap.day", wait_seconds=wait_seconds)
    held.soon = soon
    run = context(home, held)
    process(run)

    found = job(home, "pending")
    assert (found["held_by"], found.get("tries", 0)) == ("cap.day", 0)
    assert (datetime.fromisoformat(found["not_before"]) - NOW).total_seconds() == waits_seconds
    assert [each for each in run.outcome.told if "the cap is reached" in each] == run.outcome.told
    again = context(home, held, NOW + timedelta(seconds=waits_seconds + 1))
    process(again)
    assert (len(run.outcome.told), again.outcome.told) == (1, [])


def test_a_passing_fault_that_never_passes_reaches_a_person(home: Path) -> None:
    now = NOW
    for _ in range(MAX_TRIES):
        process(context(home, TryAgain("the service is busy", wait_seconds=1), now))
        now += timedelta(hours=8)

    assert f"{MAX_TRIES} times in a row: the service is busy" in job(home, "failed")["failure"]["reason"]


def test_hiccups_between_which_something_was_made_do_not_add_up(home: Path) -> None:
    class SlowKeyframes(FaultyKeyframes):
        """Makes one keyframe of ``bad`` a run, one after the other, and then has a hiccup."""

        by_reference = True
        left = 0

        def make(self, request: KeyframeRequest, call: Call) -> Picture:
            if request.stream_id == "bad" and not self.left:
                raise self._error
            self.left -= 1
            return self._real.make(request, call)

    (home / "jobs/pending/good.json").unlink()
    now = NOW
    slow = SlowKeyframes(TryAgain("no picture this time", wait_seconds=100))
    for _ in range(4):
        slow.left = 1
        run = context(home, ValueError(), now)
        providers = replace(run.suppliers.embedded(), keyframes=slow)
        run.suppliers = Suppliers(embedded=lambda given=providers: given)  # type: ignore[misc]
        process(run)
        put_off = job(home, "pending")
        assert put_off["tries"] == 1
        assert 80 <= (datetime.fromisoformat(put_off["not_before"]) - now).total_seconds() <= 120
        now += timedelta(minutes=3)

    slow.left = 0
    run = context(home, ValueError(), now)
    run.suppliers = Suppliers(embedded=lambda: providers)
    process(run)
    assert job(home, "pending")["tries"] == 2


def test_a_services_own_hint_is_waited_out_and_not_doubled(home: Path) -> None:
    now = NOW
    for _ in range(3):
        process(context(home, Throttled("less haste", hint_seconds=900), now))
        put_off = job(home, "pending")
        assert (datetime.fromisoformat(put_off["not_before"]) - now).total_seconds() == 900
        now += timedelta(seconds=901)
    assert put_off["tries"] == 3


def test_a_service_that_asks_for_a_moment_again_and_again_is_asked_ever_more_rarely(home: Path) -> None:
    now = NOW
    for number in range(3):
        process(context(home, Throttled("less haste", hint_seconds=1), now))
        seconds = (datetime.fromisoformat(job(home, "pending")["not_before"]) - now).total_seconds()
        assert 48 * 2**number <= seconds <= 72 * 2**number
        now += timedelta(hours=1)


def test_what_was_finished_before_the_fault_is_kept(home: Path) -> None:
    process(context(home, TryAgain("busy", wait_seconds=1)))
    keyframes = {path.name: path.stat().st_mtime_ns for path in (home / "streams/bad/keyframes").glob("*.png")}

    process(context(home, TryAgain("busy"), NOW + timedelta(hours=1)))

    assert keyframes
    for name, changed in keyframes.items():
        assert (home / "streams/bad/keyframes" / name).stat().st_mtime_ns == changed


@pytest.mark.parametrize(
    ("error", "kind", "next_step"),
    [
        (PersonDecides("the account is closed"), "person_decides", ""),
        (
            Refused("the filter said no"),
            "refused",
            ". downstream retry bad --from keyframes --segment 3 asks again",
        ),
    ],
)
def test_what_only_a_person_can_solve_fails_the_order_and_tells(
    home: Path, error: Exception, kind: str, next_step: str
) -> None:
    run = context(home, error)
    process(run)

    failure = job(home, "failed")["failure"]
    assert (failure["kind"], failure["reason"]) == (kind, f"{error}{next_step}")
    assert run.outcome.failed == ["bad"]
    assert failure["reason"] in run.outcome.told[0]
    assert job(home, "review", "good")


def test_a_fault_of_the_program_fails_that_order_without_repeating_its_message(home: Path) -> None:
    run = context(home, KeyError("reader@example.com said something"))
    process(run)

    assert "KeyError" in job(home, "failed")["failure"]["reason"]
    written = (home / "logs/processor.log").read_text() + str(run.outcome.told) + str(job(home, "failed"))
    assert "reader@example.com" not in written
    assert job(home, "review", "good")


@pytest.mark.parametrize(
    "error",
    [
        StopRun("the cap is reached"),
        OSError(errno.ENOSPC, "No space left on device"),
        ImportError("no module", name="av"),
        MemoryError(),
    ],
    ids=["stop", "full", "upgrade", "memory"],
)
def test_what_stops_the_run_leaves_every_order_waiting_as_it_was(home: Path, error: Exception) -> None:
    before = job(home, "pending")
    run = context(home, error)
    process(run)

    assert isinstance(run.outcome.stopped, StopRun)
    assert job(home, "pending") == before
    assert not list((home / "jobs/processing").glob("*.json"))
    assert not list((home / "jobs/failed").glob("*.json"))


def test_a_pause_in_the_middle_stops_before_the_next_call(home: Path) -> None:
    class PausingKeyframes(FaultyKeyframes):
        def make(self, request: KeyframeRequest, call: Call) -> Picture:
            (home / "HEARTBEAT.md").write_text("Status: PAUSED\nRenewed: 2026-03-01\n")
            return super().make(request, call)

    run = context(home, ValueError())
    providers = replace(run.suppliers.embedded(), keyframes=PausingKeyframes(ValueError()))
    run.suppliers = Suppliers(embedded=lambda: providers)
    run.settings = replace(run.settings, segments_at_once=1)
    process(run)

    assert "PAUSED" in str(run.outcome.stopped)
    made = list((home / "streams").glob("*/keyframes/*.png"))
    assert len(made) == 1
    assert {path.stem for path in (home / "jobs/pending").glob("*.json")} == {"bad", "good"}


def test_a_crashed_run_is_resumed_three_times_and_then_a_person_has_to_look(home: Path) -> None:
    (home / "jobs/pending/good.json").unlink()
    for _ in range(3):
        claim = Queue(home).claim_next(live=False, now=NOW)
        assert claim is not None
        claim.release()  # as a crash does: the lock is free, the job lies in processing
    resumed = Queue(home).claim_next(live=False, now=NOW)
    assert resumed is not None
    assert resumed.job.recoveries == 3
    resumed.release()

    process(context(home, ValueError()))

    assert job(home, "failed")["failure"]["kind"] == "recoveries"
