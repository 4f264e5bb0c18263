"""What every stage is handed, what it hands back, and how one job's trouble is kept to that job."""

from __future__ import annotations

import errno
import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from downstream.alerts import is_news, is_over
from downstream.domain.errors import Interrupted, Misconfigured, PersonDecides, Refused, StopRun, TryAgain
from downstream.domain.job import Failure, State
from downstream.heartbeat import read_heartbeat
from downstream.log import where
from downstream.receipts import Receipts
from downstream.steps.work import Work
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from downstream.domain.ports import Progress, Providers, Suppliers
    from downstream.queue import Claim, Queue
    from downstream.settings import Settings

MAX_TRIES = 12
"""Passing faults in a row after which a person has to look."""
LONGEST_WAIT_SECONDS = 6 * 3600.0

# The machine's troubles, not the job's: full disk or quota, read-only or broken file system, out of descriptors,
# processes or memory.
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
)


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
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run has to end; who sets it because of a fault puts the reason in ``outcome.stopped``."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    outcome: Outcome = field(default_factory=Outcome)

    def check_running(self) -> None:
        """Returns while the run may go on.

        Raises:
            Interrupted: somebody asked this process to end, or another job met a fault of the machine.
            Paused: the heartbeat forbids work.
        """
        if self.stop.is_set():
            raise Interrupted("asked to end")
        read_heartbeat(self.home, self.clock()).require_running()

    def work_on(self, claim: Claim, providers: Providers, pool: Executor) -> Work:
        """The job of ``claim``, ready for the steps."""
        workspace = Workspace(self.home, claim.job.stream_id)
        return Work(
            job=claim.job,
            workspace=workspace,
            receipts=Receipts(workspace.receipts),
            providers=providers,
            settings=self.settings,
            log=self.log.bind(stream=claim.job.stream_id),
            progress=self.progress,
            pool=pool,
            check_running=self.check_running,
        )

    def tell(self, sentence: str) -> None:
        """A person will read this."""
        self.outcome.told.append(sentence)

    def tell_once(self, fingerprint: str, sentence: str) -> None:
        """A person will read this, now or when it has lasted another day."""
        if is_news(self.home, fingerprint, self.clock()):
            self.tell(sentence)

    def all_clear(self, fingerprint: str, sentence: str) -> None:
        """A person who was told of ``fingerprint`` will read that it is over."""
        if is_over(self.home, fingerprint):
            self.tell(sentence)

    def report_set_aside(self) -> None:
        """Everything the queue moved out of the way is logged and told."""
        while self.queue.set_aside:
            aside = self.queue.set_aside.pop()
            self.log.error("file.set_aside", file=aside.path.name, reason=aside.reason)
            self.tell(f"{aside.path.relative_to(self.home)} was set aside: {aside.reason}")
            self.outcome.failed.append(aside.path.stem)


def attempt(context: Context, claim: Claim, do: Callable[[], None]) -> None:
    """``do`` has dealt with the job of ``claim``, or the job lies where its trouble sends it; the claim is over."""
    try:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - one bad job never stops the pass
            _settle(context, claim, error)
    except OSError as error:
        # Not even the trouble could be written down. The job stays where it is; the next run finds it there.
        end_run(context, machine_trouble(error))
    finally:
        claim.release()
        context.progress.finished(claim.job.stream_id)


def _settle(context: Context, claim: Claim, error: Exception) -> None:
    """The job goes where its trouble sends it."""
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
        error = machine_trouble(error)
    elif isinstance(error, ImportError | MemoryError):
        # A half-done upgrade or too little memory says nothing about this order either.
        error = Misconfigured(f"this installation cannot work: {type(error).__name__}")
    if isinstance(error, TryAgain):
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
    context.tell(f"{job.stream_id} failed: {reason}. See: downstream show {job.stream_id}")


def _fail_unexpected(context: Context, claim: Claim, error: Exception) -> None:
    found = where(error)
    context.log.error("job.unexpected", stream=claim.job.stream_id, **found)
    place = found["trace"][-1] if found["trace"] else "unknown place"
    fail(context, claim, "unexpected", f"a fault in the program: {found['error']} at {place}")


def _put_off(context: Context, claim: Claim, error: TryAgain) -> None:
    """The job waits for a later try: twice as long each time, and not all jobs at the same moment."""
    job = claim.job
    if job.tries + 1 >= MAX_TRIES:
        fail(context, claim, "person_decides", f"it did not work {MAX_TRIES} times in a row: {error}")
        return
    seconds = min(error.wait_seconds * 2**job.tries, LONGEST_WAIT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
    until = context.clock() + timedelta(seconds=round(seconds))
    later = job.evolve(tries=job.tries + 1, not_before=until)
    context.log.warning("job.put_off", stream=job.stream_id, reason=str(error), until=until.isoformat())
    context.outcome.later.append(job.stream_id)
    claim.save(later)
    claim.give_back()


def _give_back(context: Context, claim: Claim, error: StopRun) -> None:
    """The run ends; this job waits in the place it was taken from."""
    end_run(context, error)
    context.log.warning("job.given_back", stream=claim.job.stream_id, reason=str(error))
    context.outcome.later.append(claim.job.stream_id)
    claim.give_back()


def machine_trouble(error: OSError) -> Misconfigured:
    """A full disk and its like, as a reason to end the run."""
    place = f" ({error.filename})" if error.filename else ""
    return Misconfigured(f"the machine is in trouble: {error.strerror}{place}")


def end_run(context: Context, error: StopRun) -> None:
    """No new job is begun, and those under way are given back at their next piece."""
    if context.outcome.stopped is None:
        context.outcome.stopped = error
    context.stop.set()
