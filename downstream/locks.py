"""Kernel locks: held means alive, and they end with their process however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from downstream.files import PRIVATE_FILE, private_folder


class Lock:
    """An exclusive ``flock`` on one file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """The lock on ``path``, or None while somebody else holds it."""
        while True:
            with suppress(FileExistsError):  # what else is in the folder's place shows when the file is opened
                private_folder(path.parent)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
            except FileNotFoundError:
                if path.parent.is_symlink():
                    raise  # it leads nowhere
                continue  # the folder was removed a moment ago
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if _is_still(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)  # the file was removed between opening and locking: this lock guards nothing

    @classmethod
    def wait(cls, path: Path) -> Lock:
        """The lock on ``path``, as soon as whoever holds it lets go: for locks held no longer than a small write."""
        while (lock := cls.take(path)) is None:
            time.sleep(0.01)
        return lock

    def release(self) -> None:
        """Somebody else may take it; releasing twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def fileno(self) -> int:
        """For a child process that works for whoever holds the lock: while it lives the lock is held."""
        if self._descriptor is None:
            raise ValueError(f"{self.path} is released")
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Somebody holds the lock on ``path`` at this moment."""
    if not path.exists():
        return False
    lock = Lock.take(path)
    if lock is None:
        return True
    lock.release()
    return False


def holder(path: Path) -> int | None:
    """The process that holds the lock on ``path``, None where nobody does or the machine does not tell (proc(5))."""
    try:
        there, held = path.stat(), Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return None
    file = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    # "7: FLOCK ADVISORY WRITE 4711 fe:00:2607970 0 EOF"; who waits for it has an arrow in the second place
    found = [line.split() for line in held if file in line.split()]
    return next((int(parts[4]) for parts in found if parts[1] == "FLOCK"), None)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
