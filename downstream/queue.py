"""The five folders, and everything that may be done to the files in them.

A job is ``jobs/{state}/{stream_id}.json``; its folder is its state. Whoever works on a job holds the stream's lock,
``streams/{stream_id}/lock``, so a job in ``processing`` whose lock is free was left there by a crash. A job is in
exactly one folder at every instant: a move first writes the new content, with the move as its last line of history,
into the folder the job is leaving, and then renames it across. When a crash falls between the two, the next claim
sees a job whose history says it has left, and lets it go where it was going.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Self

from downstream.domain.errors import LONGEST_PUT_OFF_SECONDS
from downstream.domain.names import is_stream_id
from downstream.domain.state import State
from downstream.files import sync_folder, write_durably
from downstream.holds import find_hold
from downstream.job_file import Newer, StillWritten, Unreadable, is_job_name, read_job
from downstream.locks import Lock, is_held
from downstream.turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pydantic import JsonValue

    from downstream.domain.job import Job
    from downstream.turns import Turn

MAX_RECOVERIES = 3
LISTING_SECONDS = 30
"""How long a pass goes on with one listing of ``pending`` before it looks for earlier orders again."""

_NOT_A_LOCK = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
"""How taking a lock fails where something else lies in its place; other errors are the machine's."""


class Busy(Exception):  # noqa: N818
    """Somebody else works on that stream."""


class NoSuchJob(Exception):  # noqa: N818
    """No job of that name in the folders looked through."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that went to ``failed``, where ``path`` holds it as it came; ``reason`` says why."""

    path: Path
    reason: str
    stream_id: str = ""
    """The order that failed, where it is one."""


