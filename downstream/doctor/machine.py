"""Is the machine fit: rights, file systems, room, the killswitch, copies elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from downstream.backup.folder import last_backup
from downstream.doctor.finding import Finding, Level
from downstream.domain.errors import NoRoom
from downstream.domain.state import State
from downstream.guard import check_room
from downstream.heartbeat import Pulse, read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from downstream.settings import Settings

_GIGABYTE = 1_000_000_000
LITTLE_ROOM_BYTES, NO_ROOM_BYTES = 5 * _GIGABYTE, _GIGABYTE
LITTLE_ROOM_INODES, NO_ROOM_INODES = 20_000, 2_000
OLD_BACKUP = timedelta(days=2)


def rights(home: Path) -> Iterator[Finding]:
    """Customers' data and keys are their owner's alone."""
    places = [home / name for name in (".env", "jobs", "streams", "logs", *(f"jobs/{state}" for state in State))]
    wrong = False
    for path in places:
        if not path.exists():
            continue
        found, name = path.stat(), path.relative_to(home)
        if found.st_uid != os.geteuid():
            wrong = True
            yield Finding("FAIL", "rights", f"{name} belongs to another user", f"chown -R $(id -un) {path}")
        elif stat.S_IMODE(found.st_mode) & 0o077:
            wrong = True
            mode = "600" if path.is_file() else "700"
            yield Finding("FAIL", "rights", f"others may look into {name}", f"chmod {mode} {path}")
    if not wrong:
        yield Finding("ok", "rights", "folders and .env are their owner's alone")


def one_file_system(home: Path) -> Finding:
    """A job moves by rename, which only works within one file system."""
    folders = [home / "jobs" / state for state in State]
    probe = f".doctor-{os.getpid()}"
    try:
        if len({path.stat().st_dev for path in [*folders, home / "streams"]}) > 1:
            return Finding("FAIL", "file system", "jobs/* and streams lie on more than one", "put them on one")
        (folders[0] / probe).touch()
        for source, target in pairwise(folders):
            (source / probe).rename(target / probe)
        (folders[-1] / probe).unlink()
    except OSError as error:
        return Finding("FAIL", "file system", f"{error.filename}: {error.strerror}", "mend it; a job cannot move")
    return Finding("ok", "file system", "jobs/* and streams lie on one, and files move in it")


def room(home: Path) -> Iterator[Finding]:
    """Disk and inodes are free."""
    free = shutil.disk_usage(home).free
    level = _level(free, LITTLE_ROOM_BYTES, NO_ROOM_BYTES)
    step = "" if level == "ok" else "make room: an order takes some 0.2 GB"
    yield Finding(level, "disk", f"{free / _GIGABYTE:.1f} GB are free", step)
    status = os.statvfs(home)
    if status.f_files:  # some file systems have no fixed number of them
        level = _level(status.f_favail, LITTLE_ROOM_INODES, NO_ROOM_INODES)
        yield Finding(level, "inodes", f"{status.f_favail:,} are free", "" if level == "ok" else "remove small files")


def reserve(home: Path, settings: Settings) -> Iterator[Finding]:
    """What must be free before anything is begun is free."""
    try:
        check_room(home, settings)
    except NoRoom as error:
        yield Finding("warn", "room", str(error), "make room, or set the reserve lower")


def _level(free: int, little: int, none: int) -> Level:
    if free < none:
        return "FAIL"
    return "warn" if free < little else "ok"


def heartbeat(home: Path, now: datetime) -> Finding:
    """The killswitch lets work go on."""
    found = read_heartbeat(home, now)
    if found.pulse is Pulse.ACTIVE:
        return Finding("ok", "heartbeat", f"active: {found.why}, good until {found.due}")
    if found.is_sunset:
        return Finding("ok", "heartbeat", found.why)
    if found.pulse is Pulse.CAUTIOUS:
        return Finding("warn", "heartbeat", f"cautious: {found.why}", "downstream heartbeat renew")
    if found.status in {"PAUSED", "STOP"}:
        return Finding("warn", "heartbeat", found.why, "downstream heartbeat resume, when work may go on")
    return Finding("FAIL", "heartbeat", found.why, "downstream heartbeat renew")


def backup(home: Path, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Where customers pay, orders are copied to another place every day."""
    last, step = last_backup(home), "downstream backup DIR, also as the line in crontab.txt"
    if last is not None and now - last <= OLD_BACKUP:
        yield Finding("ok", "backup", f"the last one is of {last:%Y-%m-%d %H:%M} UTC")
    elif settings.stripe_api_key:
        found = f"the last one is of {last:%Y-%m-%d %H:%M} UTC" if last else "none was ever made"
        yield Finding("warn", "backup", found, step)
