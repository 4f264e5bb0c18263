"""The five folders, and everything that may be done to the files in them.

A job is ``jobs/{state}/{stream_id}.json``; its folder is its state. Whoever works on a job holds the stream's lock,
``streams/{stream_id}/lock``, so a job in ``processing`` whose lock is free was left there by a crash. A job is in
exactly one folder at every instant: a move first writes the new content, with the move as its last line of history,
into the folder the job is leaving, and then renames it across. When a crash falls between the two, the next claim
sees a job whose history says it has left, and lets it go where it was going.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Self

from downstream.domain.errors import LONGEST_PUT_OFF_SECONDS
from downstream.domain.names import is_stream_id
from downstream.files import replace, sync_folder, write_durably
from downstream.holds import find_hold
from downstream.locks import Lock, is_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import JsonValue

    from downstream.domain.job import Job, State

MAX_JOB_BYTES = 1_000_000
MAX_RECOVERIES = 3
HALF_WRITTEN_SECONDS = 600
"""A file that breaks off in the middle is given this long after its last write before it is set aside."""
LISTING_SECONDS = 30
"""How long a pass goes on with one listing of ``pending`` before it looks for earlier orders again."""

STATES = ("pending", "processing", "review", "completed", "failed")
_NOT_A_LOCK = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
"""How taking a lock fails where something else lies in its place; other errors are the machine's."""
_NOT_A_JOB = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV})
"""How opening a file fails for a reason of its own."""


class Unreadable(Exception):  # noqa: N818 - a finding about a file, not an error of the program
    """A file in the five folders that is not a job; the text says why."""


class StillWritten(Exception):  # noqa: N818
    """A file that breaks off in the middle and was written to a moment ago."""

    def __init__(
        self, why: str = "its file breaks off in the middle; is it still being written? Try again in a moment"
    ) -> None:
        super().__init__(why)


class Newer(StillWritten):
    """A job that a later version of this program wrote: it is left as it lies."""


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


class _Place(NamedTuple):
    """What the index of ``pending`` knows of a file without opening it."""

    inode: int
    changed_ns: int
    """The file's ctime: writing into a file keeps its inode, and a new file may get the inode of an old one."""
    is_unpaid: bool
    due_by: float
    not_before: float
    needs_live: bool