@dataclass
class Queue:
    """The five folders below ``home``."""

    home: Path
    set_aside: list[SetAside] = field(default_factory=list)
    """What was moved out of the way since this object was made."""
    newer: set[Path] = field(default_factory=set)
    """What a later version of this program wrote, and was met since this object was made."""
    _order: list[tuple[str, Turn]] = field(default_factory=list)
    _listed_at: float = float("-inf")

    # --- looking -----------------------------------------------------------------------------------------------

    def folder(self, state: State) -> Path:
        """``jobs/{state}``."""
        return self.home / "jobs" / state

    def path(self, state: State, stream_id: str) -> Path:
        """Where the job lies when it is in that state."""
        return self.folder(state) / f"{stream_id}.json"

    def names(self, state: State) -> list[str]:
        """The file names in a folder that want to be jobs, sorted; temporary names are not among them."""
        with os.scandir(self.folder(state)) as entries:
            return sorted(entry.name for entry in entries if is_job_name(entry.name))

    def is_empty(self, state: State) -> bool:
        """No file in that folder wants to be a job."""
        with os.scandir(self.folder(state)) as entries:
            return not any(is_job_name(entry.name) for entry in entries)

    def find(self, stream_id: str) -> State | None:
        """The folder a job lies in."""
        if not is_stream_id(stream_id):
            return None
        return next((state for state in State if os.path.lexists(self.path(state, stream_id))), None)

    def read(self, state: State, name: str) -> Job:
        """The job in file ``name`` of that folder.

        Raises:
            FileNotFoundError: it is not there (any more).
            StillWritten: it breaks off in the middle and may not be finished.
            Unreadable: it is not a job.
        """
        return read_job(self.folder(state) / name)[0]

    def jobs(self, state: State, *, changed_since: datetime | None = None) -> Iterator[Job | Unreadable]:
        """The jobs in a folder, by name; what is not a job comes as the finding about it.

        With ``changed_since`` files that were last written before that are passed over unopened.
        """
        for name in self.names(state):
            path = self.folder(state) / name
            try:
                if changed_since is not None and path.lstat().st_mtime < changed_since.timestamp():
                    continue
                job, modified = read_job(path)
            except (FileNotFoundError, StillWritten):
                continue
            except Unreadable as why:
                yield Unreadable(f"{state}/{printable(name)}: {why}")
                continue
            yield job if job.arrived_at else job.evolve(arrived_at=modified)

    def is_worked_on(self, stream_id: str) -> bool:
        """Somebody holds the stream's lock at this moment."""
        return is_held(self._lock_path(stream_id))

    # --- putting in and taking out -----------------------------------------------------------------------------

    def enqueue(self, job: Job, state: State = State.PENDING) -> bool:
        """The job is in ``pending`` (or ``failed``) and on the disk; False when one of that name exists already.

        Raises:
            Busy: somebody else holds the stream's lock.
        """
        with self._locked(job.stream_id):
            if self.find(job.stream_id) is not None:
                return False
            write_durably(self.path(state, job.stream_id), job.to_json())
            return True

    def claim_next(self, *, live: bool, now: datetime) -> Claim | None:
        """The next job to make, moved to ``processing`` and locked: first what a crash left, then by ``turn``.

        ``live`` says whether jobs that need outside services can be served; without, they stay where they are.
        """
        for name in self.names(State.PROCESSING):
            claim = self._try_claim(State.PROCESSING, name, live=live, now=now)
            if claim is not None:
                return claim
        if time.monotonic() - self._listed_at > LISTING_SECONDS:
            self._order, self._listed_at = in_turn(self.home / "jobs", self.newer), time.monotonic()
            self._order.reverse()  # the first to serve is popped from the end
        while self._order:
            name, turn = self._order.pop()
            is_early = 0 < turn.not_before - now.timestamp() <= LONGEST_PUT_OFF_SECONDS
            if is_early or (turn.needs_live and not live):
                continue
            claim = self._try_claim(State.PENDING, name, live=live, now=now)
            if claim is not None:
                return claim
        return None

    def claim(self, stream_id: str, *states: State) -> Claim:
        """The job, locked where it lies.

        Raises:
            NoSuchJob: it lies in none of those folders.
            Busy: somebody else works on it.
            StillWritten: its file breaks off in the middle and may not be finished.
            Unreadable: its file is not a job.
        """
        if self.find(stream_id) not in states:
            raise NoSuchJob(stream_id)
        lock = Lock.take(self._lock_path(stream_id))
        if lock is None:
            raise Busy(stream_id)
        try:
            state = self.find(stream_id)  # again, now that nobody else can move it
            if state is None or state not in states:
                raise NoSuchJob(stream_id)
            job, _ = read_job(self.path(state, stream_id))
            if self._finish_move(state, job):
                raise NoSuchJob(stream_id)
        except BaseException:
            lock.release()
            raise
        return Claim(self, job, state, lock)

    def claim_in_review(self, name: str, *, now: datetime) -> Claim | None:
        """The job in that file of ``review``, locked where it lies; None when there is nothing to do with it now."""
        return self._try_claim(State.REVIEW, name, live=True, now=now)

    def waiting(self) -> list[tuple[str, bool]]:
        """The file names in ``pending`` in the order of service, each with whether it needs outside services."""
        return [(name, turn.needs_live) for name, turn in in_turn(self.home / "jobs", self.newer)]

    # --- inside ------------------------------------------------------------------------------------------------

    def _lock_path(self, stream_id: str) -> Path:
        return self.home / "streams" / stream_id / "lock"

    @contextmanager
    def _locked(self, stream_id: str) -> Iterator[None]:
        lock = Lock.take(self._lock_path(stream_id))
        if lock is None:
            raise Busy(stream_id)
        with lock:
            yield

    def _try_claim(self, state: State, name: str, *, live: bool, now: datetime) -> Claim | None:
        stream_id = name.removesuffix(".json")
        if not is_stream_id(stream_id):
            _put_aside(self, state, name, "its name is not a stream id (letters, digits, - and _, at most 80)")
            return None
        if self.path(state, stream_id).is_symlink():  # before its folder and lock are made
            _put_aside(self, state, name, "it is a symbolic link; put the file itself there")
            return None
        try:
            lock = Lock.take(self._lock_path(stream_id))
        except OSError as error:
            if error.errno not in _NOT_A_LOCK:
                raise
            _put_aside(self, state, name, f"its folder streams/{stream_id} cannot be used: {error.strerror}")
            return None
        if lock is None:
            return None
        claim = None
        try:
            claim = self._claim_locked(state, name, lock, live=live, now=now)
        finally:
            if claim is None:
                lock.release()
        return claim

    def _claim_locked(self, state: State, name: str, lock: Lock, *, live: bool, now: datetime) -> Claim | None:
        path = self.folder(state) / name
        try:
            job, modified = read_job(path)
        except Newer:
            self.newer.add(path)
            return None
        except (FileNotFoundError, StillWritten):
            return None
        except Unreadable as why:
            _put_aside(self, state, name, str(why))
            return None
        elsewhere = self._elsewhere(state, job.stream_id)
        if elsewhere:
            _put_aside(self, state, name, f"a job of this name is in {elsewhere} already; use another stream_id")
            return None
        if self._finish_move(state, job) or find_hold(self.home, job.stream_id) is not None:
            return None
        if job.waits(now) or (job.needs_live and not live):
            return None
        job = job if job.arrived_at else job.evolve(arrived_at=modified)
        if state == State.PENDING:
            path.rename(self.path(State.PROCESSING, job.stream_id))
            return Claim(self, job, State.PROCESSING, lock)
        claim = Claim(self, job, state, lock)
        return _recovered(claim, now) if state == State.PROCESSING else claim

    def _finish_move(self, state: State, job: Job) -> bool:
        """Completes a move that a crash cut between its two halves."""
        from downstream.domain.job import What

        last = job.history[-1] if job.history else None
        if last is None or last.what is not What.MOVED or last.source != state or last.target is None:
            return False
        _rename_across(self, job.stream_id, last.source, last.target)
        return True

    def _elsewhere(self, state: State, stream_id: str) -> str | None:
        """The folder where the job of this name is already; a job under way gives way to none that is behind it."""
        behind = set[State]() if state == State.PENDING else {State.PENDING, State.FAILED}
        others = (other for other in State if other != state and other not in behind)
        return next((other for other in others if os.path.lexists(self.path(other, stream_id))), None)


