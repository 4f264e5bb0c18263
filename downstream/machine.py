"""What is wrong with the machine, and what to do about it, out of the error that the system gave.

Such troubles say nothing about the order in hand: the run ends, and goes on by itself when they are over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from downstream.domain.errors import Misconfigured
from downstream.domain.troubles import ABOUT_A_DISK, WHAT_TO_DO, number_of

_RELOAD = "was an upgrade cut off? Run it again; otherwise memory is short. Nothing is lost, and work goes on by itself"


def machine_trouble(error: BaseException, home: Path) -> Misconfigured:
    """The reason to end the run: what is wrong, where, how much is free there, and what to do."""
    if isinstance(error, ImportError):
        module = f" ({error.name})" if error.name else ""
        return Misconfigured(f"this installation cannot be loaded{module}: {_RELOAD}")
    number = number_of(error)
    what = os.strerror(number) if number else type(error).__name__
    where = _where(error, home) if number in ABOUT_A_DISK else _file(error)
    to_do = WHAT_TO_DO.get(number)
    after = f": {to_do}; nothing is lost, and work goes on by itself" if to_do else ""
    # What stands before the first bracket is what the operator is told once of.
    return Misconfigured(f"the machine is in trouble: {what}{where and f' ({where})'}{after}")


def _where(error: BaseException, home: Path) -> str:
    """The file system that is meant: the installation's, unless a file is named; and what is free there."""
    place = _file(error) or str(home.resolve())
    folder = Path(place)
    with suppress(OSError):
        while not folder.exists():
            folder = folder.parent
        found = os.statvfs(folder)
        free = f"{found.f_bavail * found.f_frsize // 1_000_000} MB and {found.f_favail} inodes are free"
        while not folder.is_mount():
            folder = folder.parent
        return f"{place}, on {folder}, where {free}"
    return place


def _file(error: BaseException) -> str:
    name = error.filename if isinstance(error, OSError) else None
    return str(Path(os.fsdecode(name)).absolute()) if isinstance(name, str | bytes) and name else ""
