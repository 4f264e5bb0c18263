"""What every stage is handed, what it hands back, and how one job's trouble is kept to that job."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from downstream import failures
from downstream.alerts import is_news, is_over, told
from downstream.domain.errors import (
    LONGEST_PUT_OFF_SECONDS,
    Held,
    Interrupted,
    NoRoom,
    OnHold,
    PersonDecides,
    Refused,
    StopRun,
    Throttled,
    TryAgain,
)
from downstream.domain.job import Failure, Job
from downstream.domain.state import UNDER_WAY, State
from downstream.domain.troubles import is_machine_trouble
from downstream.guard import check_room
from downstream.heartbeat import read_heartbeat
from downstream.holds import CANCELLED, REFUNDED, check_not_held, find_hold, held_orders, let_go
from downstream.job_file import StillWritten, Unreadable
from downstream.log import where
from downstream.machine import machine_trouble
from downstream.queue import Busy, NoSuchJob
from downstream.receipts import Phase, Receipts
from downstream.steps.work import Budget, Pools, Work
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from downstream.domain.ports import Progress, Providers, Suppliers
    from downstream.ledger import Ledger
    from downstream.queue import Claim, Queue
    from downstream.settings import Settings

MAX_TRIES = 12
"""Passing faults in a row, nothing having been made between them, after which a person has to look."""
_HOLD = "hold."
LONGEST_WAIT_SECONDS = 6 * 3600.0
LONGEST_SOON_SECONDS = 600.0


@dataclass
class Outcome:
    """What one pass did: stream ids, and the sentences a person must read."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    """Waiting: for a later try, for a person, or for another process."""
    told: list[str] = field(default_factory=list)
    stopped: StopRun | None = None


@dataclass
class Context:
    """One run of one stage."""

    home: Path
    settings: Settings
    queue: Queue
    suppliers: Suppliers
    log: FilteringBoundLogger
    progress: Progress
    stage: str
    ledger: Ledger
    most_micros: Callable[[Job], int]
    """The most a job may cost, in millionths of a dollar."""
    hear: Callable[[str], None] = lambda _: None
    """Keeps a sentence that a person must read, at once."""
    begin: Callable[[], None] = lambda: None
    """Called with each job that is taken up to be made."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run has to end; who sets it because of a fault puts the reason in ``outcome.stopped``."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    steady: Callable[[], float] = time.monotonic
    """Seconds that pass while this machine runs, whatever its clock is set to."""
    outcome: Outcome = field(default_factory=Outcome)

    def check_running(self) -> None:
        """Returns while the run may go on.

        Raises:
            Interrupted: somebody asked this process to end, or another job met a fault of the machine.
            Paused: the heartbeat forbids work.
            NoRoom: the disk or the memory is too full to begin anything.
        """
        if self.stop.is_set():
            raise Interrupted("asked to end")
        read_heartbeat(self.home, self.clock()).require_running()
        check_room(self.home, self.settings)

    def wait(self, seconds: float) -> None:
        """That long has passed.

        Raises:
            Interrupted: the run has to end.
        """
        if self.stop.wait(seconds):
            raise Interrupted("asked to end")

    @contextmanager
    def pools(self) -> Iterator[Pools]:
        """Threads for segments: few for what needs a processor, many for what only waits."""
        with (
            ThreadPoolExecutor(self.settings.segments_at_once) as working,
            ThreadPoolExecutor(self.settings.calls_at_once) as calling,
        ):
            yield Pools(working, calling)

    def work_on(self, claim: Claim, providers: Providers, pools: Pools) -> Work:
        """The job of ``claim``, ready for the steps; its books agree with its receipts."""
        workspace = Workspace(self.home, claim.job.stream_id)
        receipts = Receipts(workspace.receipts, self.clock)
        outside = providers.origin == "outside"
        if outside:
            self.ledger.agree(claim.job.stream_id, receipts.attempts)
        return Work(
            job=claim.job,
            workspace=workspace,
            receipts=receipts,
            providers=providers,
            settings=self.settings,
            log=self.log.bind(stream=claim.job.stream_id),
            progress=self.progress,
            pools=pools,
            budget=Budget(self.ledger, self.most_micros(claim.job) if outside else 0),
            check_running=partial(self._check_order, claim.job.stream_id),
            wait=self.wait,
            lock_descriptors=(claim.fileno(),),
        )

    def _check_order(self, stream_id: str) -> None:
        self.check_running()
        check_not_held(self.home, stream_id)

    def tell(self, sentence: str) -> None:
        """A person will read this, also when this process is killed now."""
        self.hear(sentence)
        self.outcome.told.append(sentence)

    def tell_once(self, fingerprint: str, sentence: str) -> None:
        """A person will read this, now or when it has lasted another day."""
        if is_news(self.home, fingerprint, self.clock()):
            self.tell(sentence)

    def all_clear(self, fingerprint: str, sentence: str) -> None:
        """A person who was told of ``fingerprint`` will read that it is over."""
        if is_over(self.home, fingerprint):
            self.tell(sentence)

    def report_holds_over(self) -> None:
        """What held orders up, and holds up none any more, is told to be over."""
        known = told(self.home, _HOLD)
        if known:
            waiting = [job for state in UNDER_WAY for job in self.queue.jobs(state)]
            holding = {_HOLD + job.held_by for job in waiting if isinstance(job, Job)}
            for fingerprint in set(known) - holding:
                self.all_clear(fingerprint, f"all clear: {fingerprint.removeprefix(_HOLD)} holds up no order any more")

    def report_held_orders(self) -> None:
        """Orders that only outside services may serve are told of while there are none."""
        held = self._held_orders() if self.suppliers.live is None else 0
        if held:
            missing = ", ".join(self.settings.missing_keys)
            sentence = f"{held} order(s) wait for outside services, and these keys are not set: {missing}"
            self.tell_once("held_orders", sentence)
        else:
            self.all_clear("held_orders", "no order waits for outside services any more")

    def _held_orders(self) -> int:
        """Those in ``pending``, those a crash left in ``processing``, and those whose page is made."""
        begun = [job for state in (State.PROCESSING, State.REVIEW) for job in self.queue.jobs(state)]
        return sum(1 for job in begun if isinstance(job, Job) and job.needs_live) + sum(
            1 for _, needs_live in self.queue.waiting() if needs_live
        )

    def give_up_cancelled(self) -> None:
        """Orders that were cancelled or refunded while somebody worked on them lie in ``failed``."""
        for stream_id in held_orders(self.home):
            held = find_hold(self.home, stream_id)
            if held is None or held.kind not in {CANCELLED, REFUNDED}:
                continue
            with suppress(NoSuchJob, Busy, StillWritten, Unreadable):
                claim = self.queue.claim(stream_id, *UNDER_WAY)
                with claim:
                    fail(self, claim, held.kind, held.reason)
            if held.kind == CANCELLED and self.queue.find(stream_id) is State.FAILED:
                let_go(self.home, stream_id)

    def report_set_aside(self) -> None:
        """Everything the queue moved out of the way is logged and told."""
        while self.queue.set_aside:
            aside = self.queue.set_aside.pop()
            self.log.error("file.set_aside", file=aside.path.name, reason=aside.reason)
            self.tell(f"{aside.path.relative_to(self.home)} was set aside: {aside.reason}")
            if aside.stream_id:
                failures.note_told(self.home, aside.stream_id, self.clock())
            self.outcome.failed.append(aside.path.stem)
        for path in sorted(self.queue.newer):
            found = f"{path.relative_to(self.home)} was written by a later version of this program and is left as it is"
            self.tell_once(f"newer.{path.stem}", f"{found}: finish the upgrade (setup_hetzner.sh)")