@dataclass
class Claim:
    """A job in somebody's hands: nobody else touches it until ``release``."""

    queue: Queue
    job: Job
    state: State
    _lock: Lock

    def save(self, job: Job) -> None:
        """``job`` is what the file says, where it lies, and a power cut cannot undo it."""
        write_durably(self.queue.path(self.state, job.stream_id), job.to_json())
        self.job = job

    def advance(
        self,
        job: Job,
        target: State,
        *,
        at: datetime,
        who: str,
        reason: str = "",
        evidence: dict[str, JsonValue] | None = None,
    ) -> None:
        """The job lies in ``target``, the move in its history; a power cut cannot undo it. The claim is over."""
        from downstream.domain.job import Entry, What

        move = Entry(
            at=at,
            who=who,
            what=What.MOVED,
            reason=reason,
            source=self.state,
            target=target,
            evidence=evidence or {},
        )
        self.save(job.evolve(history=(*job.history, move)))
        _rename_across(self.queue, job.stream_id, self.state, target)
        self.state = target
        self.release()

    def give_back(self) -> None:
        """The job waits in ``pending`` again as it was claimed; what is finished in its stream stays finished."""
        if self.state is State.PROCESSING:
            _rename_across(self.queue, self.job.stream_id, State.PROCESSING, State.PENDING)
        self.release()

    def fileno(self) -> int:
        """For a child process that works on the job: while it lives nobody else does."""
        return self._lock.fileno()

    def release(self) -> None:
        """Somebody else may work on the job; it stays where it is."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _recovered(claim: Claim, now: datetime) -> Claim | None:
    """Counts the crash that left this job in ``processing``; after three the job goes to ``failed``."""
    from downstream.domain.job import Failure, What

    recoveries = claim.job.recoveries + 1
    job = claim.job.evolve(recoveries=recoveries).noting(What.RECOVERED, at=now, who="process")
    if recoveries <= MAX_RECOVERIES:
        claim.save(job)
        return claim
    reason = (
        f"the run that made it ended without a word {recoveries} times; did the kernel kill it for want of memory "
        f"(dmesg)? See logs/processor.log and the receipts in streams/{job.stream_id}, then: "
        f"downstream retry {job.stream_id}"
    )
    failure = Failure(kind="recoveries", reason=reason, at=now)
    claim.advance(job.evolve(failure=failure), State.FAILED, at=now, who="process", reason=reason)
    claim.queue.set_aside.append(SetAside(claim.queue.path(State.FAILED, job.stream_id), reason, job.stream_id))
    return None


def _rename_across(queue: Queue, stream_id: str, source: State, target: State) -> None:
    _make_room(queue, stream_id, source, target)
    queue.path(source, stream_id).rename(queue.path(target, stream_id))
    sync_folder(queue.folder(target))
    sync_folder(queue.folder(source))


def _put_aside(queue: Queue, state: State, name: str, reason: str) -> None:
    """The file lies in ``failed`` byte for byte as it came, the reason in a text file beside it."""
    source = queue.folder(state) / name
    with Lock.wait(queue.home / "jobs" / ".aside.lock"):
        if not os.path.lexists(source):
            return  # somebody else was faster
        target = _free_path(queue, name)
        text = (
            f"{reason}\n\nSet aside from jobs/{state}, where its name was {name!r}. "
            "Mend the file and move it to jobs/pending, or leave it here.\n"
        )
        write_durably(_explanation(target), text.encode())
        try:
            source.rename(target)
        except FileNotFoundError:  # its owner took it back
            _explanation(target).unlink()
            return
        sync_folder(target.parent)
        sync_folder(source.parent)
    queue.set_aside.append(SetAside(target, reason))


def _make_room(queue: Queue, stream_id: str, source: State, target: State) -> None:
    """Nothing lies where the job of ``source`` is about to go: the rename would destroy it."""
    if not os.path.lexists(queue.path(target, stream_id)):
        return
    _put_aside(queue, target, f"{stream_id}.json", f"a job of this name was in {source} already; use another stream_id")
    if target == State.FAILED:  # the reason it was set aside for earlier would now lie beside the wrong file
        _explanation(queue.path(target, stream_id)).unlink(missing_ok=True)


def _free_path(queue: Queue, name: str) -> Path:
    """Where in ``failed`` a file can be put: under its own name, if that can be shown and is free."""
    # Cut so that the reason beside it and its temporary still have names a file system takes (255 bytes).
    stem = printable(name.removesuffix(".json")).encode()[:200].decode(errors="ignore")
    names = (f"{stem}.json" if number == 1 else f"{stem}.{number}.json" for number in count(1))
    return next(path for path in map(queue.folder(State.FAILED).joinpath, names) if not os.path.lexists(path))


def _explanation(path: Path) -> Path:
    return path.with_name(f"{path.name}.reason.txt")


def printable(name: str) -> str:
    """A file's name as it can be shown: what is neither printable nor text becomes ``_``."""
    return "".join(character if character.isprintable() else "_" for character in name)
