"""What is done now and then, by the time of an empty file: whether it is due costs next to nothing to ask."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from downstream.files import PRIVATE_FILE, private_folder

if TYPE_CHECKING:
    from pathlib import Path


def is_due(stamp: Path, every_seconds: float, now: float | None = None) -> bool:
    """It was never done, or that long ago; or the clock was set back since."""
    try:
        return not 0 <= age_seconds(stamp, now) < every_seconds
    except FileNotFoundError:
        return True


def age_seconds(stamp: Path, now: float | None = None) -> float:
    """How long ago it was done; below zero when the clock was set back since.

    Raises:
        FileNotFoundError: it never was.
    """
    return (time.time() if now is None else now) - stamp.stat().st_mtime


def done_now(stamp: Path, now: float | None = None) -> None:
    """It was done at this moment.

    Raises:
        OSError: not even that can be written.
    """
    private_folder(stamp.parent)
    stamp.touch(PRIVATE_FILE)
    os.utime(stamp, None if now is None else (now, now))
