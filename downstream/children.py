"""Child processes that outlive a signal to this one, and how all of them end with it when it has to end at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

_groups: set[int] = set()
_changing = threading.RLock()
"""Re-entrant, because ``end_all`` may interrupt the thread that has it."""


@contextmanager
def kept(start: Callable[[], subprocess.Popen[bytes]]) -> Iterator[subprocess.Popen[bytes]]:
    """The child that ``start`` begins in a session of its own; afterwards it and all it started are gone."""
    with _changing:  # whoever ends all of them does not miss one that has just begun
        process = start()
        _groups.add(process.pid)
    try:
        yield process
    finally:
        _kill(process.pid)
        process.wait()
        with _changing:
            _groups.discard(process.pid)


def end_all() -> None:
    """Every child that is kept is gone with all it started."""
    with _changing:
        for group in _groups:
            _kill(group)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):  # all of them ended by themselves
        os.killpg(group, signal.SIGKILL)
