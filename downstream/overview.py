"""What ``downstream status`` and ``downstream show`` say: read from the files, changing nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from downstream.domain.job import Job, State
from downstream.heartbeat import read_heartbeat
from downstream.queue import NoSuchJob, Queue, StillWritten, Unreadable, printable
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

MOST_PENDING = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One job in the table."""

    stream_id: str
    state: str
    since: str
    """When it was ordered, ISO 8601."""
    paid: str
    note: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole house at one moment."""

    heartbeat: str
    heartbeat_why: str
    counts: dict[str, int]
    jobs: list[Row]
    """Every job that is not completed; of those in ``pending`` only the next to be served."""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def status(home: Path, now: datetime) -> Status:
    """Where everything stands. Finished jobs are counted, not read."""
    queue, heartbeat = Queue(home), read_heartbeat(home, now)
    return Status(
        heartbeat=heartbeat.pulse.value,
        heartbeat_why=heartbeat.why,
        counts={state.value: len(queue.names(state)) for state in State},
        jobs=[*_open_rows(queue, now), *_pending_rows(queue, now)],
    )


def _open_rows(queue: Queue, now: datetime) -> Iterator[Row]:
    for state in (State.FAILED, State.REVIEW, State.PROCESSING):
        for job in queue.jobs(state):
            yield _row(queue, job, state, now)


def _pending_rows(queue: Queue, now: datetime) -> Iterator[Row]:
    for name, _ in queue.waiting()[:MOST_PENDING]:
        try:
            yield _row(queue, queue.read(State.PENDING, name), State.PENDING, now)
        except Unreadable as why:
            yield Row(printable(name.removesuffix(".json")), State.PENDING.value, "", "", f"not a job: {why}")
        except (FileNotFoundError, StillWritten):
            continue  # claimed or opened by an editor since it was listed


def _row(queue: Queue, job: Job | Unreadable, state: State, now: datetime) -> Row:
    if isinstance(job, Unreadable):
        name, _, why = str(job).partition(".json: ")
        return Row(name.rpartition("/")[2], state.value, "", "", f"not a job: {why}")
    since = job.order_time.isoformat(timespec="minutes") if job.order_time.year < 9999 else ""
    paid = str(job.paid) if job.is_paid and job.paid else "no"
    return Row(job.stream_id, state.value, since, paid, _note(queue, job, state, now))


def _note(queue: Queue, job: Job, state: State, now: datetime) -> str:
    if state is State.FAILED:
        return job.failure.reason if job.failure else "no reason is noted"
    if state is State.PROCESSING:
        worked_on = "being made" if queue.is_worked_on(job.stream_id) else "left by a crash, resumed at the next tick"
        return f"{worked_on}: {progress(Workspace(queue.home, job.stream_id))}"
    if job.not_before is not None and job.not_before > now:
        return f"tried {job.tries} times, again in {round((job.not_before - now) / timedelta(minutes=1))} min"
    if state is State.REVIEW:
        return "approved, being delivered" if job.approved else "waits for review"
    return "waits for outside services" if job.needs_live else ""


def progress(workspace: Workspace) -> str:
    """How many pieces of each step lie in the stream's folder, as in ``keyframes 6, clips 2``."""
    counts = {
        "plan": int(workspace.production.exists()),
        "keyframes": _count(workspace.keyframes),
        "clips": _count(workspace.root / "clips"),
        "frames": _count(workspace.root / "frames"),
        "page": int(workspace.page.exists()),
    }
    return ", ".join(f"{step} {count}" for step, count in counts.items() if count) or "nothing yet"


def _count(folder: Path) -> int:
    return sum(1 for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else 0


def life(home: Path, stream_id: str) -> Iterator[str]:
    """The life of one order, line by line.

    Raises:
        NoSuchJob: there is none of that name.
        StillWritten: its file breaks off in the middle and may not be finished.
        Unreadable: its file is not a job.
    """
    state, job = _catch(Queue(home), stream_id)
    workspace = Workspace(home, stream_id)
    yield f"{stream_id}  {state.value}  (jobs/{state.value}/{stream_id}.json)"
    yield f"  paid      {job.paid or 'no'}{f' on {job.paid_at:%Y-%m-%d %H:%M %Z}' if job.paid_at else ''}"
    yield f"  made      {progress(workspace)}"
    if job.failure:
        yield f"  failed    {job.failure.kind}: {job.failure.reason}"
    if job.not_before:
        yield f"  next try  {job.not_before:%Y-%m-%d %H:%M:%S %Z} (tried {job.tries} times)"
    for name, path in (("page", workspace.root / "public" / "index.html"), ("draft", workspace.page / "index.html")):
        if path.exists():
            yield f"  {name:<9} {path}"
    if job.arrived_at:
        yield f"  {job.arrived_at:%Y-%m-%d %H:%M:%S}  arrived"
    for entry in job.history:
        moved = f"{entry.source} → {entry.target}" if entry.target else entry.what.value
        evidence = " ".join(f"{key}={value}" for key, value in entry.evidence.items() if value is not None)
        yield f"  {entry.at:%Y-%m-%d %H:%M:%S}  {moved}  by {entry.who}  {entry.reason} {evidence}".rstrip()


def _catch(queue: Queue, stream_id: str) -> tuple[State, Job]:
    """The job and where it lies, also when it moves on while it is looked for."""
    while (state := queue.find(stream_id)) is not None:
        with suppress(FileNotFoundError):
            return state, queue.read(state, f"{stream_id}.json")
    raise NoSuchJob(stream_id)
