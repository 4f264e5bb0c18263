"""Reading what the customer handed in."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.record import explain
from downstream.domain.story import MAX_INPUT_BYTES, Story, check_length
from downstream.domain.troubles import is_machine_trouble
from downstream.files import private_folder, write_durably
from downstream.job_file import HALF_WRITTEN_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.job import Job


def read_story(home: Path, job: Job) -> Story:
    """The story of ``job``, of a length we sell; an unpaid job without any input gets the sample story.

    Raises:
        TryAgain: the file breaks off and was written to a moment ago.
        PersonDecides: there is no story, or it cannot be taken; the text names the file and the reason.
    """
    path = _input_path(home, job)
    if not path.exists() and job.input_path is None and not job.is_paid:
        _write_sample(path, job.stream_id)
    name = path.relative_to(home.resolve())
    try:
        story = Story.model_validate_json(_read(path, str(name)).removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        problem = explain(error)
        if "EOF while parsing" in problem and abs(time.time() - path.stat().st_mtime) < HALF_WRITTEN_SECONDS:
            raise TryAgain(f"{name} breaks off in the middle; it may still be being written", wait_seconds=60) from None
        raise PersonDecides(f"{name}: {problem}") from None
    if story.id != job.stream_id:
        raise PersonDecides(f"{name}: its id is not the job's stream_id")
    check_length(story)
    return story


def _input_path(home: Path, job: Job) -> Path:
    streams = home.resolve() / "streams"
    given = job.input_path or f"streams/{job.stream_id}/input.json"
    path = (home.resolve() / given.lstrip("/")).resolve()
    if not path.is_relative_to(streams) or "\0" in given:
        raise PersonDecides("input_path leads out of streams/; the story must lie in streams/{stream_id}/")
    return path


def _read(path: Path, name: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if is_machine_trouble(error):
            raise
        raise PersonDecides(f"{name} cannot be opened: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PersonDecides(f"{name} is not a regular file")
        if status.st_size > MAX_INPUT_BYTES:
            raise PersonDecides(f"{name} has {status.st_size:,} bytes; a story has at most {MAX_INPUT_BYTES:,}")
        return file.read(MAX_INPUT_BYTES + 1)


def _write_sample(path: Path, stream_id: str) -> None:
    from downstream.sample import sample_story

    private_folder(path.parent)
    write_durably(path, sample_story(stream_id).to_json())
