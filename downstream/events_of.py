"""``downstream logs``: what the logs tell of one order, or of the whole house, in the order in which it happened.

A log is ``logs/{name}.log``; what a rotation has moved away - ``.log.1``, ``.log.2.gz``, ``.log-20260106.gz`` - is
read, too. Nothing is changed.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAME = re.compile(r"(?P<log>[^.].*)\.log(?P<rotated>[.-]\d+)?(?P<packed>\.gz)?\Z")
_SPAN = re.compile(r"(\d+)([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_HIDDEN = frozenset({"at", "event", "level", "process"})
_MARKS = {"warning": "!", "error": "!!"}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log."""

    at: datetime
    log: str
    """Which log it stands in, as in ``processor``."""
    path: Path
    fields: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As plain values: the line as it stands in the log, and which log that is."""
        return {"log": self.log, **self.fields}

    def line(self, *hidden: str) -> str:
        """For people: time (UTC), log, what happened, and every other field but the hidden ones."""
        left_out = _HIDDEN.union(hidden)
        said = " ".join(f"{key}={_plain(value)}" for key, value in self.fields.items() if key not in left_out)
        mark = _MARKS.get(str(self.fields.get("level")), "")
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S}  {self.log:<9} {mark:>2} {self.fields.get('event', ''):<20} {said}".rstrip()
        )


@dataclass
class Logs:
    """The logs of one installation, read on from where they were read last.

    ``stream_id`` leaves only the events of that order; ``since`` what was said from then on.
    """

    home: Path
    stream_id: str = ""
    since: datetime | None = None
    _read: dict[tuple[int, int], int] = field(default_factory=dict)
    """Device and inode of a file to how far it was read: its name changes when it is rotated."""
    _has_looked: bool = False

    def news(self) -> list[Event]:
        """Everything that was not returned before, by time; the first time everything there is."""
        found: list[Event] = []
        for path, match in self._files():
            data = _unpacked(path) if match["packed"] else self._added(path, is_rotated=bool(match["rotated"]))
            found += self._events(match["log"], path, data)
        self._has_looked = True
        return sorted(found, key=lambda event: event.at)

    def _files(self) -> Iterator[tuple[Path, re.Match[str]]]:
        """The logs; packed ones the first time only, and none whose last line is too old."""
        folder = self.home / "logs"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _NAME.match(path.name)
            if match and path.is_file() and not (match["packed"] and self._has_looked) and self._is_recent(path):
                yield path, match

    def _is_recent(self, path: Path) -> bool:
        return self.since is None or path.stat().st_mtime >= self.since.timestamp()

    def _added(self, path: Path, *, is_rotated: bool) -> bytes:
        """The whole lines that were added since the last look."""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = (status.st_dev, status.st_ino)
                if is_rotated and self._has_looked and key not in self._read:
                    return b""  # a copy of what was read under its first name
                begin = self._read.get(key, 0)
                begin = begin if begin <= status.st_size else 0  # it was emptied, and goes on
                file.seek(begin)
                data = file.read()
        except OSError:
            return b""  # rotated away a moment ago: it comes under its next name
        end = data.rfind(b"\n") + 1
        self._read[key] = begin + end
        return data[:end]

    def _events(self, log: str, path: Path, data: bytes) -> Iterator[Event]:
        wanted = self.stream_id.encode()
        for line in data.splitlines():
            if wanted in line and (event := _event(log, path, line)) and self._tells(event):
                yield event

    def _tells(self, event: Event) -> bool:
        if self.since is not None and event.at < self.since:
            return False
        about = (event.fields.get("stream"), event.fields.get("file"))
        return not self.stream_id or self.stream_id in about or f"{self.stream_id}.json" in about


def moment_of(text: str, now: datetime) -> datetime:
    """``30m``, ``2h``, ``3d``, ``1w`` before now, or a date or time of ISO 8601 (UTC unless it says otherwise).

    Raises:
        ValueError: it is neither.
    """
    if match := _SPAN.match(text.strip()):
        return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def last(events: Iterable[Event], *names: str) -> Event | None:
    """The last of the events that have one of those names."""
    found = [event for event in events if event.fields.get("event") in names]
    return found[-1] if found else None


def _event(log: str, path: Path, line: bytes) -> Event | None:
    """What a line tells; None for one that a power cut left torn, or somebody wrote by hand."""
    try:
        fields = json.loads(line)
        at = datetime.fromisoformat(fields["at"])
    except (ValueError, LookupError, TypeError):
        return None
    return Event(at if at.tzinfo else at.replace(tzinfo=UTC), log, path, fields)


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        return b""  # being packed just now, or damaged


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
