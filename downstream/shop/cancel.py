"""What an operator says about an order beside making it: stop, go on, give it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.domain.job import Failure, What
from downstream.domain.state import UNDER_WAY, State
from downstream.holds import CANCELLED, OPERATOR, Hold, find_hold, hold, is_restored, let_go
from downstream.queue import Busy, NoSuchJob
from downstream.shop import errands

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.queue import Queue


def hold_back(queue: Queue, stream_id: str, reason: str, now: datetime) -> bool:
    """Nothing more is bought or published for the order; what is under way ends. False when it was held before.

    Raises:
        NoSuchJob: there is none of that name.
    """
    _require(queue, stream_id)
    return hold(queue.home, Hold(stream_id, OPERATOR, reason, now.isoformat(timespec="seconds")))


def release(queue: Queue, stream_id: str) -> Hold:
    """What held the order is gone, and it goes on unless something lay below that; returns it.

    Raises:
        NoSuchJob: there is none of that name.
        PersonDecides: it was not held.
    """
    held = let_go(queue.home, stream_id)
    if held is None:
        _require(queue, stream_id)
        raise PersonDecides(f"{stream_id} is not held")
    return held


def note_delivered(queue: Queue, stream_id: str, address: str, now: datetime) -> None:
    """The order, restored from a backup, is completed: its page stands at ``address``, and the customer knows.

    Nothing is made, published or mailed for it.

    Raises:
        NoSuchJob: there is none of that name under way.
        PersonDecides: it did not come out of a backup.
        Busy: somebody works on it.
    """
    if not is_restored(queue.home, stream_id):
        raise PersonDecides(f"{stream_id} is not held because of a restore: let downstream review deliver it")
    if queue.find(stream_id) is not State.COMPLETED:  # of a run that was killed
        claim = queue.claim(stream_id, *UNDER_WAY)
        with claim:
            reason, job = "delivered after the backup, before the restore", claim.job
            for what in (What.PUBLISHED, What.MAILED):
                job = job.noting(what, at=now, who="operator", reason=reason, evidence={"address": address})
            claim.advance(job, State.COMPLETED, at=now, who="operator", reason=reason)
    errands.done(queue.home, errands.Errand(stream_id, errands.CONFIRM))
    let_go(queue.home, stream_id)


def cancel(queue: Queue, stream_id: str, reason: str, now: datetime) -> bool:
    """The order is given up, or will be as soon as nobody works on it (False); its money is not touched.

    Raises:
        NoSuchJob: there is none of that name.
        PersonDecides: it is delivered, or was given up before.
    """
    state = _require(queue, stream_id)
    if state in {State.COMPLETED, State.FAILED}:
        raise PersonDecides(f"{stream_id} is in jobs/{state.value}: there is nothing to cancel")
    hold(queue.home, Hold(stream_id, CANCELLED, reason, now.isoformat(timespec="seconds")))
    try:
        claim = queue.claim(stream_id, *UNDER_WAY)
    except (Busy, NoSuchJob):
        return False  # the run that works on it meets the hold before its next paid call
    with claim:
        failure = Failure(kind="cancelled", reason=reason, step="operator", at=now)
        claim.advance(claim.job.evolve(failure=failure), State.FAILED, at=now, who="operator", reason=reason)
    held = find_hold(queue.home, stream_id)
    if held is not None and held.kind == CANCELLED:
        let_go(queue.home, stream_id)
    return True


def _require(queue: Queue, stream_id: str) -> State:
    state = queue.find(stream_id)
    if state is None:
        raise NoSuchJob(stream_id)
    return state
