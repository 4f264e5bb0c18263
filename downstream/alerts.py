"""What a person must hear: once when it begins, again after a day, and not at every tick."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from downstream.files import private_folder, write_durably
from downstream.locks import Lock

if TYPE_CHECKING:
    from pathlib import Path

REMIND_AFTER = timedelta(hours=24)


def is_news(home: Path, fingerprint: str, now: datetime) -> bool:
    """The operator was not told of ``fingerprint`` since it began, or was told a day ago; from now on he was.

    On a disk that cannot be written to everything is news: telling the operator twice is better than never.
    """
    try:
        path = private_folder(home / "logs") / "alerts.json"
        with _locked(path):
            told = _load(path)
            if fingerprint in told and timedelta(0) <= now - told[fingerprint] < REMIND_AFTER:
                return False
            _save(path, {**told, fingerprint: now})
    except OSError:
        pass
    return True


def is_over(home: Path, fingerprint: str) -> bool:
    """``fingerprint`` is no longer so; True when the operator had been told of it."""
    path = home / "logs" / "alerts.json"
    if not path.exists():
        return False
    try:
        with _locked(path):
            told = _load(path)
            if told.pop(fingerprint, None) is None:
                return False
            _save(path, told)
    except OSError:
        return False
    return True


def _locked(path: Path) -> Lock:
    return Lock.wait(path.with_name(".alerts.lock"))


def _load(path: Path) -> dict[str, datetime]:
    try:
        told = {key: datetime.fromisoformat(at) for key, at in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # the same: better twice than never
    return {key: at for key, at in told.items() if at.tzinfo is not None}


def _save(path: Path, told: dict[str, datetime]) -> None:
    write_durably(path, json.dumps({key: at.isoformat() for key, at in told.items()}, indent=1).encode())
