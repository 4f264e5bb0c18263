"""The five folders: who is served when, who holds a job, and what is put in once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Entry, Job, What
from downstream.domain.state import State
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import MAX_RECOVERIES, Busy, NoSuchJob, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).parent))
from queue_tools import EARLIER, NOW, claimed, in_child, lying, put, python, served


@pytest.fixture
def queue(home: Path) -> Queue:
    """The queue of a new installation."""
    return Queue(home)


# --- the order of service --------------------------------------------------------------------------------------------


def test_first_paid_is_first_served_and_what_nobody_paid_for_comes_after_it_by_arrival(
    queue: Queue, drop: Callable[..., Path]
) -> None:
    drop("paid-late", paid_amount=49, paid_at="2026-01-06T14:30:00Z")
    drop("paid-early", paid_amount=49, paid_at="2026-01-06T13:30:00Z")
    for name, minute in (("unpaid-later", 5), ("unpaid-between", 0)):
        os.utime(drop(name), (datetime(2026, 1, 6, 14, minute, tzinfo=UTC).timestamp(),) * 2)
    drop("paid-elsewhere", paid_amount=49, paid_at="2026-01-06T15:00:00+02:00")

    assert served(queue) == ["paid-elsewhere", "paid-early", "paid-late", "unpaid-between", "unpaid-later"]


def test_what_is_promised_sooner_is_served_sooner_whoever_paid_first(queue: Queue, drop: Callable[..., Path]) -> None:
    drop("has-days", paid_at="2026-01-06T10:00:00Z", promised_by="2026-01-08T10:00:00Z")
    drop("as-usual", paid_at="2026-01-06T11:00:00Z")  # two hours
    drop("soon", paid_at="2026-01-06T12:00:00Z", promised_by="2026-01-06T12:30:00Z")

    assert served(queue) == ["soon", "as-usual", "has-days"]


@pytest.mark.parametrize("promise", ["2106-02-07T06:28:00Z", "1970-01-01T00:05:00Z"])
def test_a_promise_that_a_wrong_clock_made_neither_hurries_an_order_nor_leaves_it_for_ever(
    queue: Queue, drop: Callable[..., Path], promise: str
) -> None:
    drop("second", paid_at="2026-01-06T11:00:00Z", promised_by=promise)
    drop("first", paid_at="2026-01-06T10:30:00Z")
    drop("third", paid_at="2026-01-06T11:30:00Z")

    assert served(queue) == ["first", "second", "third"]


@pytest.mark.parametrize(("hours", "names"), [(25.9, []), (26.1, ["order"]), (24 * 365 * 80, ["order"])])
def test_what_waits_for_longer_than_anything_is_put_off_was_put_off_by_a_wrong_clock_and_is_served(
    queue: Queue, drop: Callable[..., Path], hours: float, names: list[str]
) -> None:
    drop("order", paid_at=EARLIER, not_before=(NOW + timedelta(hours=hours)).isoformat())

    assert served(queue) == names


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
    assert queue.path(State.PENDING, "needs-live").read_bytes() == before
    assert queue.waiting() == [("needs-live.json", True)]
    assert served(Queue(queue.home), live=True) == ["needs-live"]


def test_a_held_order_left_by_a_crash_stays_where_it_is(queue: Queue) -> None:
    put(queue.home, "processing", "paid", paid_amount=49)

    assert queue.claim_next(live=False, now=NOW) is None
    assert lying(queue.home) == {"paid": ["processing"]}
    assert queue.read(State.PROCESSING, "paid.json").recoveries == 0


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

    assert queue.read(State.PENDING, "test.json").arrived_at == NOW
    assert [job.order_time for job in queue.jobs(State.PENDING) if isinstance(job, Job)] == [NOW]


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
    modified = queue.path(State.PENDING, "again").stat().st_mtime_ns

    queue.path(State.PENDING, "again").unlink()
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


def test_orders_that_cannot_be_served_now_cost_nothing_but_their_names(home: Path, drop: Callable[..., Path]) -> None:
    drop("held", paid_amount=49)
    drop("later", not_before="2026-01-06T16:00:00Z")
    Queue(home).waiting()

    script = """
        touched = []
        sys.addaudithook(lambda event, arguments: touched.append(str(arguments[0])) if event == "open" else None)
        claim = queue.claim_next(live=False, now=now)
        print(json.dumps([claim, [path for path in touched if path.startswith(str(home))]]))
        """
    claim, touched = json.loads(python(home, script).communicate(timeout=60)[0])

    assert claim is None
    assert touched == [str(home / "jobs/.order.json")]


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
        queue.waiting(), queue.is_empty(State.PENDING), queue.find("fresh")
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
    assert queue.path(State.PROCESSING, "test").read_bytes() == before
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

    assert queue.path(State.PENDING, "test").read_bytes() == before
    assert not queue.is_worked_on("test")


def test_a_saved_job_lies_where_it_was_with_its_new_content(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    claim = claimed(queue)

    claim.save(claim.job.evolve(tries=3))

    assert lying(queue.home) == {"test": ["processing"]}
    assert queue.read(State.PROCESSING, "test.json").tries == 3
    assert claim.job.tries == 3


def test_an_advanced_job_tells_its_move_and_is_free(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()

    claimed(queue).advance(
        Job(stream_id="test", customer_email="a@b.c"), State.REVIEW, at=NOW, who="x", reason="y", evidence={"z": 1}
    )

    assert lying(queue.home) == {"test": ["review"]}
    assert queue.read(State.REVIEW, "test.json").history == (
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
    queue.path(State.FAILED, "test").write_text(content)

    with pytest.raises(trouble):
        queue.claim("test", State.FAILED)

    assert not queue.is_worked_on("test")
    assert queue.path(State.FAILED, "test").read_text() == content


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
    job = queue.read(State.FAILED, "test.json")
    assert job.recoveries == 4
    assert [entry.what for entry in job.history] == [What.RECOVERED] * 4 + [What.MOVED]
    assert job.failure is not None
    assert (job.failure.kind, job.failure.at) == ("recoveries", NOW)
    assert "downstream retry test" in job.failure.reason
    assert [(one.path, one.reason) for one in queue.set_aside] == [
        (queue.path(State.FAILED, "test"), job.failure.reason)
    ]


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
    os.utime(queue.path(State.PROCESSING, "test"), (0, 0))

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


# --- putting in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
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


# --- looking ---------------------------------------------------------------------------------------------------------


def test_a_job_is_found_in_its_folder_and_a_name_that_is_none_nowhere(queue: Queue) -> None:
    for state in State:
        put(queue.home, state, f"in-{state}")

    assert [queue.find(f"in-{state}") for state in State] == list(State)
    assert [queue.find(name) for name in ("nobody", "../pending/in-pending", "in-pending\n", "")] == [None] * 4


def test_the_jobs_of_a_folder_come_with_findings_about_what_is_none(queue: Queue) -> None:
    os.utime(put(queue.home, "failed", "good"), (NOW.timestamp(),) * 2)
    queue.path(State.FAILED, "half").write_text("{")
    queue.path(State.FAILED, "list").write_text("[]")
    Path(os.fsdecode(bytes(queue.folder(State.FAILED)) + b"/\xff\n.json")).write_text("5")

    found: Iterator[Job | Unreadable] = queue.jobs(State.FAILED)

    described = [str(one) if isinstance(one, Unreadable) else (one.stream_id, one.arrived_at) for one in found]
    assert described == [
        ("good", NOW),
        "failed/list.json: it is not a JSON object",
        "failed/__.json: it is not a JSON object",
    ]


def test_jobs_that_did_not_change_since_then_are_passed_over_unopened(queue: Queue) -> None:
    os.utime(put(queue.home, "completed", "old"), (NOW.timestamp() - 1,) * 2)
    os.utime(put(queue.home, "completed", "new"), (NOW.timestamp(),) * 2)
    queue.path(State.COMPLETED, "old").write_text("not even JSON")
    os.utime(queue.path(State.COMPLETED, "old"), (NOW.timestamp() - 1,) * 2)

    found = list(queue.jobs(State.COMPLETED, changed_since=NOW))

    assert [job.stream_id for job in found if isinstance(job, Job)] == ["new"]
    assert len(found) == 1
