"""``downstream process``: paid orders become pages that wait for review."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from downstream.domain.checks import Decision, Inspection
from downstream.domain.errors import NoRoom
from downstream.domain.state import State
from downstream.guard import check_room
from downstream.locks import Lock
from downstream.machine import machine_trouble
from downstream.stages.context import Context, attempt, end_run, fail
from downstream.stages.regenerate import decide_on, remade
from downstream.steps.clips import has_clip, make_clips
from downstream.steps.frames import make_frames
from downstream.steps.judge import judge_keyframes
from downstream.steps.keyframes import make_keyframes
from downstream.steps.page import make_page
from downstream.steps.plan import plan, screen
from downstream.steps.story import read_story

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.checks import Check
    from downstream.domain.production import Production
    from downstream.queue import Claim
    from downstream.steps.work import Pools, Work

_LOOK_SECONDS = 0.5
"""How late a signal can be noticed."""


def process(context: Context) -> None:
    """Every job that can be served now was taken up; what came of each is in ``context.outcome``.

    Returns also when the run had to end early; ``context.outcome.stopped`` says why.
    """
    context.give_up_cancelled()
    turn = threading.Lock()
    places = context.settings.jobs_at_once
    with context.pools() as pools, ThreadPoolExecutor(places) as workers:
        working = [workers.submit(_work_off, context, pools, turn) for _ in range(places)]
        while wait(working, _LOOK_SECONDS).not_done:
            pass  # signals are handled in this thread alone; one that comes just before a wait does not end it
        for worker in working:
            worker.result()
    context.report_set_aside()
    context.report_holds_over()
    context.report_held_orders()


def _work_off(context: Context, pools: Pools, turn: threading.Lock) -> None:
    """One worker: takes a place, and in it one job after the other."""
    try:
        place = _take_place(context)
        if place is None:
            return  # other processes fill every place; they look for the next job themselves
        with place:
            while (claim := _next(context, turn)) is not None:
                attempt(context, claim, partial(_make, context, claim, pools))
    except OSError as error:
        end_run(context, machine_trouble(error, context.home))


def _next(context: Context, turn: threading.Lock) -> Claim | None:
    if context.stop.is_set():
        return None
    try:
        check_room(context.home, context.settings)
    except NoRoom as error:
        end_run(context, error)
        return None
    with turn:
        claim = context.queue.claim_next(live=context.suppliers.live is not None, now=context.clock())
        context.report_set_aside()  # at once: a run may be killed before its end
        if claim is not None:
            context.begin()
        return claim


def _take_place(context: Context) -> Lock | None:
    """One of the places for jobs on this machine; None while other processes hold them all."""
    folder = context.home / "jobs" / ".places"
    for number in range(context.settings.jobs_at_once):
        place = Lock.take(folder / f"{number}.lock")
        if place is not None:
            return place
    return None


def _make(context: Context, claim: Claim, pools: Pools) -> None:
    """One order from its story to a page that waits for review."""
    providers = context.suppliers.serving(claim.job)
    if providers is None:
        claim.give_back()
        return
    context.check_running()
    job = claim.job
    context.log.info("job.claimed", stream=job.stream_id, paid=job.is_paid, recoveries=job.recoveries)
    work = context.work_on(claim, providers, pools)
    while flaws := make_stream(work):
        verdict = decide_on(work, Inspection(page_sha256="", at=context.clock(), checks=flaws))
        if verdict.decision is not Decision.REGENERATE:
            fail(context, claim, "rejected", verdict.reason)
            return
        claim.save(remade(claim.job, verdict, at=context.clock(), who="process"))
        context.log.info("job.keyframes_rejected", stream=job.stream_id, segments=list(verdict.segment_ids))
        work = replace(work, job=claim.job)
    done = claim.job.evolve(tries=0, not_before=None, held_by="")
    claim.advance(done, State.REVIEW, at=context.clock(), who="process")
    context.log.info("job.to_review", stream=job.stream_id)
    context.outcome.done.append(job.stream_id)


def _flaws(work: Work, production: Production, keyframes: dict[str, Path]) -> tuple[Check, ...]:
    """What the judge has against keyframes whose clips are not bought yet."""
    unfilmed = {one.id for one in production.segments if not has_clip(work, one, keyframes[one.id])}
    if not unfilmed:
        return ()
    return tuple(
        check
        for check in judge_keyframes(work, production, keyframes)
        if not check.passed and check.segment_id in unfilmed
    )


def make_stream(work: Work) -> tuple[Check, ...]:
    """The stream's page lies in its folder; what was finished before and still fits was not made again.

    Returns what the judge says when it rejects keyframes: nothing was made from them then.
    """
    story = read_story(work.workspace.home, work.job)
    screen(work, story)
    production = plan(work, story)
    keyframes = make_keyframes(work, production)
    if flaws := _flaws(work, production, keyframes):
        return flaws
    make_clips(work, production, keyframes)
    frames = make_frames(work, production)
    make_page(work, story, production, frames)
    return ()
