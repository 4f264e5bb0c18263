"""What a backup holds: ``manifest.json`` with the size and SHA-256 of every file, and its own hash beside it."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from downstream.domain.errors import Misconfigured
from downstream.files import sha256_of, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1
MANIFEST, ITS_HASH, FILES = "manifest.json", "manifest.sha256", "files"
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; ``link`` instead of the rest where it is a symbolic link, which stands nowhere but here."""

    size_bytes: int = 0
    sha256: str = ""
    modified_ns: int = 0
    """Its time of change, which is put back with it: reports and drafts go by it."""
    inode: int = 0
    """Where it was copied from: the same inode, size and time is the same content, for whole files are renamed in."""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. ``files`` maps paths below the installation's folder to what lies there."""

    at: str
    """When it was begun, ISO 8601."""
    home: str
    """The installation it is of."""
    was_paused: bool
    """Nothing was touched from its begin to its end: HEARTBEAT.md said PAUSED."""
    settings: tuple[str, ...]
    """The names of what was set in ``.env``, without the values."""
    files: dict[str, Entry] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(entry.size_bytes for entry in self.files.values())


class Damaged(Misconfigured):
    """A backup that is not what it was when it was made; the text names the file."""


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """The manifest and its hash are on the disk; returns the hash, in hex."""
    document = {
        "format": FORMAT,
        **asdict(manifest),
        "files": {name: asdict(one) for name, one in manifest.files.items()},
    }
    data = json.dumps(document, ensure_ascii=True, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    write_durably(folder / MANIFEST, data)
    write_durably(folder / ITS_HASH, f"{digest}  {MANIFEST}\n".encode())
    return digest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the backup in ``folder``, every byte of it as it was written.

    Raises:
        Damaged: it is missing, cut or changed, or names a place outside the installation.
        Misconfigured: a newer version wrote it.
    """
    path = folder / MANIFEST
    try:
        data, said = path.read_bytes(), (folder / ITS_HASH).read_text("ascii").split()[:1]
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError) as error:
        missing = error.filename if isinstance(error, OSError) else folder / ITS_HASH
        raise Damaged(f"{missing} is missing or unreadable: {folder} is no whole backup") from None
    if [hashlib.sha256(data).hexdigest()] != said:
        raise Damaged(f"{path} is not what was written: {ITS_HASH} has another hash; take another backup")
    document = json.loads(data)
    if document["format"] != FORMAT:
        raise Misconfigured(f"{path} is of format {document['format']}, which a newer version wrote: upgrade first")
    return _manifest_of(path, document)


def _manifest_of(path: Path, document: dict[str, Any]) -> Manifest:
    files = {name: Entry(**one) for name, one in document["files"].items()}
    for name, entry in files.items():
        if not (is_inside(name, entry.link) and (entry.link or _HASH.match(entry.sha256))):
            raise Damaged(f"{path} names {name!r}, which cannot be put anywhere")
    return Manifest(document["at"], document["home"], document["was_paused"], tuple(document["settings"]), files)


def is_inside(name: str, link: str) -> bool:
    """``name`` is a place below the installation; a link is one of a stream and leads further into its own folder."""
    parts = [*PurePosixPath(name).parts, *PurePosixPath(link).parts]
    is_below = bool(name) and not any(part in {"..", "/"} or "\0" in part for part in parts)
    return is_below and (not link or parts[0] == "streams")


def check_files(folder: Path, manifest: Manifest, advanced: Callable[[int, int], None] = lambda _, __: None) -> None:
    """Every file of the manifest lies below ``folder`` as it was written; every byte was read.

    Raises:
        Damaged: the first one that is missing or different.
    """
    for number, (name, entry) in enumerate(manifest.files.items(), 1):
        if not entry.link:
            check_file(folder / name, entry)
        advanced(number, len(manifest.files))


def check_file(path: Path, entry: Entry) -> None:
    """``path`` is what ``entry`` says.

    Raises:
        Damaged: it is missing or different.
    """
    try:
        found = path.lstat()
        is_same = stat.S_ISREG(found.st_mode) and found.st_size == entry.size_bytes and sha256_of(path) == entry.sha256
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(f"{path} is missing from the backup; take another one") from None
    if not is_same:
        raise Damaged(f"{path} is not what was written: the backup is damaged, take another one")
