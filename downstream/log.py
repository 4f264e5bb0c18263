"""The log: one JSON event a line for each thing that happened, in ``logs/{name}.log``.

Events carry ids, steps and figures. They never carry story text, an e-mail address or a secret, so an unexpected
exception is logged as its type and place, not with its message: messages quote values.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from downstream.files import PRIVATE_FILE, private_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


def open_log(home: Path, name: str, show: Callable[[str], None] | None = None) -> FilteringBoundLogger:
    """A logger that appends to ``logs/{name}.log``; each event also goes to ``show`` as a readable line."""
    import structlog

    path = private_folder(home / "logs") / f"{name}.log"

    def write(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if show is not None:
            show(_readable(event))
        return event

    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Appender(path),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            write,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.BoundLogger,
        process=os.getpid(),
    )
    return logger


class _Appender:
    """Appends to the file of that name, also when the one it began with was renamed: the server runs for months."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = self._open()

    def msg(self, line: str) -> None:
        with suppress(OSError):  # a full disk: the work and its records matter more than the line about it
            self._follow()
            os.write(self._descriptor, line.encode() + b"\n")

    info = warning = error = msg

    def _open(self) -> int:
        # Unbuffered and appending: a line is whole whoever else writes to the same file.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)

    def _follow(self) -> None:
        try:
            if os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                return
        except FileNotFoundError:
            pass
        fresh = self._open()
        # Under the old number: another thread may be writing to it just now.
        os.dup2(fresh, self._descriptor, inheritable=False)
        os.close(fresh)


def _readable(event: EventDict) -> str:
    skipped = {"at", "event", "level", "process"}
    fields = " ".join(f"{key}={value}" for key, value in event.items() if key not in skipped)
    return f"{str(event['at'])[11:19]}  {event['event']:<22} {fields}".rstrip()


def where(error: BaseException) -> dict[str, Any]:
    """The type of an unexpected error and the place it came from, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [f"{frame.filename.rpartition('downstream/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-4:]]
    return {"error": type(error).__name__, "trace": place}


def on_terminal() -> bool:
    """Somebody is watching: progress is shown and events are readable."""
    return sys.stderr.isatty()
