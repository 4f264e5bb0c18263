"""The five folders: no job is ever lost, doubled or made twice, whatever happens to processes, files and power."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Entry, Job, State, What
from downstream.locks import Lock
from downstream.queue import (
    HALF_WRITTEN_SECONDS,
    MAX_RECOVERIES,
    STATES,
    Busy,
    Claim,
    NoSuchJob,
    Queue,
    StillWritten,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 1, 6, 15, 0, tzinfo=UTC)
EARLIER = "2026-01-06T14:00:00Z"


@pytest.fixture
def queue(home: Path) -> Queue:
    """The queue of a new installation."""
    return Queue(home)


def lying(home: Path) -> dict[str, list[str]]:
    """Stream id to every folder a file of that name lies in."""
    found: dict[str, list[str]] = {}
    for state in STATES:
        for path in (home / "jobs" / state).glob("*.json"):
            found.setdefault(path.stem, []).append(state)
    return found


def served(queue: Queue, *, live: bool = True, now: datetime = NOW) -> list[str]:
    """The ids of all jobs that can be claimed now, in the order of service; each is moved on to ``review``."""
    ids = []
    while (claim := queue.claim_next(live=live, now=now)) is not None:
        ids.append(claim.job.stream_id)
        claim.advance(claim.job, State.REVIEW, at=now, who="test")
    return ids


def claimed(queue: Queue) -> Claim:
    """The next job, which has to be there."""
    claim = queue.claim_next(live=True, now=NOW)
    assert claim is not None
    return claim


def put(home: Path, state: str, stream_id: str, **fields: Any) -> Path:
    """A job file in any folder."""
    path = home / "jobs" / state / f"{stream_id}.json"
    path.write_text(json.dumps({"stream_id": stream_id, "customer_email": "test@test.com", **fields}))
    return path


def in_child(do: Callable[[], object]) -> int:
    """Runs ``do`` in a process of its own; returns its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException:  # noqa: BLE001 - the child must never run on into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def python(home: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """A script in a process of its own, with ``home`` and ``queue`` at hand."""
    head = textwrap.dedent("""\
        import os, sys, time, json, signal
        from datetime import UTC, datetime
        from pathlib import Path
        from downstream.domain.job import State
        from downstream.queue import Queue
        home, now = Path(sys.argv[1]), datetime(2026, 1, 6, 15, 0, tzinfo=UTC)
        queue = Queue(home)
        """)
    command = [sys.executable, "-c", head + textwrap.dedent(script), str(home), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


# --- the order of service ------------------------------------------------------------------------------------------


def test_first_paid_is_first_served_and_arrival_counts_where_there_is_no_payment_date(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    drop("paid-late", paid_amount=49, paid_at="2026-01-06T14:30:00Z")
    drop("paid-early", paid_amount=49, paid_at="2026-01-06T13:30:00Z")
    arrived = drop("unpaid-between")
    os.utime(arrived, (datetime(2026, 1, 6, 14, 0, tzinfo=UTC).timestamp(),) * 2)
    drop("paid-elsewhere", paid_amount=49, paid_at="2026-01-06T15:00:00+02:00")

    assert served(queue) == ["paid-elsewhere", "paid-early", "unpaid-between", "paid-late"]


def test_of_orders_of_one_instant_the_name_decides(queue: Queue, drop: Callable[..., Path]) -> None:
    for name in ("b", "C", "a", "a-1"):
        drop(name, paid_at=EARLIER)

    assert served(queue) == ["C", "a-1", "a", "b"]


def test_a_job_waits_until_its_next_try_and_not_longer(queue: Queue, drop: Callable[..., Path]) -> None:
    drop("later", not_before="2026-01-06T15:00:01Z")
    drop("now", not_before="2026-01-06T15:00:00Z")

    assert served(queue) == ["now"]
    assert served(Queue(queue.home), now=NOW + timedelta(seconds=1)) == ["later"]


@pytest.mark.parametrize(
    "fields", [{"paid_amount": 49, "paid_at": EARLIER}, {"paid_at": EARLIER}, {"paid_amount": 0.5}, {"live": True}]
)
def test_an_order_that_needs_outside_services_is_held_untouched_while_there_are_none(
    queue: Queue, drop: Callable[..., Path], fields: dict[str, Any]
) -> None:
    before = drop("needs-live", **fields).read_bytes()
    drop("free", paid_amount=0)

    assert served(queue, live=False) == ["free"]
    assert queue.path("pending", "needs-live").read_bytes() == before
    assert queue.waiting() == [("needs-live.json", True)]
    assert served(Queue(queue.home), live=True) == ["needs-live"]


def test_a_held_order_left_by_a_crash_stays_where_it_is(queue: Queue) -> None:
    put(queue.home, "processing", "paid", paid_amount=49)

    assert queue.claim_next(live=False, now=NOW) is None
    assert lying(queue.home) == {"paid": ["processing"]}
    assert queue.read("processing", "paid.json").recoveries == 0


def test_what_a_crash_left_is_served_before_what_waits(queue: Queue, drop: Callable[..., Path]) -> None:
    drop("waiting", paid_at=EARLIER)
    put(queue.home, "processing", "left", paid_at="2026-01-06T14:59:00Z")

    assert served(queue) == ["left", "waiting"]


def test_a_long_pass_looks_again_for_earlier_orders(
    queue: Queue, drop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("first", paid_at="2026-01-06T12:00:00Z")
    drop("third", paid_at="2026-01-06T14:00:00Z")
    claimed(queue).release()

    drop("second", paid_at="2026-01-06T13:00:00Z")
    monkeypatch.setattr("downstream.queue.LISTING_SECONDS", 0)

    assert served(queue) == ["first", "second", "third"]


def test_arrival_is_kept_when_the_file_is_saved_later(queue: Queue, drop: Callable[..., Path]) -> None:
    path = drop()
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))

    claim = claimed(queue)
    claim.save(claim.job.evolve(tries=1))
    claim.give_back()

    assert queue.read("pending", "test.json").arrived_at == NOW
    assert [job.order_time for job in queue.jobs("pending") if isinstance(job, Job)] == [NOW]


# --- the index of what waits -----------------------------------------------------------------------------------------


def test_a_file_changed_in_place_is_seen_although_its_inode_is_the_same(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    path = drop("edited", paid_amount=49)
    assert queue.waiting() == [("edited.json", True)]
    inode = path.stat().st_ino

    time.sleep(0.02)  # a kernel's clock for files may tick every ten milliseconds
    drop("edited")

    assert path.stat().st_ino == inode
    assert queue.waiting() == [("edited.json", False)]
    assert served(Queue(queue.home), live=False) == ["edited"]


def test_a_name_used_again_is_a_new_order(queue: Queue, drop: Callable[..., Path]) -> None:
    drop("again", paid_at="2026-01-01T00:00:00Z")
    drop("other", paid_at="2026-01-02T00:00:00Z")
    assert [name for name, _ in queue.waiting()] == ["again.json", "other.json"]
    modified = queue.path("pending", "again").stat().st_mtime_ns

    queue.path("pending", "again").unlink()
    time.sleep(0.02)
    path = drop("again", paid_at="2026-01-03T00:00:00Z")  # on most file systems it gets the old one's inode
    os.utime(path, ns=(modified, modified))

    assert [name for name, _ in queue.waiting()] == ["other.json", "again.json"]


def test_a_file_taken_away_is_no_longer_waiting(queue: Queue, drop: Callable[..., Path]) -> None:
    drop("stays")
    path = drop("goes")
    assert len(queue.waiting()) == 2

    path.unlink()

    assert [name for name, _ in queue.waiting()] == ["stays.json"]
    assert "goes" not in (queue.home / "jobs/.order.json").read_text()


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\0" * 64, b"[]", b'{"test.json": [1, 2]}', b'{"test.json": 5}', b"\xff"]
)
def test_a_damaged_index_is_made_anew(queue: Queue, drop: Callable[..., Path], damage: bytes) -> None:
    drop()
    queue.waiting()
    (queue.home / "jobs/.order.json").write_bytes(damage)

    assert queue.waiting() == [("test.json", False)]
    assert list(json.loads((queue.home / "jobs/.order.json").read_bytes())) == ["test.json"]


def test_an_index_that_cannot_be_written_stops_nothing(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    (queue.home / "jobs/.order.lock").mkdir()

    assert served(queue) == ["test"]


def test_fifty_thousand_waiting_jobs_are_claimed_in_order_and_only_new_ones_are_opened(home: Path) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    seconds = list(range(50_000))
    random.Random(1).shuffle(seconds)
    for number, second in enumerate(seconds):
        paid_at = (start + timedelta(seconds=second)).isoformat()
        path = home / "jobs/pending" / f"j{number}.json"
        path.write_text(f'{{"stream_id": "j{number}", "customer_email": "a@b.c", "paid_at": "{paid_at}"}}')
    expected = [f"j{number}" for number in sorted(range(50_000), key=seconds.__getitem__)[:40]]
    assert [name for name, _ in Queue(home).waiting()[:40]] == [f"{one}.json" for one in expected]
    put(home, "pending", "newcomer", paid_at="2024-12-31T00:00:00Z")

    script = """
        opened = []
        sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
        ids = []
        for _ in range(41):
            claim = queue.claim_next(live=True, now=now)
            ids.append(claim.job.stream_id)
            claim.advance(claim.job, State.REVIEW, at=now, who="test")
        pending = [path for path in opened if path.endswith(".json") and "/jobs/pending/" in path]
        print(json.dumps([ids, pending]))
        """
    ids, opened = json.loads(python(home, script).communicate(timeout=60)[0])

    assert ids == ["newcomer", *expected]
    # The newcomer is looked at once for its place, and each job once more when it is claimed.
    assert sorted(Path(path).stem for path in opened) == sorted(["newcomer", *ids])
    subprocess.run(["rm", "-rf", str(home)], check=True)


def test_serving_never_lists_what_is_finished(home: Path, drop: Callable[..., Path]) -> None:
    for state in ("completed", "failed"):
        put(home, state, f"old-{state}")
    put(home, "processing", "left")
    put(home, "review", "made")
    drop("test")

    script = """
        from downstream.domain.job import Job
        listed = []
        listing = {"os.listdir", "os.scandir"}
        sys.addaudithook(lambda event, arguments: listed.append(str(arguments[0])) if event in listing else None)
        while (claim := queue.claim_next(live=True, now=now)) is not None:
            claim.save(claim.job)
            claim.advance(claim.job, State.REVIEW, at=now, who="test")
        for name in queue.names(State.REVIEW):
            claim = queue.claim_in_review(name, now=now)
            claim.advance(claim.job, State.COMPLETED, at=now, who="test")
        queue.enqueue(Job(stream_id="fresh", customer_email="a@b.c"))
        claim = queue.claim_next(live=True, now=now)
        queue.waiting(), queue.is_empty("pending"), queue.find("fresh")
        print(json.dumps(sorted({Path(path).name for path in listed})))
        """
    listed = json.loads(python(home, script).communicate(timeout=60)[0])

    assert listed == ["pending", "processing", "review"]
    assert lying(home)["test"] == ["completed"]


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_claimed_job_lies_in_processing_and_is_nobody_elses(queue: Queue, drop: Callable[..., Path]) -> None:
    before = drop().read_bytes()

    claim = claimed(queue)

    assert lying(queue.home) == {"test": ["processing"]}
    assert queue.path("processing", "test").read_bytes() == before
    assert queue.is_worked_on("test")
    assert Queue(queue.home).claim_next(live=True, now=NOW) is None
    with pytest.raises(Busy):
        Queue(queue.home).claim("test", State.PROCESSING)
    claim.release()
    assert not queue.is_worked_on("test")


def test_a_job_given_back_waits_as_it_was_and_nothing_is_counted(queue: Queue, drop: Callable[..., Path]) -> None:
    before = drop().read_bytes()
    for _ in range(MAX_RECOVERIES + 2):
        claim = claimed(Queue(queue.home))
        claim.give_back()

    assert queue.path("pending", "test").read_bytes() == before
    assert not queue.is_worked_on("test")


def test_a_saved_job_lies_where_it_was_with_its_new_content(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    claim = claimed(queue)

    claim.save(claim.job.evolve(tries=3))

    assert lying(queue.home) == {"test": ["processing"]}
    assert queue.read("processing", "test.json").tries == 3
    assert claim.job.tries == 3


def test_an_advanced_job_tells_its_move_and_is_free(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()

    claimed(queue).advance(
        Job(stream_id="test", customer_email="a@b.c"), State.REVIEW, at=NOW, who="x", reason="y", evidence={"z": 1}
    )

    assert lying(queue.home) == {"test": ["review"]}
    assert queue.read("review", "test.json").history == (
        Entry(
            at=NOW,
            who="x",
            what=What.MOVED,
            reason="y",
            source=State.PROCESSING,
            target=State.REVIEW,
            evidence={"z": 1},
        ),
    )
    assert not queue.is_worked_on("test")


def test_claiming_by_name_finds_the_job_only_in_the_folders_asked_for(queue: Queue) -> None:
    put(queue.home, "failed", "test")

    with pytest.raises(NoSuchJob):
        queue.claim("test", State.REVIEW, State.COMPLETED)
    for name in ("nobody", "../failed/test", "test.json", "", "a" * 81, "test\n"):
        with pytest.raises(NoSuchJob):
            queue.claim(name, *State)
    assert not list((queue.home / "streams").iterdir())
    assert queue.claim("test", State.FAILED).state is State.FAILED


@pytest.mark.parametrize(("content", "trouble"), [("[]", Unreadable), ('{"stream_id"', StillWritten)])
def test_claiming_by_name_a_file_that_is_no_job_says_so_and_frees_it(
    queue: Queue, content: str, trouble: type[Exception]
) -> None:
    queue.path("failed", "test").write_text(content)

    with pytest.raises(trouble):
        queue.claim("test", State.FAILED)

    assert not queue.is_worked_on("test")
    assert queue.path("failed", "test").read_text() == content


def test_what_a_dead_process_claimed_is_resumed_three_times_and_then_given_to_a_person(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    drop()
    script = """
        claim = queue.claim_next(live=True, now=now)
        print(claim.job.recoveries if claim else "none", flush=True)
        if claim: os.kill(os.getpid(), signal.SIGKILL)
        """
    counted = []
    for _ in range(MAX_RECOVERIES + 1):
        counted.append(python(queue.home, script).communicate(timeout=60)[0].strip())
        assert lying(queue.home) == {"test": ["processing"]}

    assert queue.claim_next(live=True, now=NOW) is None
    assert counted == ["0", "1", "2", "3"]
    assert lying(queue.home) == {"test": ["failed"]}
    job = queue.read("failed", "test.json")
    assert job.recoveries == 4
    assert [entry.what for entry in job.history] == [What.RECOVERED] * 4 + [What.MOVED]
    assert job.failure is not None
    assert (job.failure.kind, job.failure.at) == ("recoveries", NOW)
    assert "downstream retry test" in job.failure.reason
    assert [(one.path, one.reason) for one in queue.set_aside] == [(queue.path("failed", "test"), job.failure.reason)]


def test_a_job_under_a_living_process_is_left_alone_however_old_its_file_is(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    drop()
    script = """
        claim = queue.claim_next(live=True, now=now)
        print("claimed", flush=True)
        sys.stdin.readline()
        """
    alive = python(queue.home, script)
    assert alive.stdout is not None
    assert alive.stdout.readline() == "claimed\n"
    os.utime(queue.path("processing", "test"), (0, 0))

    assert queue.claim_next(live=True, now=NOW) is None
    assert queue.is_worked_on("test")

    alive.communicate("\n", timeout=60)
    assert claimed(queue).job.recoveries == 1


def test_a_child_process_that_works_for_a_claim_keeps_it_alive(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    read_end, write_end = os.pipe()

    def work() -> None:
        claimed(queue)
        if os.fork() == 0:
            os.close(write_end)
            os.read(read_end, 1)  # goes on after its parent is dead, until the test closes the pipe
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work) == -signal.SIGKILL
    assert queue.is_worked_on("test")
    assert queue.claim_next(live=True, now=NOW) is None

    os.close(write_end)
    os.close(read_end)
    deadline = time.monotonic() + 10
    while queue.is_worked_on("test") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert claimed(queue).job.recoveries == 1


# --- killed at any instant -----------------------------------------------------------------------------------------


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
        for state in STATES:
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
        job = Queue(home).read("completed", "test.json")
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
            if not worked and queue.is_empty("pending") and queue.is_empty("processing") and queue.is_empty("review"):
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
                queue.path("completed", name).unlink()
                drop(name)

    last = python(home, script)
    last.communicate(timeout=120)
    assert last.returncode == 0
    assert lying(home) == {name: ["completed"] for name in names}
    for name in names:
        moves = [entry.target for entry in Queue(home).read("completed", f"{name}.json").history if entry.target]
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
    assert all(len(Queue(home).read("review", f"{name}.json").history) == 1 for name in names)


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
    queue.path("completed", "test").write_bytes(b"the real one")

    assert queue.claim_in_review("test.json", now=NOW) is None

    assert queue.path("completed", "test").read_bytes() == b"the real one"
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

    assert queue.read("failed", "test.json").model_extra == {"number": 1}
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

    assert queue.read("pending", "test.json").model_extra == {"number": 1}
    assert (queue.home / "jobs/failed/test.json").read_bytes() == second


# --- putting in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_an_order_that_exists_in_any_folder_is_not_put_in_again(queue: Queue, state: str) -> None:
    before = put(queue.home, state, "test").read_bytes()

    assert not queue.enqueue(Job(stream_id="test", customer_email="other@test.com"))

    assert lying(queue.home) == {"test": [state]}
    assert queue.path(state, "test").read_bytes() == before


def test_an_order_somebody_works_on_is_not_put_in_again(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    claim = claimed(queue)

    with pytest.raises(Busy):
        queue.enqueue(claim.job)


def test_the_same_order_put_in_by_eight_processes_at_once_exists_once(home: Path) -> None:
    script = """
        from downstream.domain.job import Job
        from downstream.queue import Busy
        print("ready", flush=True)
        sys.stdin.readline()
        made = 0
        for number in range(25):
            try:
                made += queue.enqueue(Job(stream_id=f"order-{number}", customer_email=f"{os.getpid()}@test.com"))
            except Busy:
                pass
        print(made)
        """
    callers = [python(home, script) for _ in range(8)]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    made = sum(int(caller.communicate("\n", timeout=60)[0]) for caller in callers)

    assert made == 25
    assert lying(home) == {f"order-{number}": ["pending"] for number in range(25)}


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
    queue.path("pending", "bad").write_text("[]")
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
        queue.path("pending", "bad").write_text("[]")
        given = set(queue.home.rglob("*"))
        queue.enqueue(Job(stream_id="put-in", customer_email="a@b.c"))
        served(queue)
    finally:
        os.umask(before)

    written = [path for path in queue.home.rglob("*") if path not in given and path.name != "bad.json"]
    assert {path.name for path in written} >= {"put-in.json", "dropped.json", "bad.json.reason.txt", ".order.json"}
    for path in written:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


# --- files that are not jobs -----------------------------------------------------------------------------------------

BAD: dict[str, tuple[bytes, str]] = {
    "malformed": (b"{'stream_id': 'malformed'}", "it is not JSON"),
    "comma": (b'{"stream_id": "comma", "customer_email": "a@b.c",}', "it is not JSON"),
    "two": (b'{"stream_id": "two", "customer_email": "a@b.c"}{}', "it is not JSON"),
    "zeros": (b"\0" * 300, "it is not JSON"),
    "not-a-number": (b'{"stream_id": "not-a-number", "customer_email": "a@b.c", "x": NaN}', "it is not JSON"),
    "surrogate": (b'{"stream_id": "surrogate", "customer_email": "a@b.c", "x": "\\ud800"}', "it is not JSON"),
    "latin-1": (b'{"stream_id": "latin-1", "customer_email": "a@b.c", "x": "\xe9"}', "it is not UTF-8 (byte 58)"),
    "utf-16": ('{"stream_id": "utf-16"}'.encode("utf-16"), "it is not UTF-8 (byte 0)"),
    "list": (b'[{"stream_id": "list"}]', "it is not a JSON object"),
    "text": (b'"text"', "it is not a JSON object"),
    "nothing": (b"null", "it is not a JSON object"),
    "number-id": (b'{"stream_id": 7, "customer_email": "a@b.c"}', "stream_id: Input should be a valid string"),
    "text-amount": (b'{"stream_id": "text-amount", "customer_email": "a@b.c", "paid_amount": "49"}', "paid_amount"),
    "true-amount": (b'{"stream_id": "true-amount", "customer_email": "a@b.c", "paid_amount": true}', "paid_amount"),
    "minus": (b'{"stream_id": "minus", "customer_email": "a@b.c", "paid_amount": -1}', "paid_amount"),
    "mills": (b'{"stream_id": "mills", "customer_email": "a@b.c", "paid_amount": 0.001}', "is not an amount in eur"),
    "money": (b'{"stream_id": "money", "customer_email": "a@b.c", "currency": "EURO"}', "currency"),
    "yes": (b'{"stream_id": "yes", "customer_email": "a@b.c", "live": "yes"}', "live"),
    "naive": (b'{"stream_id": "naive", "customer_email": "a@b.c", "paid_at": "2026-01-06T14:00:00"}', "paid_at"),
    "history": (b'{"stream_id": "history", "customer_email": "a@b.c", "history": [{"what": "flew"}]}', "history.0"),
    "no-mail": (b'{"stream_id": "no-mail"}', "customer_email: Field required"),
    "two-mails": (b'{"stream_id": "two-mails", "customer_email": "a@b.c,d@e.f"}', "is not an e-mail address"),
    "up": (b'{"stream_id": "../up", "customer_email": "a@b.c"}', "stream_id"),
    "root": (b'{"stream_id": "/etc/passwd", "customer_email": "a@b.c"}', "stream_id"),
    "line": (b'{"stream_id": "line\\n", "customer_email": "a@b.c"}', "stream_id"),
    "other": (b'{"stream_id": "another", "customer_email": "a@b.c"}', "its stream_id is not the name of the file"),
    "Case": (b'{"stream_id": "case", "customer_email": "a@b.c"}', "its stream_id is not the name of the file"),
    "two-megabytes": (b'{"x": "' + b"y" * 2_000_000, "it has 2000007 bytes; a job has at most 1000000"),
    "deep": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_job_is_set_aside_as_it_came_with_the_reason_and_the_next_job_is_served(
    queue: Queue, drop: Callable[..., Path], name: str
) -> None:
    content, reason = BAD[name]
    queue.path("pending", name).write_bytes(content)
    drop("good")

    assert served(queue) == ["good"]

    assert [(one.path, reason in one.reason) for one in queue.set_aside] == [(queue.path("failed", name), True)]
    assert queue.path("failed", name).read_bytes() == content
    explained = queue.path("failed", name).with_name(f"{name}.json.reason.txt").read_text()
    assert explained.startswith(queue.set_aside[0].reason)
    assert f"jobs/pending, where its name was '{name}.json'" in explained
    assert lying(queue.home) == {"good": ["review"], name: ["failed"]}


@pytest.mark.parametrize("secret", ["secret@example.com", "once upon a time"])
def test_the_reason_never_repeats_what_is_in_the_file(queue: Queue, secret: str) -> None:
    fields = {
        "stream_id": secret,
        "customer_email": f"{secret}, twice",
        "paid_at": secret,
        "live": secret,
        "tries": secret,
    }
    queue.path("pending", "leaky").write_text(json.dumps(fields))
    queue.path("pending", "broken").write_text(f'{{"a": "{secret}" {secret}')

    assert served(queue) == []

    assert len(queue.set_aside) == 2
    assert secret not in " ".join(one.reason for one in queue.set_aside)


NAMES = {
    "spaces": b"my order.json",
    "dots": b"...json",
    "leading dash": b"-rf.json",
    "too long for an id": b"a" * 81 + b".json",
    "as long as names get": b"a" * 250 + b".json",
    "long and wide": "é".encode() * 125 + b".json",
    "not UTF-8": b"caf\xe9.json",
    "new line": b"two\nlines.json",
    "terminal colours": b"\x1b[31mred.json",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_file_whose_name_is_no_stream_id_is_set_aside_under_a_name_that_can_be_shown(
    queue: Queue, drop: Callable[..., Path], kind: str
) -> None:
    name = NAMES[kind]
    Path(os.fsdecode(bytes(queue.folder("pending")) + b"/" + name)).write_bytes(b"content")
    drop("good")
    if name.startswith(b"."):
        assert served(queue) == ["good"]
        assert not queue.set_aside  # a hidden file is nobody's job
        return

    assert served(queue) == ["good"]

    (aside,) = queue.set_aside
    assert aside.path.read_bytes() == b"content"
    assert aside.path.name.isprintable()
    assert "its name is not a stream id" in aside.reason
    assert "its name is not a stream id" in aside.path.with_name(f"{aside.path.name}.reason.txt").read_text()
    assert [str(one) for one in queue.jobs("failed") if isinstance(one, Unreadable)]
    assert not list((queue.home / "jobs/pending").iterdir())


def test_two_files_of_one_name_are_both_kept(queue: Queue) -> None:
    for content in (b"[1]", b"[2]", b"[3]"):
        queue.path("pending", "bad").write_bytes(content)
        assert Queue(queue.home).claim_next(live=True, now=NOW) is None

    names = ["bad.json", "bad.2.json", "bad.3.json"]
    assert [(queue.home / "jobs/failed" / name).read_bytes() for name in names] == [b"[1]", b"[2]", b"[3]"]
    assert all((queue.home / "jobs/failed" / f"{name}.reason.txt").exists() for name in names)


def test_a_symbolic_link_is_set_aside_and_what_it_points_to_is_never_read(queue: Queue, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text('{"stream_id": "link", "customer_email": "a@b.c"}')
    queue.path("pending", "link").symlink_to(outside)
    queue.path("pending", "dangling").symlink_to(tmp_path / "nothing")

    assert served(queue) == []

    assert queue.path("failed", "link").readlink() == outside
    assert queue.path("failed", "dangling").is_symlink()
    assert {one.reason for one in queue.set_aside} == {"it is a symbolic link; put the file itself there"}
    assert not list((queue.home / "streams").iterdir())


def make_pipe(path: Path) -> None:
    """A pipe nobody writes to."""
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    """A folder with something inside."""
    path.mkdir()
    (path / "inside").write_text("kept")


def make_socket(path: Path) -> None:
    """A socket nobody listens at."""
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.fchdir(here)
    os.close(here)


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_socket])
def test_what_is_not_a_file_is_set_aside_and_the_next_job_is_served(
    queue: Queue, drop: Callable[..., Path], make: Callable[[Path], None]
) -> None:
    make(queue.path("pending", "thing"))
    kind = queue.path("pending", "thing").stat().st_mode
    drop("good")

    assert served(queue) == ["good"]

    assert queue.path("failed", "thing").stat().st_mode == kind
    assert len(queue.set_aside) == 1
    if make is make_folder:
        assert (queue.path("failed", "thing") / "inside").read_text() == "kept"
    still_open = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in still_open if path.endswith("thing.json")]


@pytest.mark.parametrize("place", ["folder is a file", "folder leads nowhere", "lock is a folder", "lock is a link"])
def test_an_order_whose_folder_cannot_be_locked_does_not_stop_the_others(
    queue: Queue, drop: Callable[..., Path], place: str
) -> None:
    before = drop("blocked", paid_at=EARLIER).read_bytes()
    drop("good")
    stream = queue.home / "streams/blocked"
    if place == "folder is a file":
        stream.write_text("")
    elif place == "folder leads nowhere":
        stream.symlink_to("nowhere")
    elif place == "lock is a folder":
        (stream / "lock").mkdir(parents=True)
    else:
        stream.mkdir()
        (stream / "lock").symlink_to("elsewhere")

    assert served(queue) == ["good"]

    assert queue.path("failed", "blocked").read_bytes() == before
    assert "streams/blocked cannot be used" in queue.set_aside[0].reason


def rich_job() -> bytes:
    """A job file with everything JSON knows, in the encoding of each kind of program."""
    extras = {
        "name": "Árvíztűrő \U0001f600 漢字",
        "escaped": "placeholder",
        "numbers": [0, -1, 2.5e-3, 10**30, True, False, None],
        "nested": {"a": {"b": [{"c": '"quoted" \\ /'}]}, "empty": {}, "none": []},
    }
    fields = {"stream_id": "test", "customer_email": "a@b.c", "paid_amount": 49, "paid_at": EARLIER, **extras}
    escaped = json.dumps("é \U0001f600\n", ensure_ascii=True)
    return json.dumps(fields, ensure_ascii=False).replace('"placeholder"', escaped).encode()


def test_a_job_broken_off_at_any_byte_is_left_for_the_next_tick(queue: Queue) -> None:
    whole = rich_job()
    for end in range(len(whole)):
        queue.path("pending", "test").write_bytes(whole[:end])
        with pytest.raises(StillWritten):
            queue.read("pending", "test.json")
    queue.path("pending", "test").write_bytes(whole[:-1])
    assert served(queue) == []
    assert lying(queue.home) == {"test": ["pending"]}

    queue.path("pending", "test").write_bytes(whole)

    assert served(Queue(queue.home)) == ["test"]


def test_a_job_broken_off_is_set_aside_when_nobody_has_written_to_it_for_long(queue: Queue) -> None:
    path = queue.path("pending", "test")
    for content in (b"", b'{"stream_id": "test"'):
        path.write_bytes(content)
        os.utime(path, (time.time() - HALF_WRITTEN_SECONDS + 60,) * 2)
        assert served(Queue(queue.home)) == []
        assert path.exists()

        os.utime(path, (time.time() - HALF_WRITTEN_SECONDS - 60,) * 2)
        assert served(Queue(queue.home)) == []
        assert not path.exists()

    assert (queue.home / "jobs/failed/test.2.json").read_bytes() == b'{"stream_id": "test"'
    assert "breaks off in the middle" in (queue.home / "jobs/failed/test.2.json.reason.txt").read_text()


def test_unknown_fields_survive_claim_save_and_every_move(queue: Queue) -> None:
    deep = "x"
    for _ in range(150):
        deep = [deep]  # type: ignore[assignment]
    given = {**json.loads(rich_job()), "paid": "a name of ours", "history_": [None], "deep": deep}
    queue.path("pending", "test").write_text(json.dumps(given))

    claim = claimed(queue)
    claim.save(claim.job.evolve(tries=2))
    claim.advance(claim.job, State.REVIEW, at=NOW, who="test")
    review = queue.claim_in_review("test.json", now=NOW)
    assert review is not None
    review.advance(review.job, State.COMPLETED, at=NOW, who="test")

    kept = json.loads(queue.path("completed", "test").read_bytes())
    assert {key: kept[key] for key in given} == given


def test_a_byte_order_mark_is_no_trouble(queue: Queue) -> None:
    queue.path("pending", "test").write_bytes(b"\xef\xbb\xbf" + rich_job())

    assert served(queue) == ["test"]


def test_names_that_are_not_whole_yet_are_nobodys_jobs(queue: Queue) -> None:
    folder = queue.folder("pending")
    for name in (
        ".test.json.tmp",
        ".hidden.json",
        "test.json~",
        "test.json.part",
        "test.txt",
        ".test.json.swp",
        "4913",
    ):
        (folder / name).write_text('{"stream_id": "test", "customer_email": "a@b.c"}')

    assert queue.is_empty("pending")
    assert queue.names("pending") == []
    assert queue.waiting() == []
    assert served(queue) == []
    assert len(list(folder.iterdir())) == 7


def test_what_a_crash_left_of_an_unfinished_write_is_overwritten(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    claim = claimed(queue)
    (queue.folder("processing") / ".test.json.tmp").write_bytes(b"x" * 10_000)

    claim.advance(claim.job, State.REVIEW, at=NOW, who="test")

    assert lying(queue.home) == {"test": ["review"]}
    assert not list(queue.home.glob("jobs/*/.*.tmp"))


def test_many_processes_set_a_file_aside_once_and_its_reason_stays_beside_it(home: Path) -> None:
    for number in range(60):
        (home / "jobs/pending" / f"bad {number}.json").write_text(str(number))
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            Queue(home).claim_next(live=True, now=NOW)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6

    failed = home / "jobs/failed"
    assert Counter(path.read_text() for path in failed.glob("*.json")) == {str(number): 1 for number in range(60)}
    assert sorted(path.name for path in failed.glob("*.reason.txt")) == sorted(
        f"bad {number}.json.reason.txt" for number in range(60)
    )


def test_a_machine_out_of_descriptors_takes_no_job_for_a_bad_one(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    queue.waiting()

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        held = [os.dup(0) for _ in range(64 - len(list(Path("/proc/self/fd").iterdir())))]
        while True:  # one descriptor more each time, until there are enough
            try:
                claimed(Queue(queue.home))
            except OSError as error:
                assert error.errno == errno.EMFILE  # noqa: PT017
                os.close(held.pop())
            else:
                break

    assert in_child(starve) == 0
    assert lying(queue.home) == {"test": ["processing"]}


# --- looking ---------------------------------------------------------------------------------------------------------


def test_a_job_is_found_in_its_folder_and_a_name_that_is_none_nowhere(queue: Queue) -> None:
    for state in STATES:
        put(queue.home, state, f"in-{state}")

    assert [queue.find(f"in-{state}") for state in STATES] == list(State)
    assert [queue.find(name) for name in ("nobody", "../pending/in-pending", "in-pending\n", "")] == [None] * 4


def test_the_jobs_of_a_folder_come_with_findings_about_what_is_none(queue: Queue) -> None:
    os.utime(put(queue.home, "failed", "good"), (NOW.timestamp(),) * 2)
    queue.path("failed", "half").write_text("{")
    queue.path("failed", "list").write_text("[]")
    Path(os.fsdecode(bytes(queue.folder("failed")) + b"/\xff\n.json")).write_text("5")

    found: Iterator[Job | Unreadable] = queue.jobs("failed")

    described = [str(one) if isinstance(one, Unreadable) else (one.stream_id, one.arrived_at) for one in found]
    assert described == [
        ("good", NOW),
        "failed/list.json: it is not a JSON object",
        "failed/__.json: it is not a JSON object",
    ]


def test_jobs_that_did_not_change_since_then_are_passed_over_unopened(queue: Queue) -> None:
    os.utime(put(queue.home, "completed", "old"), (NOW.timestamp() - 1,) * 2)
    os.utime(put(queue.home, "completed", "new"), (NOW.timestamp(),) * 2)
    queue.path("completed", "old").write_text("not even JSON")
    os.utime(queue.path("completed", "old"), (NOW.timestamp() - 1,) * 2)

    found = list(queue.jobs("completed", changed_since=NOW))

    assert [job.stream_id for job in found if isinstance(job, Job)] == ["new"]
    assert len(found) == 1
