"""Files that survive a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
_LONGEST_WRITE = timedelta(hours=1)
"""A temporary older than this has no writer any more."""


def write_durably(path: Path, data: bytes) -> None:
    """``path`` holds ``data`` and a power cut cannot undo it; a reader sees the old content or the new, never a part.

    The temporary's name is fixed, so what a crash leaves behind is overwritten by the next writer. Two writers of
    one path must therefore hold the same lock.
    """
    replace(path, data, durable=True)
    sync_folder(path.parent)


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """``path`` holds ``data`` all at once; with ``durable`` its bytes are on the disk before its name is."""
    temporary = temporary_name(path)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def append_durably(path: Path, line: bytes) -> None:
    """``line`` (with its line feed) is the last of ``path`` and on the disk; a write that fails leaves no part of it.

    Two who append to one path must hold the same lock.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)  # no torn line in front of the next one
        raise
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def whole_lines(path: Path, offset: int = 0) -> list[bytes]:
    """The lines from byte ``offset`` of a file that is only appended to, none where it is missing.

    A last line that a power cut left torn is cut off, for it never counted; so whoever reads holds the same lock as
    those who append.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return []
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(path, offset + end)
    return data[:end].split(b"\n")[:-1]


def temporary_name(path: Path) -> Path:
    """Where ``path`` is written before it is whole; readers skip names that begin with a dot."""
    return path.with_name(f".{path.name}.tmp")


def is_half_written(path: Path, now: datetime) -> bool:
    """``path`` is a temporary whose writer was killed."""
    if not (path.name.startswith(".") and path.suffix == ".tmp"):
        return False
    with suppress(FileNotFoundError):
        return now - datetime.fromtimestamp(path.lstat().st_mtime, UTC) > _LONGEST_WRITE
    return False


def sweep(folder: Path, now: datetime) -> None:
    """What a killed writer left half written in ``folder`` is gone: it may hold a story, and stay for ever."""
    for path in folder.glob(".*.tmp"):
        if is_half_written(path, now):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """The names in ``folder`` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Every file and name below ``folder`` is on the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(root))


def private_folder(folder: Path) -> Path:
    """``folder`` exists and only its owner may look into it."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return folder


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_files(folder: Path) -> list[Path]:
    """Every file below ``folder``, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tree_sha256(folder: Path) -> str:
    """One hash, in hex, over every name and byte below ``folder``: which edition of it this is."""
    total = hashlib.sha256()
    for path in tree_files(folder):
        total.update(f"{path.relative_to(folder)}\0{sha256_of(path)}\n".encode())
    return total.hexdigest()
