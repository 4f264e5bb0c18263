"""``downstream process --rehearse``: the whole way of an order, in a scratch installation where nothing can be spent.

``streams/.rehearsals/{time}/`` is an installation of its own. It gets the story and a job that nobody paid for, so the
embedded providers make the page, publish it on the disk and write the letter to a file. The order itself, its folder,
its receipts and the ledger are only read.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.job import Job
from downstream.domain.state import State
from downstream.files import private_folder, write_durably
from downstream.installation import lay_out
from downstream.job_file import StillWritten, Unreadable
from downstream.overview import find_job
from downstream.queue import Queue
from downstream.settings import NO_SECRET
from downstream.steps.story import read_story

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from downstream.settings import Settings

KEPT = 3
"""Rehearsals hold customers' stories: only the last ones are kept."""
NOBODY = "rehearsal@example.com"
"""Whom the letter is addressed to."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A scratch installation and what is rehearsed in it."""

    home: Path
    stream_ids: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)
    """Stream id to why it cannot even begin."""


def prepare(home: Path, only: str | None, now: datetime) -> Rehearsal:
    """The orders that wait (or the one named, wherever it lies) wait in a new scratch installation, unpaid.

    Raises:
        NoSuchJob, StillWritten, Unreadable: as ``find_job``, of the one named.
    """
    queue = Queue(home)
    jobs = [find_job(queue, only)[1]] if only else _waiting(queue)
    folder = private_folder(home / "streams" / ".rehearsals")
    rehearsal = Rehearsal(folder / f"{now:%Y-%m-%dT%H%M%S.%f}")
    lay_out(rehearsal.home, today=now.date(), program="downstream")
    for job in jobs:
        try:
            _copy(home, job, rehearsal.home)
        except (PersonDecides, TryAgain) as error:
            rehearsal.impossible[job.stream_id] = str(error)
        else:
            rehearsal.stream_ids.append(job.stream_id)
    for old in sorted(path for path in folder.iterdir() if path.is_dir())[:-KEPT]:
        shutil.rmtree(old)
    return rehearsal


def harmless(settings: Settings) -> Settings:
    """The same settings without any key, and nobody is asked to decide."""
    return replace(
        settings,
        anthropic_api_key=NO_SECRET,
        healthcheck_url=NO_SECRET,
        google_ai_api_key=NO_SECRET,
        replicate_api_token=NO_SECRET,
        vercel_token=NO_SECRET,
        smtp_url=NO_SECRET,
        stripe_api_key=NO_SECRET,
        stripe_webhook_secret=NO_SECRET,
        review_policy="auto",
    )


def _waiting(queue: Queue) -> list[Job]:
    """The orders in ``pending`` in the order of service; what is no job is left for ``process`` to set aside."""
    jobs = []
    for name, _ in queue.waiting():
        try:
            jobs.append(queue.read(State.PENDING, name))
        except (FileNotFoundError, StillWritten, Unreadable):
            continue
    return jobs


def _copy(home: Path, job: Job, scratch: Path) -> None:
    """The story, if there is one, and a job without payment and without its past lie in ``scratch``."""
    # A test order without a story gets the sample there; here it would be written into the order's own folder.
    if job.is_paid or job.input_path or (home / "streams" / job.stream_id / "input.json").exists():
        story = read_story(home, job)
        write_durably(private_folder(scratch / "streams" / job.stream_id) / "input.json", story.to_json())
    copy = Job(stream_id=job.stream_id, customer_email=NOBODY)
    write_durably(scratch / "jobs" / "pending" / f"{job.stream_id}.json", copy.to_json())
