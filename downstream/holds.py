"""Orders that nobody works on until a person (or the payment) lets them go on: ``jobs/.holds/{stream_id}.json``.

A hold is a file of its own, not a line in the job: it takes effect while somebody works on the job and holds its lock.
Every paid or outward call looks for it first.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from downstream.domain.errors import Held
from downstream.files import private_folder, sync_folder, write_durably
from downstream.locks import Lock

if TYPE_CHECKING:
    from pathlib import Path


OPERATOR = "operator"
DISPUTED = "disputed"
PART_REFUNDED = "part_refunded"
CANCELLED = "cancelled"
"""The order is given up (``failed``) as soon as nobody works on it; the hold ends then."""
REFUNDED = "refunded"
"""The same, but the hold stays: nothing is ever bought for it, also not by a mistaken ``retry``."""
RESTORED = "restored"
"""It came out of a backup, and nobody here knows what became of it since. Its letters and refunds wait, too."""
_HEIGHT = {RESTORED: 3, CANCELLED: 2, OPERATOR: 1}
"""Which hold lies on which, and is let go first: what a person said on what the bank did, a restore on everything."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an order stands still."""

    stream_id: str
    kind: str
    """One of the words above."""
    reason: str
    at: str
    """ISO 8601."""
    before: Hold | None = None
    """What lies below it, and holds the order once this is let go."""

    @property
    def kinds(self) -> set[str]:
        """Every kind of hold that lies on the order."""
        return {one.kind for one in self.layers}

    @property
    def layers(self) -> tuple[Hold, ...]:
        """This hold and all that lie below it."""
        return (self, *(self.before.layers if self.before else ()))


def hold(home: Path, held: Hold) -> bool:
    """The order stands still, and a power cut cannot undo it; False when it did before, for just this reason.

    What held it for another reason does so still, and stands again when this is let go. What was refunded stays so.
    """
    with _changing(home):
        found = find_hold(home, held.stream_id)
        kinds = found.kinds if found else set()
        if held.kind in kinds or (REFUNDED in kinds and held.kind != RESTORED):
            return False
        laid = _laid(held, found)
        write_durably(_path(home, held.stream_id), json.dumps(asdict(laid), indent=1).encode())
        return True


def _laid(held: Hold, found: Hold | None) -> Hold:
    """The new hold in its place among those that were found."""
    if found is None:
        return held
    if held.kind == REFUNDED and found.kind != RESTORED:
        return held  # nothing that lay there matters any more
    if held.kind == CANCELLED and found.kind == OPERATOR:
        return replace(held, before=found.before)  # the operator has decided
    if _HEIGHT.get(found.kind, 0) > _HEIGHT.get(held.kind, 0):
        return replace(found, before=_laid(held, found.before))
    return replace(held, before=found)


def let_go(home: Path, stream_id: str) -> Hold | None:
    """What held the order is gone, and what lay below it stands again; returns it, None when nothing did."""
    with _changing(home):
        held = find_hold(home, stream_id)
        if held is not None and held.before is not None:
            write_durably(_path(home, stream_id), json.dumps(asdict(held.before), indent=1).encode())
        elif held is not None:
            _path(home, stream_id).unlink()
            sync_folder(_folder(home))
        return held


def find_hold(home: Path, stream_id: str) -> Hold | None:
    """Why the order stands still; None when it does not."""
    try:
        data = _path(home, stream_id).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _hold_of(stream_id, json.loads(data))
    except (ValueError, LookupError, TypeError):
        # Somebody edited it: what is meant is clear enough.
        return Hold(stream_id, "operator", f"jobs/.holds/{stream_id}.json cannot be read", "")


def check_not_held(home: Path, stream_id: str) -> None:
    """Returns when the order may go on.

    Raises:
        Held: it stands still.
    """
    held = find_hold(home, stream_id)
    if held is not None:
        raise Held(f"{stream_id} is held: {held.reason}; downstream release {stream_id} lets it go on")


def held_orders(home: Path) -> list[str]:
    """The stream ids of all orders that stand still, sorted."""
    folder = home / "jobs" / ".holds"
    return sorted(path.stem for path in folder.glob("[!.]*.json")) if folder.is_dir() else []


def is_restored(home: Path, stream_id: str) -> bool:
    """The order came out of a backup, and nobody has let it go on."""
    held = find_hold(home, stream_id)
    return held is not None and held.kind == RESTORED


def hold_restored(home: Path, stream_id: str, backup_at: str, now: datetime) -> bool:
    """The order stands still until a person knows if it was delivered after ``backup_at``; False when it did before."""
    reason = f"restored from a backup of {backup_at}; was it delivered since?"
    return hold(home, Hold(stream_id, RESTORED, reason, now.isoformat(timespec="seconds")))


def note_restored(home: Path, backup_at: str, now: datetime) -> None:
    """It is on the disk that this installation came out of a backup, which may know less than the lost machine did."""
    document = {"backup_at": backup_at, "restored_at": now.isoformat(timespec="seconds")}
    write_durably(home / "jobs" / ".restored", json.dumps(document).encode())


def backup_before(home: Path, began_at: datetime) -> str:
    """The time of the backup this installation came out of, when it did so after ``began_at``; empty otherwise.

    What began before that may have been finished by the machine that was lost.
    """
    try:
        found = json.loads((home / "jobs" / ".restored").read_bytes())
        return str(found["backup_at"]) if began_at < datetime.fromisoformat(found["restored_at"]) else ""
    except FileNotFoundError:
        return ""
    except (ValueError, LookupError, TypeError):
        return "a time that jobs/.restored does not tell any more"


def _hold_of(stream_id: str, found: dict[str, Any]) -> Hold:
    before = _hold_of(stream_id, found["before"]) if found.get("before") else None
    return Hold(stream_id, str(found["kind"]), str(found["reason"]), str(found["at"]), before)


def _folder(home: Path) -> Path:
    return home / "jobs" / ".holds"


def _path(home: Path, stream_id: str) -> Path:
    return _folder(home) / f"{stream_id}.json"


def _changing(home: Path) -> Lock:
    return Lock.wait(private_folder(_folder(home)) / ".lock")