@dataclass
class Queue:
    """The five folders below ``home``."""

    home: Path
    set_aside: list[SetAside] = field(default_factory=list)
    """What was moved out of the way since this object was made."""
    newer: set[Path] = field(default_factory=set)
    """What a later version of this program wrote, and was met since this object was made."""
    _order: list[tuple[str, _Place]] = field(default_factory=list)
    _listed_at: float = float("-inf")

    # --- looking -----------------------------------------------------------------------------------------------

    def folder(self, state: State | str) -> Path:
        """``jobs/{state}``."""
        return self.home / "jobs" / str(state)

    def path(self, state: State | str, stream_id: str) -> Path:
        """Where the job lies when it is in that state."""
        return self.folder(state) / f"{stream_id}.json"

    def names(self, state: State | str) -> list[str]:
        """The file names in a folder that want to be jobs, sorted; temporary names are not among them."""
        with os.scandir(self.folder(state)) as entries:
            return sorted(entry.name for entry in entries if _is_job_name(entry.name))

    def is_empty(self, state: State | str) -> bool:
        """No file in that folder wants to be a job."""
        with os.scandir(self.folder(state)) as entries:
            return not any(_is_job_name(entry.name) for entry in entries)

    def find(self, stream_id: str) -> State | None:
        """The folder a job lies in."""
        from downstream.domain.job import State

        if not is_stream_id(stream_id):
            return None
        return next((state for state in State if os.path.lexists(self.path(state, stream_id))), None)

    def read(self, state: State | str, name: str) -> Job:
        """The job in file ``name`` of that folder.

        Raises:
            FileNotFoundError: it is not there (any more).
            StillWritten: it breaks off in the middle and may not be finished.
            Unreadable: it is not a job.
        """
        return _read_job(self.folder(state) / name)[0]

    def jobs(self, state: State | str, *, changed_since: datetime | None = None) -> Iterator[Job | Unreadable]:
        """The jobs in a folder, by name; what is not a job comes as the finding about it.

        With ``changed_since`` files that were last written before that are passed over unopened.
        """
        for name in self.names(state):
            path = self.folder(state) / name
            try:
                if changed_since is not None and path.lstat().st_mtime < changed_since.timestamp():
                    continue
                job, modified = _read_job(path)
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

    def enqueue(self, job: Job, state: State | str = "pending") -> bool:
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
        for name in self.names("processing"):
            claim = self._try_claim("processing", name, live=live, now=now)
            if claim is not None:
                return claim
        if time.monotonic() - self._listed_at > LISTING_SECONDS:
            self._order, self._listed_at = self._ordered(), time.monotonic()
            self._order.reverse()  # the first to serve is popped from the end
        while self._order:
            name, place = self._order.pop()
            is_early = 0 < place.not_before - now.timestamp() <= LONGEST_PUT_OFF_SECONDS
            if is_early or (place.needs_live and not live):
                continue
            claim = self._try_claim("pending", name, live=live, now=now)
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
            job, _ = _read_job(self.path(state, stream_id))
            if self._finish_move(state, job):
                raise NoSuchJob(stream_id)
        except BaseException:
            lock.release()
            raise
        return Claim(self, job, state, lock)

    def claim_in_review(self, name: str, *, now: datetime) -> Claim | None:
        """The job in that file of ``review``, locked where it lies; None when there is nothing to do with it now."""
        return self._try_claim("review", name, live=True, now=now)

    def waiting(self) -> list[tuple[str, bool]]:
        """The file names in ``pending`` in the order of service, each with whether it needs outside services."""
        return [(name, place.needs_live) for name, place in self._ordered()]

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

    def _try_claim(self, state: State | str, name: str, *, live: bool, now: datetime) -> Claim | None:
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

    def _claim_locked(self, state: State | str, name: str, lock: Lock, *, live: bool, now: datetime) -> Claim | None:
        from downstream.domain.job import State

        path = self.folder(state) / name
        try:
            job, modified = _read_job(path)
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
        claim = Claim(self, job, State(state), lock)
        return _recovered(claim, now) if state == State.PROCESSING else claim

    def _finish_move(self, state: State | str, job: Job) -> bool:
        """Completes a move that a crash cut between its two halves."""
        from downstream.domain.job import What

        last = job.history[-1] if job.history else None
        if last is None or last.what is not What.MOVED or last.source != state or last.target is None:
            return False
        _rename_across(self, job.stream_id, last.source, last.target)
        return True

    def _elsewhere(self, state: State | str, stream_id: str) -> str | None:
        """The folder where the job of this name is already; a job under way gives way to none that is behind it."""
        behind = set() if state == "pending" else {"pending", "failed"}
        others = (other for other in STATES if other != state and other not in behind)
        return next((other for other in others if os.path.lexists(self.path(other, stream_id))), None)

    # --- the order of service ----------------------------------------------------------------------------------

    def _ordered(self) -> list[tuple[str, _Place]]:
        """``pending`` in the order of service. Only files that are new since the last listing are opened."""
        known = self._load_index()
        index: dict[str, _Place] = {}
        unknown: list[tuple[str, _Place]] = []
        for name, stamp in _stamps(self.folder("pending")):
            place = known.get(name)
            if place is not None and place[:2] == stamp:
                index[name] = place
                continue
            try:
                index[name] = self._look_up(name, stamp)
            except Newer:
                self.newer.add(self.path("pending", name.removesuffix(".json")))
            except (FileNotFoundError, StillWritten):
                continue
            except Unreadable:  # claiming it sets it aside, which costs nothing: do that first
                first = _Place(*stamp, is_unpaid=False, due_by=float("-inf"), not_before=0.0, needs_live=False)
                unknown.append((name, first))
        if index != known:
            self._save_index(index)
        return sorted([*unknown, *index.items()], key=lambda item: (item[1].is_unpaid, item[1].due_by, item[0]))

    def _look_up(self, name: str, stamp: tuple[int, int]) -> _Place:
        from downstream.domain.promise import turn

        job, modified = _read_job(self.folder("pending") / name)
        is_unpaid, due_by = turn(job if job.arrived_at else job.evolve(arrived_at=modified))
        not_before = job.not_before.timestamp() if job.not_before else 0.0
        return _Place(*stamp, is_unpaid, due_by.timestamp(), not_before, job.needs_live)

    @property
    def _index_path(self) -> Path:
        return self.home / "jobs" / ".order.json"

    def _load_index(self) -> dict[str, _Place]:
        try:
            return {name: _Place(*place) for name, place in json.loads(self._index_path.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # it only saves reading: without it every waiting file is read once

    def _save_index(self, index: dict[str, _Place]) -> None:
        with suppress(OSError):  # looking must work on a full disk too
            lock = Lock.take(self.home / "jobs" / ".order.lock")
            if lock is None:
                return  # somebody else is writing the same
            with lock:
                replace(self._index_path, json.dumps(index).encode(), durable=False)


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
        from downstream.domain.job import State

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
    from downstream.domain.job import Failure, State, What

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


def _put_aside(queue: Queue, state: State | str, name: str, reason: str) -> None:
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
    if target == "failed":  # the reason it was set aside for earlier would now lie beside the wrong file
        _explanation(queue.path(target, stream_id)).unlink(missing_ok=True)


def _free_path(queue: Queue, name: str) -> Path:
    """Where in ``failed`` a file can be put: under its own name, if that can be shown and is free."""
    # Cut so that the reason beside it and its temporary still have names a file system takes (255 bytes).
    stem = printable(name.removesuffix(".json")).encode()[:200].decode(errors="ignore")
    names = (f"{stem}.json" if number == 1 else f"{stem}.{number}.json" for number in count(1))
    return next(path for path in map(queue.folder("failed").joinpath, names) if not os.path.lexists(path))


def _explanation(path: Path) -> Path:
    return path.with_name(f"{path.name}.reason.txt")


def printable(name: str) -> str:
    """A file's name as it can be shown: what is neither printable nor text becomes ``_``."""
    return "".join(character if character.isprintable() else "_" for character in name)


def _is_job_name(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """The files that want to be jobs, each with what changes whenever its content does: inode and ctime."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # claimed since the folder was listed
                if _is_job_name(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    yield entry.name, (status.st_ino, status.st_ctime_ns)


def _read_job(path: Path) -> tuple[Job, datetime]:
    """The job in a file and the time of the file's last change."""
    from pydantic import ValidationError

    from downstream.domain.job import Job
    from downstream.domain.record import explain

    data, modified = _read_bytes(path)
    _check_json(data, modified)
    _check_format(data)
    try:
        job = Job.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise Unreadable(explain(error)) from None
    if path.name != f"{job.stream_id}.json":
        raise Unreadable("its stream_id is not the name of the file")
    return job, modified


def _check_format(data: bytes) -> None:
    """Returns unless the job says that a later version of this program wrote it.

    Raises:
        Newer: it does; what else stands in it may mean something else by now.
    """
    from downstream.domain.job import FORMAT

    document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    said = document.get("format") if isinstance(document, dict) else None
    if isinstance(said, int) and said > FORMAT:
        raise Newer("its file was written by a later version of this program, which is the one to use")


def _read_bytes(path: Path) -> tuple[bytes, datetime]:
    try:
        # Neither follows a link nor waits for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOT_A_JOB:
            raise
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it is not a regular file")
        if status.st_size > MAX_JOB_BYTES:
            raise Unreadable(f"it has {status.st_size} bytes; a job has at most {MAX_JOB_BYTES}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_JOB_BYTES + 1), datetime.fromtimestamp(status.st_mtime, UTC)
    finally:
        os.close(descriptor)


def _check_json(data: bytes, modified: datetime) -> None:
    """Tells a file that is still being written from one that is wrong."""
    from pydantic_core import from_json

    try:
        value = from_json(data.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except ValueError as error:
        if str(error).startswith("EOF while parsing"):  # how a JSON object begins, but not all of one
            if abs(time.time() - modified.timestamp()) < HALF_WRITTEN_SECONDS:
                raise StillWritten from None
            raise Unreadable("it breaks off in the middle") from None
        raise Unreadable(_why_not_json(data, error)) from None
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")


def _why_not_json(data: bytes, error: ValueError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8 (byte {wrong.start})"
    return f"it is not JSON: {error}"
