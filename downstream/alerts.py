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
    """The operator was not told of ``fingerprint`` since it began, or was told a day ago; from now on he was."""
    path = private_folder(home / "logs") / "alerts.json"
    with _patient_lock(path):
        told = _load(path)
        last = told.get(fingerprint)
        if last is not None and timedelta(0) <= now - datetime.fromisoformat(last) < REMIND_AFTER:
            return False
        write_durably(path, json.dumps({**told, fingerprint: now.isoformat()}, indent=1).encode())
        return True


def is_over(home: Path, fingerprint: str) -> bool:
    """``fingerprint`` is no longer so; True when the operator had been told of it."""
    path = home / "logs" / "alerts.json"
    if not path.exists():
        return False
    with _patient_lock(path):
        told = _load(path)
        if told.pop(fingerprint, None) is None:
            return False
        write_durably(path, json.dumps(told, indent=1).encode())
        return True


def _patient_lock(path: Path) -> Lock:
    import time

    while (lock := Lock.take(path.with_name(".alerts.lock"))) is None:
        time.sleep(0.01)  # held for one small write at a time
    return lock


def _load(path: Path) -> dict[str, str]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # telling the operator twice is better than never
    return told if isinstance(told, dict) else {}
