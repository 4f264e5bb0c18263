"""``downstream review``: pages are looked at, decided on, and delivered."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from downstream.domain.checks import Decision, Facts, Inspection, Verdict
from downstream.domain.errors import Misconfigured, PersonDecides
from downstream.domain.job import What
from downstream.domain.state import State
from downstream.holds import check_not_held
from downstream.queue import NoSuchJob
from downstream.stages.context import Context, attempt, fail
from downstream.stages.regenerate import decide_on, remade
from downstream.steps.deliver import deliver
from downstream.steps.plan import read_production
from downstream.steps.quality import inspect
from downstream.steps.story import read_story
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.domain.job import Job
    from downstream.queue import Claim
    from downstream.steps.work import Pools, Work

    Ask = Callable[[Job, Inspection, Workspace], Verdict | None]
    """Shows an order to a person and returns what they say; None leaves it for later."""


def review(context: Context, ask: Ask | None = None) -> None:
    """Every job in ``review`` was inspected; what could be decided was, and what was approved is delivered.

    ``ask`` is called when the policy leaves the decision to a person; without it such jobs wait and a person is told.
    """
    context.give_up_cancelled()
    with context.pools() as pools:
        for name in context.queue.names(State.REVIEW):
            if context.stop.is_set():
                break
            claim = context.queue.claim_in_review(name, now=context.clock())
            if claim is not None:
                attempt(context, claim, partial(_review, context, claim, pools, ask))
    context.report_set_aside()
    context.report_holds_over()
    context.report_held_orders()
    _report_waiting(context)


def decide_by_hand(context: Context, stream_id: str, verdict: Verdict, *, rebuy: bool = False) -> None:
    """The operator's verdict on one job in ``review`` (or, to regenerate, in ``completed``) is carried out.

    With ``rebuy`` also where every clip has to be bought once more, for ``tidy`` has removed them.

    Raises:
        NoSuchJob, Busy, Unreadable: as ``Queue.claim``.
        Held: somebody keeps the order from going on.
        PersonDecides: the clips were removed, and nobody said that they may be bought again.
        ValueError: the verdict names a segment that the production does not have.
    """
    states = [State.REVIEW, State.COMPLETED] if verdict.decision is Decision.REGENERATE else [State.REVIEW]
    if context.queue.find(stream_id) not in states:
        raise NoSuchJob(stream_id)
    if verdict.segment_ids:
        known = {segment.id for segment in read_production(Workspace(context.home, stream_id)).segments}
        if unknown := sorted(set(verdict.segment_ids) - known):
            raise ValueError(f"{stream_id} has no segment {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    check_not_held(context.home, stream_id)
    if verdict.decision is Decision.REGENERATE and not rebuy:
        _check_not_thinned(Workspace(context.home, stream_id))
    claim = context.queue.claim(stream_id, *states)
    with context.pools() as pools:
        attempt(context, claim, partial(_carry_out_by_hand, context, claim, pools, verdict))


def _check_not_thinned(workspace: Workspace) -> None:
    try:
        at = str(json.loads(workspace.thinned.read_bytes())["thinned_at"])[:10]
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError):
        at = "a day that thinned.json does not tell"
    count = len(read_production(workspace).segments)
    raise PersonDecides(
        f"the clips of {workspace.stream_id} were removed on {at} to make room, so all {count} of them must be bought "
        f"again: the same command with --rebuy does that (downstream estimate tells what a clip costs)"
    )


def _review(context: Context, claim: Claim, pools: Pools, ask: Ask | None) -> None:
    providers = context.suppliers.serving(claim.job)
    if providers is None:
        context.outcome.later.append(claim.job.stream_id)
        return
    work = context.work_on(claim, providers, pools)
    context.check_running()
    work.log.info("review.began", approved=claim.job.approved)
    if not claim.job.approved:
        story = read_story(context.home, claim.job)
        inspection = inspect(work, story, context.clock())
        verdict, who = _verdict(context, claim.job, inspection, work, ask)
        if verdict is None:
            context.outcome.later.append(claim.job.stream_id)
            return
        _carry_out(context, claim, verdict, who=who, inspection=inspection)
    if claim.state is State.REVIEW:
        _deliver(context, claim, work)


def _verdict(
    context: Context, job: Job, inspection: Inspection, work: Work, ask: Ask | None
) -> tuple[Verdict | None, str]:
    """What is decided, and by whom; None while a person has not decided."""
    if context.settings.review_policy == "operator" or ask is not None:
        return (ask(job, inspection, work.workspace), "operator") if ask else (None, "operator")
    return decide_on(work, inspection), "review"


def _carry_out_by_hand(context: Context, claim: Claim, pools: Pools, verdict: Verdict) -> None:
    providers = context.suppliers.serving(claim.job)
    if providers is None:
        raise Misconfigured(f"{claim.job.stream_id} needs outside services, and no keys for them are set")
    context.check_running()
    work = context.work_on(claim, providers, pools)
    inspection = None
    if verdict.decision is Decision.APPROVE and not claim.job.approved:
        inspection = inspect(work, read_story(context.home, claim.job), context.clock(), with_judge=False)
        if inspection.failed_hard:
            context.tell(f"{claim.job.stream_id} was not approved, its hard checks failed: {_failures(inspection)}")
            context.outcome.failed.append(claim.job.stream_id)
            return
    _carry_out(context, claim, verdict, who="operator", inspection=inspection)
    if claim.state is State.REVIEW:
        _deliver(context, claim, work)


def _carry_out(context: Context, claim: Claim, verdict: Verdict, *, who: str, inspection: Inspection | None) -> None:
    """The verdict is in the job's history and on the disk; regenerate and fail move the job."""
    job, now = claim.job, context.clock()
    evidence: Facts = {"page": inspection.page_sha256, "checks": len(inspection.checks)} if inspection else {}
    context.log.info("job.verdict", stream=job.stream_id, verdict=verdict.decision.value, who=who)
    if verdict.decision is Decision.APPROVE:
        claim.save(job.noting(What.APPROVED, at=now, who=who, reason=verdict.reason, evidence=evidence))
    elif verdict.decision is Decision.REGENERATE:
        _send_back(context, claim, verdict, who=who)
    else:
        claim.job = job.noting(What.REJECTED, at=now, who=who, reason=verdict.reason, evidence=evidence)
        fail(context, claim, "rejected", verdict.reason)


