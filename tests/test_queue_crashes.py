"""The five folders: no job is lost, doubled or overwritten, whatever is killed, cut in two or dropped twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Entry, Job, What
from downstream.domain.state import State
from downstream.locks import Lock
from downstream.queue import NoSuchJob, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))
from queue_tools import NOW, claimed, in_child, lying, put, python, served


@pytest.fixture
def queue(home: Path) -> Queue:
    """The queue of a new installation."""
    return Queue(home)


# --- killed at any instant -------------------------------------------------------------------------------------------


def whole_way(home: Path) -> None:
    """Takes every job from wherever it is to ``completed``."""
    queue = Queue(home)
    while (claim := queue.claim_next(live=True, now=NOW)) is not None:
        claim.save(claim.job.evolve(tries=1))
        claim.advance(claim.job, State.REVIEW, at=NOW, who="test")
    for name in queue.names(State.REVIEW):
        claim = queue.claim_in_review(name, now=NOW)
        if claim is not None:
            claim.advance(claim.job.noting(What.APPROVED, at=NOW, who="test"), State.COMPLETED, at=NOW, who="test")


def killed_at(event_number: int) -> Callable[[str, object], None]:
    """An audit hook that ends the process at its n-th touch of a file."""
    seen = 0

    def hook(event: str, _: object) -> None:
        nonlocal seen
        if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.scandir", "fcntl.flock"}:
            seen += 1
            if seen == event_number:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def test_killed_at_any_step_of_its_way_a_job_is_in_one_folder_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = 0
    for instant in range(1, 500):
        home = tmp_path / str(instant)
        for state in State:
            (home / "jobs" / state).mkdir(parents=True)
        put(home, "pending", "test", note="kept")

        def die(home: Path = home, instant: int = instant) -> None:
            sys.addaudithook(killed_at(instant))
            whole_way(home)

        code = in_child(die)
        folders = lying(home)["test"]
        assert len(folders) == 1, f"killed at {instant}"
        whole_way(home)
        whole_way(home)  # the first may only have completed a move cut in two
        assert lying(home) == {"test": ["completed"]}, f"killed at {instant}"
        job = Queue(home).read(State.COMPLETED, "test.json")
        moves = [(entry.source, entry.target) for entry in job.history if entry.what is What.MOVED]
        assert moves == [(State.PROCESSING, State.REVIEW), (State.REVIEW, State.COMPLETED)]
        assert job.recoveries <= 1
        assert job.model_extra == {"note": "kept"}
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert code == 0
    assert killed > 25


def test_killed_again_and_again_many_workers_lose_and_double_nothing(home: Path, drop: Callable[..., Path]) -> None:
    names = [f"job-{number:03d}" for number in range(150)]
    for name in names:
        drop(name)
    script = """
        print("started", flush=True)
        while True:
            worked = False
            while (claim := queue.claim_next(live=True, now=now)) is not None:
                worked = True
                claim.save(claim.job.evolve(tries=1))
                claim.advance(claim.job, State.REVIEW, at=now, who="test")
            for name in queue.names(State.REVIEW):
                claim = queue.claim_in_review(name, now=now)
                if claim is not None:
                    worked = True
                    claim.advance(claim.job, State.COMPLETED, at=now, who="test")
            if not worked and all(map(queue.is_empty, (State.PENDING, State.PROCESSING, State.REVIEW))):
                break
            queue = Queue(home)
        """
    dice = random.Random(7)
    kills = 0
    while kills < 12:
        workers = [python(home, script) for _ in range(2)]
        assert [worker.stdout.readline() for worker in workers if worker.stdout] == ["started\n"] * 2
        time.sleep(dice.uniform(0.0, 0.2))
        for worker in workers:
            worker.kill()
            worker.communicate()
            kills += worker.returncode == -signal.SIGKILL
        assert all(len(folders) == 1 for folders in lying(home).values())
        assert set(lying(home)) == set(names)
        if all(folders == ["completed"] for folders in lying(home).values()):
            for name in names:  # they were quick: round again
                queue = Queue(home)
                queue.path(State.COMPLETED, name).unlink()
                drop(name)

    last = python(home, script)
    last.communicate(timeout=120)
    assert last.returncode == 0
    assert lying(home) == {name: ["completed"] for name in names}
    for name in names:
        moves = [entry.target for entry in Queue(home).read(State.COMPLETED, f"{name}.json").history if entry.target]
        assert moves == [State.REVIEW, State.COMPLETED]


def test_eight_processes_at_once_claim_two_hundred_jobs_once_each(home: Path, drop: Callable[..., Path]) -> None:
    names = [f"job-{number:03d}" for number in range(200)]
    for name in names:
        drop(name)
    script = """
        print("ready", flush=True)
        sys.stdin.readline()
        while (claim := queue.claim_next(live=True, now=now)) is not None:
            print(claim.job.stream_id, claim.job.recoveries)
            claim.advance(claim.job, State.REVIEW, at=now, who=str(os.getpid()))
        """
    workers = [python(home, script) for _ in range(8)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    told = [worker.communicate(timeout=120)[0].splitlines() for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 8
    assert sorted(line for lines in told for line in lines) == [f"{name} 0" for name in names]
    assert lying(home) == {name: ["review"] for name in names}
    assert all(len(Queue(home).read(State.REVIEW, f"{name}.json").history) == 1 for name in names)


# --- moves cut in two ------------------------------------------------------------------------------------------------


HALVES = [
    (State.PROCESSING, State.REVIEW),
    (State.PROCESSING, State.FAILED),
    (State.REVIEW, State.PENDING),
    (State.REVIEW, State.COMPLETED),
    (State.REVIEW, State.FAILED),
    (State.FAILED, State.PENDING),
    (State.COMPLETED, State.PENDING),
]


def half_moved(home: Path, source: State, target: State) -> bytes:
    """A job as a crash leaves it between the two halves of a move; returns its bytes."""
    job = Job(stream_id="test", customer_email="a@b.c")
    move = Entry(at=NOW, who="test", what=What.MOVED, source=source, target=target)
    content = job.evolve(history=(move,)).to_json()
    (home / "jobs" / source / "test.json").write_bytes(content)
    return content


def claim_where_it_lies(queue: Queue, source: State) -> None:
    """The claim that comes across a job in that folder; none may come of it."""
    if source is State.PROCESSING:
        assert queue.claim_next(live=True, now=NOW) is None
    elif source is State.REVIEW:
        assert queue.claim_in_review("test.json", now=NOW) is None
    else:
        with pytest.raises(NoSuchJob):
            queue.claim("test", source)


@pytest.mark.parametrize(("source", "target"), HALVES)
def test_a_move_cut_in_two_is_completed_before_anything_else(queue: Queue, source: State, target: State) -> None:
    content = half_moved(queue.home, source, target)

    claim_where_it_lies(queue, source)

    assert queue.path(target, "test").read_bytes() == content
    assert lying(queue.home) == {"test": [target]}
    assert not queue.is_worked_on("test")


@pytest.mark.parametrize(("source", "target"), [half for half in HALVES if half[1] in {State.PENDING, State.FAILED}])
def test_completing_a_move_destroys_nothing_that_was_put_in_its_place(
    queue: Queue, source: State, target: State
) -> None:
    content = half_moved(queue.home, source, target)
    queue.path(target, "test").write_bytes(b"a newcomer")

    if source is State.PROCESSING or source is State.REVIEW:
        claim_where_it_lies(queue, source)
    else:
        with pytest.raises(NoSuchJob):
            queue.claim("test", source)
        Queue(queue.home).claim_next(live=True, now=NOW)  # sets the newcomer aside
        claim_where_it_lies(queue, source)

    kept = [path.read_bytes() for path in queue.home.glob("jobs/*/*.json")]
    assert sorted(kept) == sorted([content, b"a newcomer"])
    assert queue.path(target, "test").read_bytes() == content


def test_a_job_copied_by_hand_into_a_folder_it_has_left_never_replaces_the_one_that_went_on(queue: Queue) -> None:
    half_moved(queue.home, State.REVIEW, State.COMPLETED)
    queue.path(State.COMPLETED, "test").write_bytes(b"the real one")

    assert queue.claim_in_review("test.json", now=NOW) is None

    assert queue.path(State.COMPLETED, "test").read_bytes() == b"the real one"
    assert lying(queue.home) == {"test": ["completed", "failed"]}


# --- two of one name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["review", "completed", "failed"])
def test_a_newcomer_gives_way_to_the_job_of_its_name_that_is_further_on(
    queue: Queue, drop: Callable[..., Path], state: str
) -> None:
    first = put(queue.home, state, "test", number=1)
    original = first.read_bytes()
    second = drop("test", number=2).read_bytes()

    assert served(queue) == []

    assert first.read_bytes() == original
    aside = queue.set_aside[0].path
    assert aside.name == ("test.2.json" if state == "failed" else "test.json")
    assert aside.read_bytes() == second
    assert "already; use another stream_id" in aside.with_name(f"{aside.name}.reason.txt").read_text()
    assert not list((queue.home / "jobs/pending").glob("*.json"))


def test_a_newcomer_waits_while_the_job_of_its_name_is_made_and_gives_way_then(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    put(queue.home, "processing", "test", number=1)
    second = drop("test", number=2).read_bytes()
    with Lock.wait(queue.home / "streams/test/lock"):
        assert served(queue) == []
        assert lying(queue.home) == {"test": ["pending", "processing"]}

    later = Queue(queue.home)
    assert served(later) == ["test"]

    assert later.read("review", "test.json").model_extra == {"number": 1}
    assert [one.path.read_bytes() for one in later.set_aside] == [second]


def test_the_page_in_review_goes_on_although_a_newcomer_of_its_name_was_set_aside(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    put(queue.home, "review", "test", number=1)
    second = drop("test", number=2).read_bytes()
    assert served(queue) == []

    claim = queue.claim_in_review("test.json", now=NOW)
    assert claim is not None
    claim.advance(claim.job, State.FAILED, at=NOW, who="test")

    assert queue.read(State.FAILED, "test.json").model_extra == {"number": 1}
    assert (queue.home / "jobs/failed/test.2.json").read_bytes() == second
    assert "already" in (queue.home / "jobs/failed/test.2.json.reason.txt").read_text()
    assert not (queue.home / "jobs/failed/test.json.reason.txt").exists()


@pytest.mark.parametrize("way", ["give back", "send back"])
def test_a_newcomer_dropped_while_the_job_is_made_is_not_overwritten_when_it_comes_back(
    queue: Queue, drop: Callable[..., Path], way: str
) -> None:
    drop("test", number=1)
    claim = claimed(queue)
    second = drop("test", number=2).read_bytes()

    if way == "give back":
        claim.give_back()
    else:
        claim.advance(claim.job, State.PENDING, at=NOW, who="test")

    assert queue.read(State.PENDING, "test.json").model_extra == {"number": 1}
    assert (queue.home / "jobs/failed/test.json").read_bytes() == second


# --- durable ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[str]:
    """What is made durable and renamed from now on, in order: ``sync PATH`` and ``rename SOURCE -> TARGET``."""
    events: list[str] = []
    sync, rename, replace = os.fsync, os.rename, os.replace

    def name(path: object) -> str:
        return str(Path(str(path)).relative_to(home))

    def recording_sync(descriptor: int) -> None:
        sync(descriptor)
        events.append(f"sync {name(os.readlink(f'/proc/self/fd/{descriptor}'))}")  # noqa: PTH115 - not a path of ours

    def recording(move: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def call(source: object, target: object) -> None:
            move(source, target)
            events.append(f"rename {name(source)} -> {name(target)}")

        return call

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(os, "rename", recording(rename))
    monkeypatch.setattr(os, "replace", recording(replace))
    return events


def test_an_order_put_in_is_on_the_disk_before_it_is_reported(queue: Queue, on_disk: list[str]) -> None:
    queue.enqueue(Job(stream_id="test", customer_email="a@b.c"))

    assert on_disk == [
        "sync jobs/pending/.test.json.tmp",
        "rename jobs/pending/.test.json.tmp -> jobs/pending/test.json",
        "sync jobs/pending",
    ]


def test_an_advance_is_on_the_disk_when_it_returns_content_first_then_both_folders(
    queue: Queue, drop: Callable[..., Path], on_disk: list[str]
) -> None:
    drop()
    claim = claimed(queue)
    on_disk.clear()

    claim.advance(claim.job, State.REVIEW, at=NOW, who="test")

    assert on_disk == [
        "sync jobs/processing/.test.json.tmp",
        "rename jobs/processing/.test.json.tmp -> jobs/processing/test.json",
        "sync jobs/processing",
        "rename jobs/processing/test.json -> jobs/review/test.json",
        "sync jobs/review",
        "sync jobs/processing",
    ]


def test_a_job_given_back_is_on_the_disk_in_both_folders(
    queue: Queue, drop: Callable[..., Path], on_disk: list[str]
) -> None:
    drop()
    claim = claimed(queue)
    on_disk.clear()

    claim.give_back()

    assert on_disk == [
        "rename jobs/processing/test.json -> jobs/pending/test.json",
        "sync jobs/pending",
        "sync jobs/processing",
    ]


def test_a_file_set_aside_is_on_the_disk_after_its_reason(queue: Queue, on_disk: list[str]) -> None:
    queue.path(State.PENDING, "bad").write_text("[]")
    queue.claim_next(live=True, now=NOW)

    at_last = on_disk[-6:]
    assert at_last == [
        "sync jobs/failed/.bad.json.reason.txt.tmp",
        "rename jobs/failed/.bad.json.reason.txt.tmp -> jobs/failed/bad.json.reason.txt",
        "sync jobs/failed",
        "rename jobs/pending/bad.json -> jobs/failed/bad.json",
        "sync jobs/failed",
        "sync jobs/pending",
    ]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_what_the_queue_writes(queue: Queue, drop: Callable[..., Path], mask: int) -> None:
    before = os.umask(mask)
    try:
        drop("dropped")
        queue.path(State.PENDING, "bad").write_text("[]")
        given = set(queue.home.rglob("*"))
        queue.enqueue(Job(stream_id="put-in", customer_email="a@b.c"))
        served(queue)
    finally:
        os.umask(before)

    written = [path for path in queue.home.rglob("*") if path not in given and path.name != "bad.json"]
    assert {path.name for path in written} >= {"put-in.json", "dropped.json", "bad.json.reason.txt", ".order.json"}
    for path in written:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
