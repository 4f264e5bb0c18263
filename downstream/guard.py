"""Whether there is room to work: nothing is begun, and so nothing bought, that this machine could not store or hold.

``DISK_RESERVE_MB`` and ``MEMORY_RESERVE_MB`` must be free before a step begins. What is under way when the mark is
reached still fits below it, and so does what must never be refused: the payment service's messages, the moves of jobs,
the books, letters and refunds.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.domain.errors import NoRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downstream.settings import Settings

_MEGABYTE = 1_000_000
_INODES_PER_MEGABYTE = 2
"""An order's files are half a megabyte on average, most of them far smaller."""
_AVAILABLE = re.compile(rb"^MemAvailable:\s+(\d+) kB", re.MULTILINE)
_INACTIVE = re.compile(rb"^(?:total_)?inactive_file (\d+)", re.MULTILINE)
_CGROUP_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""The limit and what is used of it, in the second and in the first version of control groups."""


def check_room(home: Path, settings: Settings) -> None:
    """Returns when there is room for the next step.

    Raises:
        NoRoom: there is not; the text says where, how much is free and needed, and what to do.
    """
    check_disk(home, settings)
    if settings.director == "claude":  # the command writes its prompt and its answer there
        _check_disk(_temporary_folder(), settings)
    _check_memory(settings)


def check_disk(home: Path, settings: Settings) -> None:
    """Returns when there is room on the installation's file system.

    Raises:
        NoRoom: there is not.
    """
    _check_disk(home, settings)


def has_disk(home: Path, settings: Settings) -> bool:
    """There is room on the installation's file system for what is not promised yet."""
    try:
        check_disk(home, settings)
    except NoRoom:
        return False
    return True


def _check_disk(folder: Path, settings: Settings) -> None:
    reserve = settings.disk_reserve_mb
    if not reserve:
        return
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize // _MEGABYTE
    if free < reserve:
        raise NoRoom(
            f"too little room on the file system of {folder.resolve()} ({free} MB are free, {reserve} MB must be: "
            "DISK_RESERVE_MB). Nothing is begun until there is more: remove what is not needed, or enlarge the disk; "
            "work goes on by itself",
            fingerprint=f"disk.{folder.resolve()}",
        )
    needed = reserve * _INODES_PER_MEGABYTE
    if found.f_files and found.f_favail < needed:  # some file systems have no fixed number of them
        raise NoRoom(
            f"too little room for files on the file system of {folder.resolve()} ({found.f_favail} inodes are free, "
            f"{needed} must be: {_INODES_PER_MEGABYTE} for each of DISK_RESERVE_MB). Nothing is begun until there are "
            "more: remove small files; work goes on by itself",
            fingerprint=f"inodes.{folder.resolve()}",
        )


def _check_memory(settings: Settings) -> None:
    reserve, free_bytes = settings.memory_reserve_mb, available_memory_bytes() if settings.memory_reserve_mb else None
    if free_bytes is not None and free_bytes // _MEGABYTE < reserve:
        raise NoRoom(
            f"too little memory ({free_bytes // _MEGABYTE} MB are available, {reserve} MB must be: MEMORY_RESERVE_MB). "
            "Nothing is begun until there is more: see what else runs here (ps aux --sort=-rss), set JOBS_AT_ONCE and "
            "SEGMENTS_AT_ONCE lower, or take a larger machine; work goes on by itself",
            fingerprint="memory",
        )


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """What this process may still take: the machine's ``MemAvailable``, or less where its own limit or groups say so.

    None where the machine does not tell. https://docs.kernel.org/filesystems/proc.html,
    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    try:
        match = _AVAILABLE.search((root / "proc/meminfo").read_bytes())
    except OSError:
        match = None
    machine = [int(match[1]) * 1024] if match else []
    return min([*machine, *_left_by_limit(root), *_left_by_groups(root)], default=None)


def _left_by_limit(root: Path) -> Iterator[int]:
    """What is left below ``ulimit -v``, where there is one: setrlimit(2), proc(5)."""
    from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit

    limit, _ = getrlimit(RLIMIT_AS)
    if limit != RLIM_INFINITY:
        with suppress(OSError):
            pages = int((root / "proc/self/statm").read_bytes().split()[0])
            yield max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))


def _left_by_groups(root: Path) -> Iterator[int]:
    """What is left below the limit of each control group this process is in, directly or through its parents."""
    for folder in _groups(root):
        for limit_name, used_name in _CGROUP_FILES:
            try:
                limit = (folder / limit_name).read_text("ascii").strip()
                used = int((folder / used_name).read_text("ascii"))
                cached = _INACTIVE.search((folder / "memory.stat").read_bytes())
            except (OSError, ValueError):
                continue
            if limit.isdecimal():  # "max": there is none
                yield max(0, int(limit) - used + (int(cached[1]) if cached else 0))


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the memory groups of this process, from its own up to the outermost."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = top / name.lstrip("/")
        while folder != top and folder.is_relative_to(top):
            yield folder
            folder = folder.parent
        yield top


def _temporary_folder() -> Path:
    from tempfile import gettempdir

    return Path(gettempdir())