def _send_back(context: Context, claim: Claim, verdict: Verdict, *, who: str) -> None:
    """The job waits in ``pending`` to have the named segments made again, the reason in their next prompts."""
    now = context.clock()
    again = remade(claim.job, verdict, at=now, who=who)
    claim.advance(again, State.PENDING, at=now, who=who, reason=verdict.reason)
    Workspace(context.home, again.stream_id).thinned.unlink(missing_ok=True)
    context.outcome.done.append(again.stream_id)


def _deliver(context: Context, claim: Claim, work: Work) -> None:
    """An approved page is published, verified and mailed; the job is completed."""
    work = replace(work, job=claim.job)
    job = deliver(work, read_story(context.home, claim.job), context.clock())
    claim.advance(job.evolve(tries=0, not_before=None, held_by=""), State.COMPLETED, at=context.clock(), who="review")
    context.log.info("job.completed", stream=job.stream_id)
    context.outcome.done.append(job.stream_id)


def _failures(inspection: Inspection) -> str:
    failed = inspection.failed_hard
    return "; ".join(" ".join(filter(None, (one.name, one.segment_id, one.detail))) for one in failed)


def _report_waiting(context: Context) -> None:
    waiting = len(context.queue.names(State.REVIEW)) if context.settings.review_policy == "operator" else 0
    if waiting:
        context.tell_once("waiting_for_review", f"{waiting} page(s) wait for your review: downstream review")
    else:
        context.all_clear("waiting_for_review", "no page waits for review any more")
