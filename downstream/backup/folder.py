"""``downstream backup DIR``: each backup is a folder of its own below DIR, there as a whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from downstream.backup.capture import capture
from downstream.backup.check import findings
from downstream.backup.copying import Copier
from downstream.backup.manifest import FILES, Manifest, read_manifest, write_manifest
from downstream.domain.errors import Misconfigured, TryAgain
from downstream.files import private_folder, sync_folder, write_durably
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FORM = "%Y-%m-%dT%H-%M-%SZ"
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z\Z")
_UNFINISHED = ".unfinished"
_COPIED = ("jobs", "streams", "logs", "triggers")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    name: str
    """Its folder, or its snapshot's id."""
    manifest: Manifest
    linked_bytes: int
    """What was not written again, since the backup before has it."""
    found: list[str] = field(default_factory=list)
    """What is wrong with the business itself, in sentences."""


def back_up(
    home: Path,
    where: Path,
    *,
    keep: int,
    with_secrets: bool,
    now: datetime,
    advanced: Callable[[int, int], None] = lambda _, __: None,
) -> Made:
    """A new, whole, verified backup lies below ``where`` and on the disk; the ``keep`` newest stay.

    Raises:
        TryAgain: another backup is being written there, or an order does not stand still.
        Misconfigured: ``where`` lies in what is copied.
        OSError: there is no room, or the place cannot be written to; nothing half-done stays.
    """
    _check_place(home, where)
    lock = Lock.take(private_folder(where) / ".lock")
    if lock is None:
        raise TryAgain(f"another backup is being written to {where}")
    with lock:
        _sweep(where)
        name = _next_name(where, now)
        unfinished = private_folder(where / f".{name}{_UNFINISHED}")
        try:
            made = write(home, unfinished, now, with_secrets=with_secrets, previous=_newest(where), advanced=advanced)
            unfinished.rename(where / name)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(where)
        for old in backups(where)[:-keep]:
            _remove(old)
    remember(home, "folder", now)
    return Made(str(where / name), made.manifest, made.linked_bytes, made.found)


def write(
    home: Path,
    folder: Path,
    now: datetime,
    *,
    with_secrets: bool,
    previous: Path | None = None,
    link_sources: bool = False,
    advanced: Callable[[int, int], None],
) -> Made:
    """``folder`` holds a whole backup with its manifest, every byte of it read back and on the disk."""
    known = read_manifest(previous).files if previous else {}
    copier = Copier(home, folder / FILES, previous / FILES if previous else None, known, link_sources=link_sources)
    private_folder(copier.target)
    was_paused = _is_paused(home)
    capture(copier, with_secrets=with_secrets, advanced=advanced)
    copier.finish()
    manifest = Manifest(
        at=now.astimezone(UTC).isoformat(timespec="seconds"),
        home=str(home.resolve()),
        was_paused=was_paused and _is_paused(home),
        settings=_set_in_env(home),
        files=dict(sorted(copier.entries.items())),
    )
    found = list(findings(copier.target, manifest.files))
    write_manifest(folder, manifest)
    return Made(str(folder), manifest, copier.linked_bytes, found)


def backups(where: Path) -> list[Path]:
    """The backups below a folder, oldest first."""
    return sorted(path for path in where.iterdir() if _NAME.match(path.name) and path.is_dir())


def remember(home: Path, kind: str, now: datetime) -> None:
    """``downstream doctor`` knows that there is a backup of this moment; on a full disk here it is one all the same."""
    document = {"at": now.isoformat(timespec="seconds"), "kind": kind}
    with suppress(OSError):
        write_durably(private_folder(home / "logs") / ".backup", json.dumps(document).encode())


def last_backup(home: Path) -> datetime | None:
    """When the last backup was made, None when none ever was."""
    try:
        return datetime.fromisoformat(json.loads((home / "logs" / ".backup").read_bytes())["at"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _check_place(home: Path, where: Path) -> None:
    place = where.resolve()
    for name in _COPIED:
        if place.is_relative_to((home / name).resolve()):
            raise Misconfigured(f"{where} lies in {name}/, which is copied: give a place of its own, on another disk")


def _next_name(where: Path, now: datetime) -> str:
    """The time, to the second, and later than every name there: also after two in a second, or a clock set back."""
    name = f"{now.astimezone(UTC):{_FORM}}"
    newest = max((path.name for path in backups(where)), default="")
    if name > newest:
        return name
    return f"{datetime.strptime(newest, _FORM).replace(tzinfo=UTC) + timedelta(seconds=1):{_FORM}}"


def _newest(where: Path) -> Path | None:
    """The last backup whose manifest is whole: what has not changed since need not be written again."""
    for path in reversed(backups(where)):
        try:
            read_manifest(path)
        except Misconfigured:
            continue
        return path
    return None


def _sweep(where: Path) -> None:
    """What a backup or a removal left that was cut off is gone."""
    for path in where.glob(f".*{_UNFINISHED}"):
        shutil.rmtree(path)


def _remove(old: Path) -> None:
    """Out of sight first: half of a backup must not look like one."""
    gone = old.with_name(f".{old.name}{_UNFINISHED}")
    old.rename(gone)
    shutil.rmtree(gone)


def _is_paused(home: Path) -> bool:
    return read_heartbeat(home, datetime.now(UTC)).pulse is Pulse.PAUSED


def _set_in_env(home: Path) -> tuple[str, ...]:
    """Names only: a restore says which of them are missing."""
    if not (home / ".env").exists():
        return ()
    from dotenv import dotenv_values

    return tuple(sorted(name for name, value in dotenv_values(home / ".env", interpolate=False).items() if value))