def attempt(context: Context, claim: Claim, do: Callable[[], None]) -> None:
    """``do`` has dealt with the job of ``claim``, or the job lies where its trouble sends it; the claim is over."""
    try:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - one bad job never stops the pass
            _settle(context, claim, error)
    except OSError as error:
        # Not even the trouble could be written down. The job stays where it is; the next run finds it there.
        end_run(context, machine_trouble(error, context.home))
    finally:
        claim.release()
        context.progress.finished(claim.job.stream_id)


def _settle(context: Context, claim: Claim, error: Exception) -> None:
    """The job goes where its trouble sends it."""
    if is_machine_trouble(error):
        error = machine_trouble(error, context.home)
    if isinstance(error, Held):
        _keep_back(context, claim, error)
    elif isinstance(error, OnHold):
        _hold(context, claim, error)
    elif isinstance(error, TryAgain):
        _put_off(context, claim, error)
    elif isinstance(error, PersonDecides):
        fail(context, claim, "refused" if isinstance(error, Refused) else "person_decides", str(error))
    elif isinstance(error, StopRun):
        _give_back(context, claim, error)
    else:
        _fail_unexpected(context, claim, error)


def fail(context: Context, claim: Claim, kind: str, reason: str) -> None:
    """The job lies in ``failed`` with the reason inside, and a person is told."""
    now, job = context.clock(), claim.job
    failure = Failure(kind=kind, reason=reason, step=context.stage, at=now)
    claim.advance(job.evolve(failure=failure), State.FAILED, at=now, who=context.stage, reason=reason)
    context.log.error("job.failed", stream=job.stream_id, kind=kind, reason=reason)
    context.outcome.failed.append(job.stream_id)
    context.tell(failures.sentence(claim.job))
    if failures.is_unresolved(context.home, claim.job):
        failures.note_told(context.home, job.stream_id, now)


