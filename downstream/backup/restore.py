"""``downstream restore``: an installation out of a backup, paused, with all held that may have gone on elsewhere.

What was finished before the backup has its receipts: it is neither paid for, published nor mailed again. What the lost
machine did after it nobody here knows; so every order that was not finished, and whatever waited to be mailed or given
back, is held until a person lets it go on (``downstream.holds.RESTORED``).

All is put together in ``.restore.unfinished`` beside its places, checked, and counts from the moment that folder is
called ``.restore``; then each part is renamed to where it belongs, ``jobs`` last. A run that is killed before that
moment has restored nothing, one after it is carried on by the next.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from downstream.backup import restic
from downstream.backup.folder import backups
from downstream.backup.manifest import FILES, MANIFEST, Entry, Manifest, check_file, check_files, read_manifest
from downstream.domain.errors import Misconfigured, TryAgain
from downstream.domain.names import is_stream_id
from downstream.domain.state import UNDER_WAY, State
from downstream.files import PRIVATE_FILE, PRIVATE_FOLDER, private_folder, sync_folder
from downstream.heartbeat import DEFAULT_RENEW_DAYS, read_heartbeat, write_heartbeat
from downstream.holds import hold_restored, note_restored
from downstream.locks import Lock
from downstream.settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Bring = Callable[[Path], Manifest]
    """Puts a whole backup, every byte of it checked, into an empty folder; links, which it has not, come later."""

UNFINISHED, READY = ".restore.unfinished", ".restore"
_REPORT = "report.txt"
_ALREADY_THERE = ("prices.toml", ".env", "crontab.txt")
"""Where the new machine has one of its own, that stays."""
_PARTS = ("HEARTBEAT.md", *_ALREADY_THERE, "triggers", "logs", "streams", "jobs")
"""In the order in which they are put in place: nothing works before it may, and orders come last."""
SHOWN = 50
LONGEST_RECONCILE_DAYS = 30


def from_folder(source: Path, advanced: Callable[[int, int], None] = lambda _, __: None) -> Bring:
    """The backup in that folder, or the newest of those below it.

    Raises:
        Misconfigured: there is none.
    """
    if not (source / MANIFEST).exists() and source.is_dir() and (found := backups(source)):
        source = found[-1]
    elif not source.is_dir():
        raise Misconfigured(f"{source} is no folder: give a backup, a folder of backups, or restic")

    def bring(folder: Path) -> Manifest:
        manifest = read_manifest(source)
        check_files(source / FILES, manifest, advanced)
        for name, entry in manifest.files.items():
            if not entry.link:
                _copy(source / FILES / name, folder / FILES / name, entry)
        return manifest

    return bring


def from_restic(environment: Mapping[str, str], snapshot: str) -> Bring:
    """The backup in that snapshot of the repository, or in the ``latest``."""

    def bring(folder: Path) -> Manifest:
        restic.fetch(environment, snapshot, folder)
        manifest = read_manifest(folder)
        check_files(folder / FILES, manifest)
        return manifest

    return bring


def restore(target: Path, bring: Bring, environment: Mapping[str, str], *, resume: bool, now: datetime) -> list[str]:
    """``target`` is the installation of the backup, paused; returns what a person must read, line by line.

    ``environment`` tells which keys are set. With ``resume`` nothing is held: the old machine has stood still since.

    Raises:
        Misconfigured: the backup is damaged, or there are orders here; nothing was written.
        TryAgain: somebody else restores here.
    """
    was_there = target.exists()
    lock = Lock.take(target / ".restore.lock")
    if lock is None:
        raise TryAgain(f"somebody else restores into {target} right now")
    with lock:
        try:
            if not (target / READY).exists():
                _make_ready(target, bring, environment, resume=resume, now=now)
            return _put_in_place(target)
        finally:
            lock.path.unlink(missing_ok=True)
            if not was_there and not any(target.iterdir()):
                target.rmdir()


def _make_ready(target: Path, bring: Bring, environment: Mapping[str, str], *, resume: bool, now: datetime) -> None:
    _require_no_orders(target)
    folder = target / UNFINISHED
    shutil.rmtree(folder, ignore_errors=True)
    try:
        manifest = bring(private_folder(folder))
        if resume and not manifest.was_paused:
            raise Misconfigured(
                "--resume is for a machine that stood still, and that one worked while the backup was made: "
                "downstream heartbeat pause there, back up again, or restore without --resume"
            )
        held = _settle(folder / FILES, manifest, resume=resume, now=now)
        _make_private(folder)
        _put_back_times(folder / FILES, manifest)
        report = _report(target, manifest, held, environment, resume=resume, now=now)
        (folder / _REPORT).write_text("\n".join(report), "utf-8")
        os.sync()
        folder.rename(target / READY)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync_folder(target)


def _put_in_place(target: Path) -> list[str]:
    """Every part is renamed to its place; what is there already was put there by a run that was killed, or is empty."""
    ready = target / READY
    for name in _PARTS:
        new, place = ready / FILES / name, target / name
        if not new.exists() or (name in _ALREADY_THERE and place.exists()):
            continue
        if place.is_dir():
            place.rename(private_folder(ready / "replaced") / name)
        new.rename(place)
        sync_folder(target)
    report = (ready / _REPORT).read_text("utf-8").splitlines()
    ready.rename(target / UNFINISHED)
    shutil.rmtree(target / UNFINISHED)
    return report


def _require_no_orders(target: Path) -> None:
    found: list[Path] = []
    for pattern in (*(f"jobs/{state}/*" for state in State), "streams/*", "streams/.drafts/*", "logs/ledger/*"):
        found += [path for path in target.glob(pattern) if path.name[0] != "."]
    if found:
        raise Misconfigured(
            f"{target} has orders of its own ({found[0].relative_to(target)}): nothing was written; "
            "--to names another folder"
        )


def _copy(source: Path, target: Path, entry: Entry) -> None:
    private_folder(target.parent)
    shutil.copyfile(source, target)
    check_file(target, entry)


# --- what is not as it was ---------------------------------------------------------------------------------------


def _settle(home: Path, manifest: Manifest, *, resume: bool, now: datetime) -> dict[str, str]:
    """The files are an installation that does nothing by itself; returns the held orders with the state of each."""
    for name in (*(f"jobs/{state}" for state in State), "streams", "triggers", "logs/reviews"):
        private_folder(home / name)
    for name, entry in manifest.files.items():
        if entry.link:
            private_folder((home / name).parent)
            (home / name).symlink_to(entry.link)
    held = {} if resume else _unfinished(manifest)
    for stream_id in held:
        hold_restored(home, stream_id, manifest.at, now)
    if not resume:
        note_restored(home, manifest.at, now)
    found = read_heartbeat(home, now)
    reason = f"restored from the backup of {manifest.at}: read what it printed, then downstream heartbeat resume"
    days = found.renew_days if found.renewed else DEFAULT_RENEW_DAYS
    write_heartbeat(home, status="PAUSED", renewed=found.renewed or now.date(), renew_days=days, reason=reason)
    return held


def _unfinished(manifest: Manifest) -> dict[str, str]:
    """The orders that may have gone on since: not completed or failed, paid and no job yet, or something waits."""
    states = _states(manifest)
    waiting = {path.name.partition(".")[0] for path in _in(manifest, "jobs/.errands") if path.suffix == ".json"}
    ordered = {PurePosixPath(name).parts[1] for name in manifest.files if name.endswith("/order.json")}
    held = (
        {stream_id for stream_id, state in states.items() if state in UNDER_WAY} | waiting | (ordered - states.keys())
    )
    return {stream_id: states.get(stream_id, "no job yet") for stream_id in sorted(held)}


def _states(manifest: Manifest) -> dict[str, str]:
    """Stream id to where its job lies; of two the one that is further on."""
    jobs = [(path, state) for state in State for path in _in(manifest, f"jobs/{state}")]
    return {path.stem: state for path, state in jobs if path.suffix == ".json" and is_stream_id(path.stem)}


def _in(manifest: Manifest, folder: str) -> list[PurePosixPath]:
    return [path for path in map(PurePosixPath, manifest.files) if str(path.parent) == folder]


def _make_private(folder: Path) -> None:
    for root, folders, names in os.walk(folder):
        Path(root).chmod(PRIVATE_FOLDER)
        for path in (Path(root, name) for name in (*folders, *names)):
            if path.is_file() and not path.is_symlink():
                path.chmod(PRIVATE_FILE)


def _put_back_times(home: Path, manifest: Manifest) -> None:
    """Reports and drafts go by when a file was last changed; what was written just now keeps its own."""
    for name, entry in manifest.files.items():
        if name != "HEARTBEAT.md":
            os.utime(home / name, ns=(entry.modified_ns, entry.modified_ns), follow_symlinks=False)


# --- what a person must read -------------------------------------------------------------------------------------


def _report(
    target: Path,
    manifest: Manifest,
    held: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    resume: bool,
    now: datetime,
) -> list[str]:
    return [
        f"{target} is restored from the backup of {manifest.at} ({manifest.home}), and paused.",
        f"  {_counted(manifest)}",
        *_told_of_held(held, resume=resume),
        *_told_of_missing(manifest, environment),
        *_kept(target, manifest),
        "",
        "Next:",
        *(step if step.startswith(" ") else f"- {step}" for step in _steps(target, manifest, held, now)),
    ]


def _counted(manifest: Manifest) -> str:
    states = list(_states(manifest).values())
    jobs = ", ".join(f"{states.count(state)} {state}" for state in State)
    drafts = sum(1 for path in _in(manifest, "streams/.drafts") if path.suffix == ".json")
    return (
        f"{jobs}; {drafts} draft(s); {len(manifest.files)} files, {manifest.size_bytes / 1e6:,.1f} MB, all as written"
    )


def _told_of_held(held: Mapping[str, str], *, resume: bool) -> Iterator[str]:
    if resume:
        yield "Nothing is held: orders and letters go on where they were (--resume)."
        return
    if not held:
        yield "No order was under way, so none is held."
        return
    yield f"Held, with the letters and refunds that wait for them, since they may have gone on elsewhere: {len(held)}"
    yield from (f"  {stream_id}  ({state})" for stream_id, state in list(held.items())[:SHOWN])
    if len(held) > SHOWN:
        yield "  ... and more: downstream status"


def _told_of_missing(manifest: Manifest, environment: Mapping[str, str]) -> Iterator[str]:
    given = ".env" in manifest.files
    wanted = dict.fromkeys((*KEYS, *manifest.settings))
    missing = [] if given else [name for name in wanted if not environment.get(name)]
    if missing:
        yield f"Not set here (a backup holds no keys unless it was made --with-secrets): {', '.join(missing)}"


def _kept(target: Path, manifest: Manifest) -> Iterator[str]:
    kept = [name for name in _ALREADY_THERE if name in manifest.files and (target / name).exists()]
    if kept:
        yield f"Kept as they were here, not as in the backup: {', '.join(kept)}"


def _steps(target: Path, manifest: Manifest, held: Iterable[str], now: datetime) -> Iterator[str]:
    program = f"downstream --home {target}"
    yield f"Put what is not set into {target / '.env'}, then: {program} doctor"
    if manifest.home != str(target.resolve()):
        yield f"crontab.txt was of {manifest.home}: let it name {target} and this machine's program"
    yield "Make sure that the old machine is off, or has its crontab removed and its shop stopped: two must not work"
    yield f"{program} heartbeat resume     (what is held stays held)"
    days = min(max((now.astimezone(UTC) - datetime.fromisoformat(manifest.at)).days + 2, 4), LONGEST_RECONCILE_DAYS)
    yield f"{program} reconcile --days {days}     (payments, refunds and disputes since; orders it finds are held, too)"
    if held:
        yield "For each held order see whether it was delivered: the page at the host, your mail service's log"
        yield f"    not delivered: {program} release ID     (it goes on)"
        yield f"    delivered:     {program} release ID --delivered ADDRESS     (nothing is made or sent)"
    yield "Orders that were forgotten since the backup are here again: downstream forget ID"
    yield f"crontab {target / 'crontab.txt'}, and start the shop anew: systemctl restart downstream"
