"""What a person must hear: once when it begins, again after a day, and not at every tick.

What was told is kept in ``logs/alerts.json``; while nothing can be written there, in the machine's memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from downstream.files import private_folder, write_durably
from downstream.locks import Lock

REMIND_AFTER = timedelta(hours=24)
FORGET_AFTER = timedelta(days=90)
"""What nobody has told again for so long does not last, or cannot end."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - below it everything lies in a folder of our own
"""A file system in memory that every Linux has: shm_overview(7)."""
LASTING = (
    "backup",
    "cautious",
    "failed.",
    "healthcheck",
    "held_orders",
    "hold.",
    "paused",
    "promise.",
    "reconcile",
    "settings",
    "stopped.",
    "waiting_for_review",
)
"""How the fingerprints of troubles begin that come to an end, and are told to be over then.

Others stand for one event: a payment, a refund, an errand that was given up. No fingerprint holds a customer's words or
address: they are made of words of ours, order ids, ids of the payment service and paths of this machine.
"""


def is_news(home: Path, fingerprint: str, now: datetime) -> bool:
    """The operator was not told of ``fingerprint`` since it began, or was told a day ago; from now on he was.

    Where nothing can be written, not even in memory, everything is news: telling twice is better than never.
    """
    for path in _places(home):
        with suppress(OSError), _locked(path):
            if is_known(home, fingerprint, now):
                return False
            recent = {name: at for name, at in _load(path).items() if abs(now - at) < FORGET_AFTER}
            _save(path, {**recent, fingerprint: now})
            return True
    return True


def is_known(home: Path, fingerprint: str, now: datetime) -> bool:
    """The operator was told of ``fingerprint`` within the last day, and it is not over."""
    told_at = _all(home).get(fingerprint)
    return told_at is not None and timedelta(0) <= now - told_at < REMIND_AFTER


def is_over(home: Path, fingerprint: str) -> bool:
    """``fingerprint`` is no longer so; True when the operator had been told of it."""
    found = [_forget(path, fingerprint) for path in _places(home) if path.exists()]  # all of them
    return any(found)


def _forget(path: Path, fingerprint: str) -> bool:
    with suppress(OSError), _locked(path):
        known = _load(path)
        if known.pop(fingerprint, None) is not None:
            _save(path, known)
            return True
    return False


def standing_alarms(home: Path) -> dict[str, datetime]:
    """What the operator was told of that lasts, and when he was told last; single events are not among it."""
    return {name: at for name, at in _all(home).items() if name.startswith(LASTING)}


def told(home: Path, *prefixes: str) -> list[str]:
    """The fingerprints that begin with one of those, which the operator was told of and which are not over yet."""
    return [fingerprint for fingerprint in _all(home) if fingerprint.startswith(prefixes)]


def _places(home: Path) -> list[Path]:
    """Where it is kept, and where while that is full or broken."""
    on_disk, ours = home / "logs" / "alerts.json", _MEMORY / f"downstream-{os.getuid()}"
    with suppress(OSError):
        if ours.lstat().st_uid != os.getuid():  # everybody may make a folder there
            return [on_disk]
    return [on_disk, ours / f"alerts-{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]}.json"]


def _all(home: Path) -> dict[str, datetime]:
    """What was told, wherever it is kept, and when last."""
    found: dict[str, datetime] = {}
    for path in _places(home):
        for fingerprint, at in _load(path).items():
            found[fingerprint] = max(at, found.get(fingerprint, at))
    return found


def _locked(path: Path) -> Lock:
    return Lock.wait(private_folder(path.parent) / ".alerts.lock")


def _load(path: Path) -> dict[str, datetime]:
    try:
        known = {key: datetime.fromisoformat(at) for key, at in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # the same: better twice than never
    return {key: at for key, at in known.items() if at.tzinfo is not None}


def _save(path: Path, known: dict[str, datetime]) -> None:
    write_durably(path, json.dumps({key: at.isoformat() for key, at in known.items()}, indent=1).encode())
