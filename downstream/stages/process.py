"""``downstream process``: paid orders become pages that wait for review."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from downstream.domain.job import State
from downstream.locks import Lock
from downstream.stages.context import Context, attempt, end_run, machine_trouble
from downstream.steps.clips import make_clips
from downstream.steps.frames import make_frames
from downstream.steps.keyframes import make_keyframes
from downstream.steps.page import make_page
from downstream.steps.plan import plan
from downstream.steps.story import read_story

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from downstream.queue import Claim
    from downstream.steps.work import Work


def process(context: Context) -> None:
    """Every job that can be served now was taken up; what came of each is in ``context.outcome``.

    Returns also when the run had to end early; ``context.outcome.stopped`` says why.
    """
    turn = threading.Lock()
    places = context.settings.jobs_at_once
    with ThreadPoolExecutor(context.settings.segments_at_once) as pool, ThreadPoolExecutor(places) as workers:
        for worker in [workers.submit(_work_off, context, pool, turn) for _ in range(places)]:
            worker.result()
    context.report_set_aside()
    _report_held_orders(context)


def _work_off(context: Context, pool: Executor, turn: threading.Lock) -> None:
    """One worker: takes a place, and in it one job after the other."""
    try:
        place = _take_place(context)
        if place is None:
            return  # other processes fill every place; they look for the next job themselves
        with place:
            while (claim := _next(context, turn)) is not None:
                attempt(context, claim, partial(_make, context, claim, pool))
    except OSError as error:
        end_run(context, machine_trouble(error))


def _next(context: Context, turn: threading.Lock) -> Claim | None:
    if context.stop.is_set():
        return None
    with turn:
        return context.queue.claim_next(live=context.suppliers.live is not None, now=context.clock())


def _take_place(context: Context) -> Lock | None:
    """One of the places for jobs on this machine; None while other processes hold them all."""
    folder = context.home / "jobs" / ".places"
    for number in range(context.settings.jobs_at_once):
        place = Lock.take(folder / f"{number}.lock")
        if place is not None:
            return place
    return None


def _make(context: Context, claim: Claim, pool: Executor) -> None:
    """One order from its story to a page that waits for review."""
    providers = context.suppliers.serving(claim.job)
    if providers is None:
        claim.give_back()
        return
    context.check_running()
    job = claim.job
    context.log.info("job.claimed", stream=job.stream_id, paid=job.is_paid, recoveries=job.recoveries)
    work = context.work_on(claim, providers, pool)
    make_stream(work)
    done = job.evolve(tries=0, not_before=None)
    claim.advance(done, State.REVIEW, at=context.clock(), who="process")
    context.log.info("job.to_review", stream=job.stream_id)
    context.outcome.done.append(job.stream_id)


def make_stream(work: Work) -> None:
    """The stream's page lies in its folder; what was finished before and still fits was not made again."""
    story = read_story(work.workspace.home, work.job)
    production = plan(work, story)
    keyframes = make_keyframes(work, production)
    make_clips(work, production, keyframes)
    frames = make_frames(work, production)
    make_page(work, story, production, frames)


def _report_held_orders(context: Context) -> None:
    """Orders that only outside services may serve are told of while there are none."""
    held = sum(1 for _, needs_live in context.queue.waiting() if needs_live) if context.suppliers.live is None else 0
    if held:
        sentence = f"{held} order(s) wait in jobs/pending for outside services, and no keys for them are set"
        context.tell_once("held_orders", sentence)
    else:
        context.all_clear("held_orders", "no order waits for outside services any more")
