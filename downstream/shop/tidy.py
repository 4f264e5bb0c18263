"""``downstream tidy``: what nobody needs any more goes; a paid order that is not settled never does.

An order goes only as ``forget`` would erase it, and only when nothing is owed for it: never one that waits, is being
made or reviewed, is held, or was delivered to somebody who paid. Each is looked at once more, under its lock, at the
moment it goes. A run that was killed is carried on by the next.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError, PersonDecides
from downstream.domain.period import Period
from downstream.domain.state import State
from downstream.files import is_half_written, write_durably
from downstream.holds import find_hold
from downstream.job_file import StillWritten, Unreadable
from downstream.locks import Lock
from downstream.queue import Busy, NoSuchJob
from downstream.shop import forget, proofs
from downstream.shop.places import LOCKS, Place
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.domain.job import Job
    from downstream.domain.ports import Hosting
    from downstream.shop.shop import Shop

REHEARSAL_DAYS = 30
DONE_DAYS = 90
"""How long the mark of a finished review is kept; the last of each kind stays, for missed ones are counted from it."""
_OF_ONE_ORDER = (DownstreamError, NoSuchJob, Busy, Unreadable, StillWritten)
_FOLDER_REST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Old:
    """An order, or a file or folder beside the orders, that may go."""

    name: str
    why: str
    files: int
    size_bytes: int


@dataclass(slots=True)
class Plan:
    """What may go at one moment."""

    orders: list[Old] = field(default_factory=list)
    """Erased altogether; named by their stream ids."""
    thinned: list[Old] = field(default_factory=list)
    """Only their clips and frames go."""
    beside: list[Old] = field(default_factory=list)
    """Named by their paths below the installation."""
    kept: dict[str, str] = field(default_factory=dict)
    """Stream id to why a person is needed before that order can go."""

    @property
    def size_bytes(self) -> int:
        return sum(old.size_bytes for old in chain(self.orders, self.thinned, self.beside))

    @property
    def is_empty(self) -> bool:
        return not (self.orders or self.thinned or self.beside)


def look(shop: Shop, thin_days: int | None) -> Plan:
    """Everything that may go; with ``thin_days`` also the clips and frames of streams completed longer ago."""
    plan = Plan()
    for stream_id in proofs.unfinished(shop.home):
        _note(shop, plan, stream_id, "its forgetting was cut off")
    for state, stream_id in _resting(shop):
        try:
            _look_at(shop, plan, state, stream_id, thin_days)
        except _OF_ONE_ORDER as error:
            plan.kept[stream_id] = str(error)
    plan.beside = [_old(shop.home, path, why) for path, why in _beside(shop)]
    return plan


def carry_out(shop: Shop, plan: Plan, thin_days: int | None, hosting: Callable[[], Hosting | None]) -> dict[str, str]:
    """What was planned is gone, but for what has changed meanwhile; returns the names of what is not, and why."""
    not_done: dict[str, str] = {}
    for old in plan.orders:
        _try(not_done, old.name, partial(forget.forget, shop, old.name, hosting, partial(_check_old, shop)))
    for old in plan.thinned:
        _try(not_done, old.name, partial(_thin, shop, old.name, thin_days or 0))
    still = {str(path.relative_to(shop.home)): path for path, _ in _beside(shop)}
    for path in (still[old.name] for old in plan.beside if old.name in still):
        _remove(shop, path)
    return not_done


def _try(not_done: dict[str, str], name: str, do: Callable[[], object]) -> None:
    """What keeps one from going keeps no other from it."""
    try:
        do()
    except _OF_ONE_ORDER as error:
        not_done[name] = str(error)


# --- orders ------------------------------------------------------------------------------------------------------


def _resting(shop: Shop) -> Iterator[tuple[State, str]]:
    """Every order that nobody works on any more, but those whose forgetting was cut off."""
    begun = set(proofs.unfinished(shop.home))
    for state in (State.FAILED, State.COMPLETED):
        for name in shop.queue.names(state):
            if (stream_id := name.removesuffix(".json")) not in begun:
                yield state, stream_id


def _look_at(shop: Shop, plan: Plan, state: State, stream_id: str, thin_days: int | None) -> None:
    try:
        job = shop.queue.read(state, f"{stream_id}.json")
    except FileNotFoundError:
        return  # it was moved a moment ago
    if find_hold(shop.home, stream_id) is not None:
        return
    if why := _why_old(shop, state, job):
        _note(shop, plan, stream_id, why)
    elif state is State.COMPLETED and thin_days is not None and _rests(shop, job) > timedelta(days=thin_days):
        folders = _thick(shop.home, stream_id)
        sizes = [size for folder in folders for size in Place("clips", folder).sizes()]
        if folders:
            plan.thinned.append(Old(stream_id, f"delivered {_since(job):%Y-%m-%d}", len(sizes), sum(sizes)))


def _note(shop: Shop, plan: Plan, stream_id: str, why: str) -> None:
    """The order is among those to be erased."""
    much = list(forget.look(shop, stream_id).amounts.values())
    plan.orders.append(Old(stream_id, why, sum(each.files for each in much), sum(each.size_bytes for each in much)))


def _why_old(shop: Shop, state: State, job: Job) -> str:
    """Why the order may be erased; empty where it may not."""
    days = shop.settings.keep_failed_days
    is_kept = job.is_paid if state is State.COMPLETED else not job.is_settled
    if is_kept or not days or _rests(shop, job) <= timedelta(days=days):
        return ""
    return f"{state} since {_since(job):%Y-%m-%d}, {'refunded' if job.is_paid else 'not paid for'}"


def _check_old(shop: Shop, found: forget.Found) -> None:
    """Returns while the order may still go; its lock is held."""
    if found.is_begun:
        return  # half of it is gone
    state, job = found.state, found.job
    is_resting = job is not None and state in (State.FAILED, State.COMPLETED)
    if job is None or state is None or not is_resting or not _why_old(shop, state, job):
        raise PersonDecides("it has changed meanwhile, and stays")
    if find_hold(shop.home, job.stream_id) is not None:
        raise PersonDecides("it is held, and stays")


def _since(job: Job) -> datetime:
    """When something happened to the order last."""
    return job.history[-1].at if job.history else job.order_time


def _rests(shop: Shop, job: Job) -> timedelta:
    return shop.clock() - _since(job)


def _thick(home: Path, stream_id: str) -> list[Path]:
    """The folders that only a new version of the page needs."""
    root = Workspace(home, stream_id).root
    return [folder for folder in (root / "frames", root / "clips") if folder.is_dir() and not folder.is_symlink()]


def _thin(shop: Shop, stream_id: str, days: int) -> None:
    """The order's clips and frames are gone, and ``thinned.json`` says so; it said so before the first of them went."""
    with shop.queue.claim(stream_id, State.COMPLETED) as claim:
        if find_hold(shop.home, stream_id) is not None or _rests(shop, claim.job) <= timedelta(days=days):
            raise PersonDecides("it has changed meanwhile, and stays whole")
        count = sum(1 for folder in _thick(shop.home, stream_id) for _ in Place("clips", folder).files())
        note = {"thinned_at": shop.clock().isoformat(), "files": count}
        write_durably(Workspace(shop.home, stream_id).thinned, json.dumps(note).encode() + b"\n")
        for folder in _thick(shop.home, stream_id):
            shutil.rmtree(folder)
        shop.log.info("order.thinned", stream=stream_id, files=count)


