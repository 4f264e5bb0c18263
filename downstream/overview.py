"""What ``downstream status`` and ``downstream show`` say: read from the files, changing nothing."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from downstream.alerts import standing_alarms
from downstream.domain.errors import PersonDecides
from downstream.domain.money import Money as Amount
from downstream.domain.order import Order
from downstream.domain.prices import show_dollars
from downstream.domain.record import explain
from downstream.domain.state import State
from downstream.files import private_folder
from downstream.guard import has_disk
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.holds import REFUNDED, find_hold, held_orders
from downstream.job_file import StillWritten, Unreadable
from downstream.ledger import Caps, Ledger
from downstream.limits import SharedGate
from downstream.promises import endangered
from downstream.queue import NoSuchJob, Queue, printable
from downstream.receipts import Attempt, Phase, Receipts
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from downstream.domain.job import Job
    from downstream.heartbeat import Heartbeat
    from downstream.holds import Hold
    from downstream.promises import Promise
    from downstream.settings import Settings

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
class Money:
    """What services have cost or may have, beside its caps, in millionths of a dollar."""

    today_micros: int
    cap_per_day_micros: int
    month_micros: int
    cap_per_month_micros: int


@dataclass(frozen=True, slots=True)
class Door:
    """The shop door. Errands are named as in ``my-story refund``."""

    state: str
    """``open``, ``demo`` (open, and nobody pays) or ``closed`` (by the heartbeat, or for want of room on the disk)."""
    drafts: int
    """Orders that nobody has paid for."""
    errands: list[str]
    """Letters and refunds that wait."""
    errands_given_up: list[str]
    """Those a person has to see to."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole house at one moment."""

    heartbeat: str
    heartbeat_why: str
    counts: dict[str, int]
    jobs: list[Row]
    """Every job that is not completed; of those in ``pending`` only the next to be served."""
    money: Money
    on_hold: dict[str, str]
    """Service to when it is called again, ISO 8601."""
    held: dict[str, str]
    """Held order to the reason, also where it is delivered; without those whose money went back."""
    shop: Door
    promises: list[dict[str, str]]
    """Paid orders that are late or will be: ``stream_id``, ``promised_by``, ``danger`` and a ``sentence``."""
    alarms: dict[str, str]
    """What the operator was told and is not over, to when it was told last, ISO 8601."""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def status(home: Path, now: datetime, settings: Settings) -> Status:
    """Where everything stands. Finished jobs are counted, not read.

    Raises:
        Misconfigured: a line of the ledger is no entry.
    """
    queue, heartbeat = Queue(home), read_heartbeat(home, now)
    standing_still = _held(home)
    return Status(
        heartbeat=heartbeat.pulse.value,
        heartbeat_why=heartbeat.why,
        counts={state.value: len(queue.names(state)) for state in State},
        jobs=[_with_hold(row, standing_still) for row in (*_open_rows(queue, now), *_pending_rows(queue, now))],
        money=money(home, settings, now),
        on_hold={service: until.isoformat(timespec="seconds") for service, until in holds(home).items()},
        held=held(home),
        shop=door(home, settings, heartbeat),
        promises=[_late(promise, now) for promise in endangered(home, settings, now)],
        alarms={name: at.isoformat(timespec="seconds") for name, at in standing_alarms(home).items()},
    )


def _late(promise: Promise, now: datetime) -> dict[str, str]:
    return {
        "stream_id": promise.stream_id,
        "promised_by": promise.promised_by.isoformat(timespec="seconds"),
        "danger": str(promise.danger(now)),
        "sentence": promise.sentence(now),
    }


def door(home: Path, settings: Settings, heartbeat: Heartbeat) -> Door:
    """How the shop door stands."""
    is_demo = not settings.stripe_api_key
    is_open = heartbeat.pulse is Pulse.ACTIVE and has_disk(home, settings)
    return Door(
        state="closed" if not is_open else "demo" if is_demo else "open",
        drafts=sum(1 for _ in (home / "streams" / ".drafts").glob("[!.]*.json")),
        errands=_errands(home, ".json"),
        errands_given_up=_errands(home, ".refused"),
    )


def _errands(home: Path, suffix: str) -> list[str]:
    paths = sorted((home / "jobs" / ".errands").glob(f"[!.]*{suffix}"))
    return [path.stem.replace(".", " ", 1) for path in paths]


def held(home: Path) -> dict[str, str]:
    """Held order to the reason, without those whose money went back: they stay held for ever."""
    return {one.stream_id: one.reason for one in _held(home).values() if one.kind != REFUNDED}


def _held(home: Path) -> dict[str, Hold]:
    found = (find_hold(home, stream_id) for stream_id in held_orders(home))
    return {one.stream_id: one for one in found if one is not None}


def _with_hold(row: Row, standing_still: Mapping[str, Hold]) -> Row:
    """The row says what holds its order; a failed one whose money went back has said so."""
    one = standing_still.get(row.stream_id)
    if one is None or (one.kind == REFUNDED and row.state == State.FAILED):
        return row
    is_waiting = row.state in {State.PENDING, State.REVIEW}
    return replace(row, note=f"held: {one.reason}" + ("" if is_waiting or not row.note else f"; {row.note}"))


def money(home: Path, settings: Settings, now: datetime) -> Money:
    """What was spent or is reserved on the day and in the month of ``now``, by the operator's clock.

    Raises:
        Misconfigured: a line of the ledger is no entry.
    """
    caps = Caps.of(settings)
    # Looking must leave no trace in a house that never spent anything.
    is_kept = (home / "logs" / "ledger").is_dir()
    ledger = Ledger(home, caps=caps, timezone=settings.timezone, clock=lambda: now)
    today, this_month = ledger.spent(now) if is_kept else (0, 0)
    return Money(today, caps.per_day_micros, this_month, caps.per_month_micros)