def _fail_unexpected(context: Context, claim: Claim, error: Exception) -> None:
    found = where(error)
    context.log.error("job.unexpected", stream=claim.job.stream_id, **found)
    place = found["trace"][-1] if found["trace"] else "unknown place"
    fail(context, claim, "unexpected", f"a fault in the program: {found['error']} at {place}")


def _put_off(context: Context, claim: Claim, error: TryAgain) -> None:
    """The job waits for a later try; the tries begin anew when anything was made since it was put off last."""
    job = claim.job
    attempts = Receipts(Workspace(context.home, job.stream_id).receipts).attempts
    outcomes = sum(1 for one in attempts if one.phase is Phase.OUTCOME)
    tries = 0 if outcomes > job.outcomes else job.tries
    if tries + 1 >= MAX_TRIES:
        fail(context, claim, "person_decides", f"it did not work {MAX_TRIES} times in a row: {error}")
        return
    until = context.clock() + timedelta(seconds=round(_wait_seconds(error, tries)))
    later = job.evolve(tries=tries + 1, outcomes=outcomes, not_before=until, held_by="")
    context.log.warning("job.put_off", stream=job.stream_id, reason=str(error), until=until.isoformat())
    context.outcome.later.append(job.stream_id)
    claim.save(later)
    claim.give_back()


def _wait_seconds(error: TryAgain, tries: int) -> float:
    """Twice as long each time, not all jobs at the same moment, and as long as the service says it needs."""
    longest = LONGEST_SOON_SECONDS if error.soon else LONGEST_WAIT_SECONDS
    seconds = min(error.wait_seconds * 2.0**tries, longest) * random.uniform(0.8, 1.2)  # noqa: S311
    hint_seconds = error.hint_seconds if isinstance(error, Throttled) else None
    return max(seconds, min(hint_seconds or 0.0, longest))


def _hold(context: Context, claim: Claim, error: OnHold) -> None:
    """The job waits until what holds it up may be over; it has not failed, so its tries are not counted.

    It waits no longer than what was bought for it keeps.
    """
    seconds = min(error.wait_seconds + 1, LONGEST_SOON_SECONDS if error.soon else LONGEST_PUT_OFF_SECONDS)
    job, until = claim.job, context.clock() + timedelta(seconds=round(seconds))
    context.log.warning("job.on_hold", stream=job.stream_id, cause=error.fingerprint, until=until.isoformat())
    context.outcome.later.append(job.stream_id)
    context.tell_once(_HOLD + error.fingerprint, f"{error}. It is looked at again at {until:%Y-%m-%d %H:%M %Z}")
    claim.save(job.evolve(not_before=until, held_by=error.fingerprint))
    claim.give_back()


def _keep_back(context: Context, claim: Claim, error: Held) -> None:
    """The job waits until it is let go; who held it knows, so nobody is told."""
    context.log.warning("job.held", stream=claim.job.stream_id, reason=str(error))
    context.outcome.later.append(claim.job.stream_id)
    claim.give_back()


def _give_back(context: Context, claim: Claim, error: StopRun) -> None:
    """The run ends; this job waits in the place it was taken from."""
    end_run(context, error)
    context.log.warning("job.given_back", stream=claim.job.stream_id, reason=str(error))
    context.outcome.later.append(claim.job.stream_id)
    claim.give_back()


def end_run(context: Context, error: StopRun) -> None:
    """No new job is begun, and those under way are given back at their next piece.

    Where only the room is short, what was bought already is still fetched: it fits into the reserve, and does not keep.
    """
    if context.outcome.stopped is None:
        context.outcome.stopped = error
    if not isinstance(error, NoRoom):
        context.stop.set()