# --- beside the orders -------------------------------------------------------------------------------------------


def _old(home: Path, path: Path, why: str) -> Old:
    sizes = list(Place("beside", path).sizes())
    return Old(str(path.relative_to(home)), why, len(sizes), sum(sizes))


def _beside(shop: Shop) -> Iterator[tuple[Path, str]]:
    """What no order needs any more, and why."""
    home, now = shop.home, shop.clock()
    yield from _finished(home, now)
    for path in _half_written(home, now):
        yield path, "what a killed writer left"
    for path in sorted((home / "streams").glob("[!.]*/")):
        if _is_empty(path) and _age(path, now) > _FOLDER_REST:
            yield path, "a folder without an order"


def _finished(home: Path, now: datetime) -> Iterator[tuple[Path, str]]:
    rehearsals = home / "streams" / ".rehearsals"
    for path in sorted(rehearsals.iterdir()) if rehearsals.is_dir() else ():
        if _age(path, now) > timedelta(days=REHEARSAL_DAYS):
            yield path, f"a rehearsal more than {REHEARSAL_DAYS} days old"
    for period in Period:
        done = sorted((home / "triggers").glob(f"{period.value}-*.done"))[:-1]
        for path in (path for path in done if _age(path, now) > timedelta(days=DONE_DAYS)):
            yield path, f"a review finished more than {DONE_DAYS} days ago; the report itself stays"


def _half_written(home: Path, now: datetime) -> Iterator[Path]:
    for root in ("jobs", "streams", "logs", "triggers"):
        for folder, below, names in os.walk(home / root):
            if ".rehearsals" in below:
                below.remove(".rehearsals")
            yield from (path for path in (Path(folder, name) for name in sorted(names)) if is_half_written(path, now))


def _age(path: Path, now: datetime) -> timedelta:
    try:
        return now - datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return timedelta()


def _is_empty(root: Path) -> bool:
    """Nothing but locks is in a stream's folder."""
    return not root.is_symlink() and all(path.name in LOCKS for path in root.iterdir())


def _remove(shop: Shop, path: Path) -> None:
    if path.parent != shop.home / "streams":
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    with shop.orders.changing(path.name), Lock.take(path / "lock") or nullcontext() as lock:
        if lock is not None and _is_empty(path):
            forget.remove_folder(path)
