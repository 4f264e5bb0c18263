"""Reading a job's file: what is a job, what is none, and what may still be being written."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.job import Job

MAX_JOB_BYTES = 1_000_000
HALF_WRITTEN_SECONDS = 600
"""A file that breaks off in the middle is given this long after its last write before it is set aside."""
_NOT_A_JOB = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV})
"""How opening a file fails for a reason of its own."""


class Unreadable(Exception):  # noqa: N818 - a finding about a file, not an error of the program
    """A file in the five folders that is not a job; the text says why."""


class StillWritten(Exception):  # noqa: N818
    """A file that breaks off in the middle and was written to a moment ago."""

    def __init__(
        self, why: str = "its file breaks off in the middle; is it still being written? Try again in a moment"
    ) -> None:
        super().__init__(why)


class Newer(StillWritten):
    """A job that a later version of this program wrote: it is left as it lies."""


def is_job_name(name: str) -> bool:
    """A file of that name wants to be a job; temporary names are not among them."""
    return name.endswith(".json") and not name.startswith(".")


def read_job(path: Path) -> tuple[Job, datetime]:
    """The job in a file and the time of the file's last change.

    Raises:
        FileNotFoundError: it is not there (any more).
        StillWritten: it breaks off in the middle and may not be finished; or, as ``Newer``, is not for this version.
        Unreadable: it is not a job.
    """
    from pydantic import ValidationError

    from downstream.domain.job import Job
    from downstream.domain.record import explain

    data, modified = _read_bytes(path)
    _check_json(data, modified)
    _check_format(data)
    try:
        job = Job.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise Unreadable(explain(error)) from None
    if path.name != f"{job.stream_id}.json":
        raise Unreadable("its stream_id is not the name of the file")
    return job, modified


def _check_format(data: bytes) -> None:
    """Returns unless the job says that a later version of this program wrote it.

    Raises:
        Newer: it does; what else stands in it may mean something else by now.
    """
    from downstream.domain.job import FORMAT

    document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    said = document.get("format") if isinstance(document, dict) else None
    if isinstance(said, int) and said > FORMAT:
        raise Newer("its file was written by a later version of this program, which is the one to use")


def _read_bytes(path: Path) -> tuple[bytes, datetime]:
    try:
        # Neither follows a link nor waits for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOT_A_JOB:
            raise
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it is not a regular file")
        if status.st_size > MAX_JOB_BYTES:
            raise Unreadable(f"it has {status.st_size} bytes; a job has at most {MAX_JOB_BYTES}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_JOB_BYTES + 1), datetime.fromtimestamp(status.st_mtime, UTC)
    finally:
        os.close(descriptor)


def _check_json(data: bytes, modified: datetime) -> None:
    """Tells a file that is still being written from one that is wrong."""
    from pydantic_core import from_json

    try:
        value = from_json(data.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except ValueError as error:
        if str(error).startswith("EOF while parsing"):  # how a JSON object begins, but not all of one
            if abs(time.time() - modified.timestamp()) < HALF_WRITTEN_SECONDS:
                raise StillWritten from None
            raise Unreadable("it breaks off in the middle") from None
        raise Unreadable(_why_not_json(data, error)) from None
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")


def _why_not_json(data: bytes, error: ValueError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8 (byte {wrong.start})"
    return f"it is not JSON: {error}"
