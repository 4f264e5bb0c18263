"""One thing the doctor looked at; and how a command of this machine is asked."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["ok", "warn", "FAIL"]
PATIENCE_SECONDS = 30.0
"""For a command of this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it (empty where nothing)."""

    level: Level
    name: str
    found: str
    next_step: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.level:<4}  {self.name:<12}  {self.found}" + (f" → {self.next_step}" if self.next_step else "")


def run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    """How a command of this machine ended; None when it did not start or end."""
    try:
        return subprocess.run(  # noqa: S603 - the operator's own commands
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
