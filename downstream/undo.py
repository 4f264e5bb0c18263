"""``downstream undo``: the address of a delivered order shows the version before again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from downstream.domain.errors import Misconfigured, PersonDecides, TryAgain
from downstream.domain.job import What
from downstream.domain.pace import persistently
from downstream.domain.ports import Published
from downstream.domain.state import State
from downstream.queue import NoSuchJob
from downstream.site.read import read_marker
from downstream.steps.calls import make_call
from downstream.steps.work import Made

if TYPE_CHECKING:
    from downstream.domain.job import Job
    from downstream.domain.ports import Call
    from downstream.queue import Claim
    from downstream.stages.context import Context
    from downstream.steps.work import Pools, Work

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Between looks at the address: a host's edge may show the other version for a moment."""


def undo(context: Context, stream_id: str) -> Published:
    """The order's address shows again what stood there before the version it shows now; the job's history says so.

    A run that was killed is carried on by the next; it is done once.

    Raises:
        PersonDecides: the order is not completed, or has no earlier version.
        NoSuchJob, Busy, Unreadable: as ``Queue.claim``.
        TryAgain: the host did not do it (yet).
        StopRun: the run has to end.
    """
    state = context.queue.find(stream_id)
    if state is None:
        raise NoSuchJob(stream_id)
    if state is not State.COMPLETED:
        raise PersonDecides(f"{stream_id} is in jobs/{state}; undo is for what was delivered, in jobs/completed")
    claim = context.queue.claim(stream_id, State.COMPLETED)
    try:
        with context.pools() as pools:
            return _undo(context, claim, pools)
    finally:
        claim.release()


def versions_shown(job: Job) -> list[str]:
    """What the order's address has shown, earlier first, without what was undone; the last is what it shows now."""
    shown: list[str] = []
    for entry in job.history:
        if entry.what is What.UNDONE:
            del shown[-1:]
        elif entry.what is What.PUBLISHED and shown[-1:] != [entry.evidence["version"]]:
            shown.append(str(entry.evidence["version"]))
    return shown


def _undo(context: Context, claim: Claim, pools: Pools) -> Published:
    job = claim.job
    shown = versions_shown(job)
    if len(shown) < 2:
        raise PersonDecides(
            f"{job.stream_id} has no version earlier than the one it shows; for another one: "
            f"downstream review --regenerate {job.stream_id} --segments N --note TEXT"
        )
    providers = context.suppliers.serving(job)
    if providers is None:
        raise Misconfigured(f"{job.stream_id} needs outside services, and no keys for them are set")
    context.check_running()
    work = context.work_on(claim, providers, pools)
    published = _restored(work, shown[-1], shown[-2])
    evidence = {"address": published.address, "version": published.version}
    claim.save(job.noting(What.UNDONE, at=context.clock(), who="operator", evidence=evidence))
    context.log.info("job.undone", stream=job.stream_id, version=published.version)
    return published


def _restored(work: Work, version: str, earlier: str) -> Published:
    hosting, stream_id = work.providers.hosting, work.job.stream_id
    times = sum(1 for entry in work.job.history if entry.what is What.UNDONE)

    def make(call: Call) -> Made:
        published = hosting.restore(stream_id, earlier, call)
        _verify(work, published)  # before it counts as made: the next run asks the host again
        return Made(result={"address": published.address, "version": published.version})

    receipt = make_call(work, "undo", (version, earlier, times), hosting.name, make, continues=True)
    return Published(str(receipt.result["address"]), str(receipt.result["version"]))


def _verify(work: Work, published: Published) -> None:
    """An anonymous visitor of the order's address sees just this version."""
    own = work.providers.hosting.fetch_version(published)
    if read_marker(own) != work.job.stream_id:
        raise TryAgain(f"version {published.version} does not show a page of {work.job.stream_id}")
    persistently(partial(_look, work, published, own), work.wait, TryAgain, PAUSES_SECONDS)


def _look(work: Work, published: Published, own: bytes) -> None:
    # The marker is the same in every version. The page names its files by their content, so it stands for all of them.
    if work.providers.hosting.fetch(published, "") != own:
        raise TryAgain(
            f"{published.address} does not show version {published.version} of {work.job.stream_id} yet; try again in "
            f"a few minutes: downstream undo {work.job.stream_id}"
        )