def holds(home: Path) -> dict[str, datetime]:
    """The services that nobody calls at this moment, and until when."""
    found = {}
    for path in sorted((home / "jobs" / ".limits").glob("*.json")):
        gate = SharedGate(home, path.stem, creates_per_minute=1, at_once=1, wait=time.sleep)
        if until := gate.held_until():
            found[path.stem] = datetime.fromtimestamp(until, UTC)
    return found


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
    if job.not_before is not None and job.waits(now):
        return f"tried {job.tries} times, again in {round((job.not_before - now) / timedelta(minutes=1))} min"
    if state is State.REVIEW:
        return "approved, being delivered" if job.approved else "waits for review"
    return "for outside services" if job.needs_live else ""


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
    state, job = find_job(Queue(home), stream_id)
    workspace = Workspace(home, stream_id)
    yield f"{stream_id}  {state.value}  (jobs/{state.value}/{stream_id}.json)"
    yield f"  paid      {job.paid or 'no'}{f' on {job.paid_at:%Y-%m-%d %H:%M %Z}' if job.paid_at else ''}"
    yield f"  made      {progress(workspace)}"
    yield from _order(home, job)
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
    yield from _errands_done(workspace)
    try:
        with recorded(workspace) as receipts:
            yield from _costs(receipts.attempts)
    except PersonDecides as error:
        yield f"  spent     unknown: {error}"


def _order(home: Path, job: Job) -> Iterator[str]:
    """What the shop knows of the order: how it was paid, what was promised and agreed, and what holds it."""
    stream_id = job.stream_id
    if job.refunded_minor:
        yield f"  refunded  {Amount(job.currency, job.refunded_minor)}"
    if one := find_hold(home, stream_id):
        yield f"  held      {one.kind}, since {one.at or 'nobody knows when'}: {one.reason}"
    try:
        order = Order.model_validate_json((home / "streams" / stream_id / "order.json").read_bytes())
    except FileNotFoundError:
        return  # it came another way
    except ValidationError as error:
        yield f"  order     streams/{stream_id}/order.json is none: {explain(error)}"
        return
    if order.paid:
        paid, intent = order.paid, order.paid.payment_intent or "no payment intent"
        yield f"  payment   {paid.amount}, {paid.session_id}, {intent}, found by {paid.found_by} on {_moment(paid.at)}"
    if order.promised_by:
        yield f"  promised  by {_moment(order.promised_by)}"
    if order.consents:
        agreed = ", ".join(consent.agreement.value for consent in order.consents)
        yield f"  agreed    {agreed} on {_moment(order.consents[0].at)}"


def _errands_done(workspace: Workspace) -> Iterator[str]:
    """The letters and refunds of the order, and what came of each."""
    try:
        with recorded(workspace, "shop.jsonl") as receipts:
            for one in receipts.attempts:
                line = f"  {one.began_at:%Y-%m-%d %H:%M:%S}  {one.call}  through {one.provider}: {one.phase.value}"
                yield f"{line}  {one.reason}".rstrip()
    except PersonDecides as error:
        yield f"  letters   unknown: {error}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"


@contextmanager
def recorded(workspace: Workspace, name: str = "receipts.jsonl") -> Iterator[Receipts]:
    """The receipts as they are at this moment, to be read and nothing else.

    Raises:
        PersonDecides: the file was changed into something that is not receipts.
    """
    with TemporaryDirectory() as folder:
        # A copy: only who holds the stream's lock may open the receipts, and a run may hold it for an hour.
        copy = private_folder(Path(folder) / workspace.stream_id) / name
        with suppress(FileNotFoundError):
            shutil.copyfile(workspace.root / name, copy)
        yield Receipts(copy)


def _costs(attempts: Sequence[Attempt]) -> Iterator[str]:
    """What each attempt cost that cost something or may have; nothing where none did."""
    costly = [one for one in attempts if one.spent_micros]
    if not costly:
        return
    total = sum(one.spent_micros for one in costly)
    parts = {"assumed": 0, "unknown": 0, "open": 0}
    for one in costly:
        if (kind := _certainty(one)) in parts:
            parts[kind] += one.spent_micros
    of_it = ", ".join(f"{show_dollars(micros)} {kind}" for kind, micros in parts.items() if micros)
    yield f"  spent     {show_dollars(total)}{f', of it {of_it}' if of_it else ''}"
    width = max(len(one.call) for one in costly)
    for one in costly:
        note = _NOTES.get(_certainty(one), "")
        line = f"{one.call:<{width}}  attempt {one.number}  {one.provider:<8}  {one.phase.value:<8}"
        yield f"    {line}  {show_dollars(one.spent_micros):>9} {_certainty(one)}{note}"


_NOTES = {
    "unknown": ": nobody can tell whether it was made, so it counts as spent",
    "open": ": being made, or cut off; counts as spent until its end is known",
}


def _certainty(attempt: Attempt) -> str:
    """How well it is known what an attempt cost."""
    if attempt.is_open:
        return "open"
    if attempt.phase is Phase.UNKNOWN:
        return "unknown"
    return "exact" if attempt.exact else "assumed"


def find_job(queue: Queue, stream_id: str) -> tuple[State, Job]:
    """The job and where it lies, also when it moves on while it is looked for.

    Raises:
        NoSuchJob: there is none of that name.
        StillWritten: its file breaks off in the middle and may not be finished.
        Unreadable: its file is not a job.
    """
    while (state := queue.find(stream_id)) is not None:
        with suppress(FileNotFoundError):
            return state, queue.read(state, f"{stream_id}.json")
    raise NoSuchJob(stream_id)
