"""Copying files into a new backup: each is read once and hashed on the way, and in the end read back from the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from downstream.backup.manifest import Damaged, Entry, check_file, is_inside
from downstream.files import PRIVATE_FILE, private_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_GROWING = {".jsonl", ".log"}
"""Files that are only appended to: a line that is not whole yet never counted."""
_RENAMED_IN = {"keyframes", "clips", "frames", "published"}
"""Folders of a stream whose files are never written to once they have their names."""


class Stamp(NamedTuple):
    """What changes whenever a file's content does; for a job also when it moves."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int = 0


def stamp_of(path: Path, *, moves: bool = False) -> Stamp | None:
    """The stamp of a file or link, None where neither lies."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns if moves else 0)


@dataclass
class Copier:
    """Takes files below ``home`` into ``target``, under the same paths."""

    home: Path
    target: Path
    previous: Path | None = None
    """The files of the backup before, to be linked where nothing has changed."""
    known: Mapping[str, Entry] = field(default_factory=dict)
    """What its manifest says of them."""
    link_sources: bool = False
    """``target`` is on the installation's file system and does not stay: what is never written to again is linked."""
    entries: dict[str, Entry] = field(default_factory=dict)
    linked_bytes: int = 0
    _written: set[str] = field(default_factory=set)
    """What is not known to be on the disk yet."""

    def take(self, name: str) -> bool:
        """The file is in the backup as it is now, in the place of what was taken of it before.

        False when it is gone, or a link that leads out of its folder.
        """
        self.drop(name)
        source, target = self.home / name, self.target / name
        found = stamp_of(source)
        if found is None or (source.is_symlink() and not is_inside(name, str(source.readlink()))):
            return False
        private_folder(target.parent)
        try:
            if source.is_symlink():
                # In the manifest alone: not every place for backups has links.
                self.entries[name] = Entry(link=str(source.readlink()), modified_ns=source.lstat().st_mtime_ns)
            elif not self._take_from_previous(name, found):
                self.entries[name] = self._copy(name)
        except FileNotFoundError:
            self.drop(name)
            return False
        return True

    def drop(self, name: str) -> None:
        """The backup does not hold the file."""
        self.entries.pop(name, None)
        self._written.discard(name)
        (self.target / name).unlink(missing_ok=True)

    def finish(self) -> None:
        """All that was taken is on the disk, and every byte of it was read back from there.

        Not while orders are copied: they are copied the sooner for it, and change the less meanwhile.

        Raises:
            Damaged: a file is not what was written.
        """
        for name in sorted(self._written):
            _onto_disk(self.target / name)
            check_file(self.target / name, self.entries[name])
        folders = {folder for name in self.entries for folder in (self.target / name).parents}
        for path in sorted(folder for folder in folders if folder.is_relative_to(self.target)):
            sync_folder(path)

    def _take_from_previous(self, name: str, found: Stamp) -> bool:
        """Linked to the backup before, whose copy was read again; one that has rotted there is copied anew."""
        entry = self.known.get(name)
        if self.previous is None or entry is None or entry.link:
            return False
        if Path(name).suffix in _GROWING or (entry.inode, entry.size_bytes, entry.modified_ns) != found[:3]:
            return False
        try:
            check_file(self.previous / name, entry)
            (self.target / name).hardlink_to(self.previous / name)
        except (Damaged, OSError):
            return False
        self.entries[name] = entry
        self.linked_bytes += entry.size_bytes
        return True

    def _may_link(self, name: str) -> bool:
        parts = PurePosixPath(name).parts
        return self.link_sources and parts[0] == "streams" and len(parts) > 3 and parts[2] in _RENAMED_IN

    def _copy(self, name: str) -> Entry:
        """Read once, and hashed on the way."""
        source, target = self.home / name, self.target / name
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if self._may_link(name):
                target.hardlink_to(source)
                if target.stat().st_ino != found.st_ino:
                    raise FileNotFoundError(errno.ENOENT, "it was replaced just now", str(source))
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return Entry(found.st_size, digest, found.st_mtime_ns, found.st_ino)
            size, digest = _write(target, _whole_lines(file, found) if source.suffix in _GROWING else _chunks(file))
        os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
        self._written.add(name)
        return Entry(size, digest, found.st_mtime_ns, found.st_ino)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(_CHUNK_BYTES):
        yield data


def _whole_lines(file: BinaryIO, found: os.stat_result) -> Iterator[bytes]:
    data = file.read(found.st_size)
    yield data[: data.rfind(b"\n") + 1]


def _write(target: Path, data: Iterable[bytes]) -> tuple[int, str]:
    """Returns the size and hash of what was written."""
    total, size = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        for chunk in data:
            file.write(chunk)
            total.update(chunk)
            size += len(chunk)
    return size, total.hexdigest()


def _onto_disk(path: Path) -> None:
    """It is on the disk and no longer in memory, so that reading it again reads the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
