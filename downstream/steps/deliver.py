"""Delivering an approved page: host, verify as an anonymous visitor, mail; each exactly once."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from downstream.domain.errors import TryAgain
from downstream.domain.job import What
from downstream.domain.ports import Published
from downstream.files import tree_files, tree_sha256
from downstream.site.read import read_marker
from downstream.steps.calls import make_call
from downstream.steps.letters import delivered_letter
from downstream.steps.work import Made

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.job import Job
    from downstream.domain.ports import Call
    from downstream.domain.story import Story
    from downstream.steps.work import Work


def deliver(work: Work, story: Story, now: datetime) -> Job:
    """The page is live, was seen as a visitor sees it, and the customer was told; returns the job with that noted.

    Raises:
        TryAgain: the host does not (yet) show this page.
    """
    work.progress.advanced(work.job.stream_id, "deliver", 0, 3)
    published = _publish(work)
    work.progress.advanced(work.job.stream_id, "deliver", 1, 3)
    visited = _verify(work, published)
    work.progress.advanced(work.job.stream_id, "deliver", 2, 3)
    accepted = _mail(work, story, published, now)
    work.progress.advanced(work.job.stream_id, "deliver", 3, 3)
    who = "review"
    job = work.job.noting(
        What.PUBLISHED, at=now, who=who, evidence={"address": published.address, "version": published.version}
    )
    job = job.noting(What.VERIFIED, at=now, who=who, evidence={"files": visited})
    return job.noting(What.MAILED, at=now, who=who, evidence={"accepted": accepted})


def _publish(work: Work) -> Published:
    hosting, page = work.providers.hosting, work.workspace.page

    def make(call: Call) -> Made:
        published = hosting.publish(work.job.stream_id, page, call)
        return Made(result={"address": published.address, "version": published.version})

    # A person who says retry may have found the page gone from where it was published.
    retried = sum(1 for entry in work.job.history if entry.what is What.RETRIED)
    receipt = make_call(work, "publish", (tree_sha256(page), retried), hosting.name, make, continues=True)
    return Published(str(receipt.result["address"]), str(receipt.result["version"]))


def _verify(work: Work, published: Published) -> int:
    """Looks at the live page without credentials: this order's marker, and every file byte for byte."""
    page = work.workspace.page
    marker = read_marker(work.providers.hosting.fetch(published, ""))
    if marker != work.job.stream_id:
        raise TryAgain(f"{published.address} does not show this order's page")
    files = tree_files(page)
    work.each("verify", files, lambda one: _verify_file(work, published, one, str(one.relative_to(page))), calling=True)
    return len(files)


def _verify_file(work: Work, published: Published, path: Path, name: str) -> None:
    work.check_running()
    live = work.providers.hosting.fetch(published, name)
    if sha256(live).digest() != sha256(path.read_bytes()).digest():
        raise TryAgain(f"{published.address} does not show {name} as it was published")


def _mail(work: Work, story: Story, published: Published, now: datetime) -> str:
    job, mail = work.job, work.providers.mail
    number = 1 + sum(1 for entry in job.history if entry.what is What.MAILED)

    def make(_: Call) -> Made:
        letter = delivered_letter(
            job,
            story,
            published.address,
            number=number,
            sender=work.settings.mail_from,
            reply_to=work.settings.operator_email,
            at=now,
        )
        return Made(result={"accepted": mail.send(job.stream_id, letter), "message_id": letter["Message-ID"]})

    inputs = (published.address, published.version, number, job.customer_email)
    receipt = make_call(work, "mail", inputs, mail.name, make)
    return str(receipt.result["accepted"])
