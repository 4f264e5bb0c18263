"""How a command ends, for whoever scripts against it; documented in the README."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """2 is a wrong command line (click's own), 128 + n an end by signal n."""

    DONE = 0
    FAULT = 1
    NOTHING_TO_DO = 3
    SOME_FAILED = 4
    PAUSED = 5
    MISCONFIGURED = 6
    WAITING = 7
