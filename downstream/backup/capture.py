"""The state of the business, copied while it works on, so that every order is as a crash could have left it.

Nobody can be made to wait: a run holds a stream's lock for as long as a page takes. So each order is looked at, copied
and looked at again - its job in any of the five folders, its draft, its hold, its errands, every file of its stream -
until nothing of it changed between two looks. What was copied between them is then one state that the order really was
in, and the program goes on from any state that a crash leaves.

What holds for all orders is copied in an order that errs to the safe side. Before the orders: the triggers (a report
that is marked as made is there) and what Stripe told us (an event that counts as carried out has been). After them: the
ledger (each reservation comes before its intent in the receipts) and the alerts. Last the proofs of what was forgotten:
whatever was forgotten meanwhile is taken out again.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.backup.copying import stamp_of
from downstream.domain.errors import TryAgain
from downstream.domain.names import is_stream_id
from downstream.domain.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.backup.copying import Copier, Stamp

MOST_LOOKS = 500
"""At an order that changes all the time; a minute and a half of it."""
LONGEST_PAUSE_SECONDS = 0.2
YOUNG_EVENT_SECONDS = 600
"""An event is kept before it is carried out. One that is this young may not have been: it is left to ``reconcile``."""
_LOCKS = frozenset({"lock", "shop.lock"})
_OF_THE_HOUSE = (
    "HEARTBEAT.md",
    "crontab.txt",
    "prices.toml",
    "jobs/.restored",
    "jobs/.reconcile.begun",
    "jobs/.reconcile.succeeded",
)


def capture(copier: Copier, *, with_secrets: bool, advanced: Callable[[int, int], None]) -> None:
    """The backup holds everything that a restore needs; ``advanced`` hears how many orders of how many are copied.

    Raises:
        TryAgain: an order changes faster than it can be copied.
        OSError: the backup cannot be written, or something here cannot be read.
    """
    home, began_at = copier.home, time.time()
    _take_all(copier, "triggers")
    _take_all(copier, "logs/stripe", until=began_at - YOUNG_EVENT_SECONDS)
    stream_ids = _stream_ids(home)
    names: dict[str, list[str]] = {}
    for number, stream_id in enumerate(stream_ids, 1):
        names[stream_id] = _take_order(copier, stream_id)
        advanced(number, len(stream_ids))
    for state in State:
        _take_loose(copier, f"jobs/{state}", set_aside=True)
    _take_loose(copier, "streams")
    _take_all(copier, "streams/.payments")
    _take_logs(copier)
    for name in (*_OF_THE_HOUSE, *([".env"] if with_secrets else [])):
        copier.take(name)
    _leave_out_forgotten(copier, names)


def look(home: Path, stream_id: str) -> dict[str, Stamp]:
    """Every file that belongs to the order at this moment, by its path below ``home``."""
    paths = [home / "jobs" / ".holds" / f"{stream_id}.json", home / "streams" / ".drafts" / f"{stream_id}.json"]
    paths += _named(home / "jobs" / ".errands", stream_id)
    paths += _files(home / "streams" / stream_id, leaving_out=_LOCKS)
    jobs = [home / "jobs" / state / f"{stream_id}.json" for state in State]
    stamps = {path: stamp_of(path) for path in paths} | {path: stamp_of(path, moves=True) for path in jobs}
    return {str(path.relative_to(home)): stamp for path, stamp in stamps.items() if stamp is not None}


def _take_order(copier: Copier, stream_id: str) -> list[str]:
    """The order is in the backup as it was at one moment; returns its files."""
    taken: dict[str, Stamp] = {}
    for number in range(MOST_LOOKS):
        found = look(copier.home, stream_id)
        for name in taken.keys() - found.keys():
            copier.drop(name)
        for name in [name for name, stamp in found.items() if taken.get(name) != stamp]:
            copier.take(name)
        taken = found
        if look(copier.home, stream_id) == found:
            return list(found)
        time.sleep(min(0.001 * number, LONGEST_PAUSE_SECONDS))
    raise TryAgain(f"{stream_id} changes faster than it can be copied: run the backup again in a while")


def _stream_ids(home: Path) -> list[str]:
    """Every order there is. A job that moves while the folders are listed has a stream's folder, listed after them."""
    folders = [*(f"jobs/{state}" for state in State), "jobs/.holds", "jobs/.errands", "streams/.drafts", "streams"]
    found = {name.partition(".")[0] for folder in folders for name in _listed(home / folder)}
    return sorted(name for name in found if is_stream_id(name))


def _take_all(copier: Copier, folder: str, *, until: float = float("inf")) -> None:
    """Every file below a folder that was last written before ``until``, in seconds since 1970."""
    for path in _files(copier.home / folder):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime <= until:
                copier.take(str(path.relative_to(copier.home)))


def _take_loose(copier: Copier, folder: str, *, set_aside: bool = False) -> None:
    """The files in a folder that are no order's: set aside, explained, or a story that a job names."""
    for name in _listed(copier.home / folder):
        is_job = set_aside and name.endswith(".json") and is_stream_id(name.removesuffix(".json"))
        if not is_job and (copier.home / folder / name).is_file():
            copier.take(f"{folder}/{name}")


def _take_logs(copier: Copier) -> None:
    """Everything in ``logs`` but mail to the operator that waits there: whoever wrote it sends it."""
    for name in _listed(copier.home / "logs"):
        if name not in {"outbox", "stripe", "forgotten"}:
            _take_all(copier, f"logs/{name}")
    _take_all(copier, "logs/forgotten")


def _leave_out_forgotten(copier: Copier, names: dict[str, list[str]]) -> None:
    """What was forgotten while it was copied is in no backup that begins after that."""
    for path in _files(copier.target / "logs" / "forgotten"):
        with suppress(ValueError, LookupError, TypeError):
            if json.loads(path.read_bytes())["status"] == "done":
                for name in names.get(path.stem, []):
                    copier.drop(name)


def _files(folder: Path, leaving_out: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files and links below a folder (or the one file), without what is being written: names with a dot before."""
    if stamp_of(folder) is not None:
        yield folder
        return
    for root, folders, names in os.walk(folder):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        skipped = leaving_out if here == folder else frozenset()
        yield from (here / name for name in sorted({*names, *links} - skipped) if not name.startswith("."))


def _named(folder: Path, stream_id: str) -> Iterator[Path]:
    """The files of that order among those of all: ``{id}.{kind}.json``, ``{id}.{kind}.refused``."""
    yield from (folder / name for name in _listed(folder) if name.startswith(f"{stream_id}."))


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
