"""In which order the files of ``jobs/pending`` are served, without reading all of them each time.

``jobs/.order.json`` remembers what of each file decides on its turn. It is a cache: deleted, it is built anew; wrong,
whoever claims a job still reads the job itself.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from downstream.domain.state import State
from downstream.files import replace
from downstream.job_file import Newer, StillWritten, Unreadable, is_job_name, read_job
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Turn(NamedTuple):
    """What is known of a waiting file without opening it."""

    inode: int
    changed_ns: int
    """The file's ctime: writing into a file keeps its inode, and a new file may get the inode of an old one."""
    is_unpaid: bool
    due_by: float
    not_before: float
    needs_live: bool


def in_turn(jobs: Path, newer: set[Path]) -> list[tuple[str, Turn]]:
    """The file names in ``jobs/pending`` in the order of service; only files that are new since the last time are read.

    What a later version of this program wrote has no turn; it is added to ``newer``.
    """
    known = _load(jobs)
    index: dict[str, Turn] = {}
    unknown: list[tuple[str, Turn]] = []
    for name, stamp in _stamps(jobs / State.PENDING):
        turn = known.get(name)
        if turn is not None and turn[:2] == stamp:
            index[name] = turn
            continue
        path = jobs / State.PENDING / name
        try:
            index[name] = _look_up(path, stamp)
        except Newer:
            newer.add(path)
        except (FileNotFoundError, StillWritten):
            continue
        except Unreadable:  # claiming it sets it aside, which costs nothing: do that first
            first = Turn(*stamp, is_unpaid=False, due_by=float("-inf"), not_before=0.0, needs_live=False)
            unknown.append((name, first))
    if index != known:
        _save(jobs, index)
    return sorted([*unknown, *index.items()], key=lambda item: (item[1].is_unpaid, item[1].due_by, item[0]))


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """The files that want to be jobs, each with what changes whenever its content does: inode and ctime."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # claimed since the folder was listed
                if is_job_name(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    yield entry.name, (status.st_ino, status.st_ctime_ns)


def _look_up(path: Path, stamp: tuple[int, int]) -> Turn:
    from downstream.domain.promise import turn

    job, modified = read_job(path)
    is_unpaid, due_by = turn(job if job.arrived_at else job.evolve(arrived_at=modified))
    not_before = job.not_before.timestamp() if job.not_before else 0.0
    return Turn(*stamp, is_unpaid, due_by.timestamp(), not_before, job.needs_live)


def _load(jobs: Path) -> dict[str, Turn]:
    try:
        return {name: Turn(*turn) for name, turn in json.loads((jobs / ".order.json").read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # it only saves reading: without it every waiting file is read once


def _save(jobs: Path, index: dict[str, Turn]) -> None:
    with suppress(OSError):  # looking must work on a full disk too
        lock = Lock.take(jobs / ".order.lock")
        if lock is None:
            return  # somebody else is writing the same
        with lock:
            replace(jobs / ".order.json", json.dumps(index).encode(), durable=False)
