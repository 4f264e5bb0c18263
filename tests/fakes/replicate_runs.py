"""What Replicate keeps: uploaded files and runs; and how its moments, durations and forms are written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from math import inf
from typing import Any


@dataclass(slots=True)
class StoredFile:
    """An uploaded file."""

    id: str
    name: str
    content_type: str
    content: bytes
    created: float
    expires: float


@dataclass(slots=True)
class Prediction:
    """One bought run; its status follows from the clock. Moments are in seconds since 1970."""

    id: str
    model: str
    input: dict[str, Any]
    created: float
    starts: float
    ends: float
    deadline: float = inf
    outcome: str = ""
    detail: str = ""
    canceled_at: float = inf
    frame: bytes = b""
    """The picture the video begins with."""
    sources: dict[str, Any] = field(default_factory=dict)
    """What was asked for, also after the service has emptied ``input``."""

    @property
    def finished_at(self) -> float:
        """When it is over, however it ends."""
        return min(self.ends, self.deadline, self.canceled_at)

    def status(self, now: float) -> str:
        """What the service says at ``now``."""
        if now < self.finished_at:
            return "starting" if now < self.starts else "processing"
        if self.canceled_at <= min(self.ends, self.deadline):
            return "canceled"
        if self.deadline < self.ends:
            return "canceled" if self.deadline >= self.starts else "aborted"
        named = {"undocumented_status": self.detail, "listed": "succeeded", "removed": "succeeded", "": "succeeded"}
        return named.get(self.outcome, self.outcome)


def duration_seconds(duration: str) -> float | None:
    """``90``, ``90s``, ``5m``, ``1h30m`` in seconds; None when it is no duration."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", duration)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def moment(seconds: float) -> str:
    """Seconds since 1970 as the API writes a moment."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp(text: str | None, otherwise: float) -> float:
    """A moment of the API in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp() if text else otherwise


def read_form(content_type: str, body: bytes) -> dict[str, Any]:
    """A multipart form's fields; bytes as latin-1 text, one character a byte. A file part names itself."""
    message = BytesParser().parsebytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise ValueError("no multipart form")
    fields: dict[str, Any] = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        fields[name] = part.get_payload(decode=True).decode("latin-1")
        if part.get_filename():
            fields = {"filename": part.get_filename(), "type": part.get_content_type()} | fields
    return fields | ({"metadata": json.loads(fields["metadata"])} if "metadata" in fields else {})
