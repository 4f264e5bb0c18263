"""Small, failing and read-only file systems to run the program on, and a process that may open no more files."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


def as_root(*command: str) -> None:
    """Only root may mount."""
    subprocess.run([*sudo(), *command], check=True)


def sudo() -> list[str]:
    """What goes before a command that only root may run."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def disk_of(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own at ``folder``."""
    folder.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,uid={os.getuid()},mode=700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        as_root("umount", "--lazy", str(folder))  # a log may still be open


def resize(disk: Path, size: str) -> None:
    """Makes the file system larger or smaller."""
    as_root("mount", "-o", f"remount,size={size}", str(disk))


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Nothing in the folders can be changed meanwhile, by nobody."""
    for folder in folders:
        as_root("mount", "--bind", str(folder), str(folder))
        as_root("mount", "-o", "remount,bind,ro", str(folder))
    try:
        yield
    finally:
        for folder in folders:
            as_root("umount", str(folder))


class Ext4:
    """A small file system as servers have it, mounted at ``folder``; every byte of it may be used."""

    def __init__(self, folder: Path, megabytes: int, inodes: int = 1024) -> None:
        self.folder = folder
        self._image = folder.with_name(f"{folder.name}.img")
        with self._image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        owner = f"root_owner={os.getuid()}:{os.getgid()}"
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "1024", "-N", str(inodes), "-E", owner, self._image]
        subprocess.run(command, check=True)
        folder.mkdir()

    def __enter__(self) -> Self:
        as_root("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        as_root("umount", "--lazy", str(self.folder))  # a log may still be open

    def failing(self) -> list[str]:
        """The command after which the kernel has found a fault in it, and lets nobody write any more."""
        found = ["findmnt", "-no", "SOURCE", str(self.folder)]
        device = subprocess.run(found, capture_output=True, text=True, check=True).stdout.strip()
        return [*sudo(), "sh", "-c", f"echo 1 > /sys/fs/ext4/{Path(device).name}/trigger_fs_error"]

    def repair(self) -> None:
        """What the administrator does then.

        A copy takes the image's place: as long as a mount namespace of another process has the faulty file system
        mounted, too, the kernel would give the same one back for the same image.
        """
        as_root("umount", str(self.folder))
        copy = self._image.with_suffix(".copy")
        shutil.copyfile(self._image, copy)
        copy.replace(self._image)
        checked = subprocess.run([*sudo(), "e2fsck", "-fy", self._image], capture_output=True, text=True, check=False)
        assert checked.returncode in {0, 1}, checked.stdout
        self.__enter__()


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can open no file meanwhile."""
    before, lowest = getrlimit(RLIMIT_NOFILE), os.dup(0)
    os.close(lowest)
    setrlimit(RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        setrlimit(RLIMIT_NOFILE, before)
