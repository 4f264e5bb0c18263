"""Orders in ``jobs/failed`` that a person has to decide on: the operator hears of each, also when a run was killed
between the move and the telling.

Each is told once, after a day again while nothing has been decided, and is told to be over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.alerts import is_known, is_news, is_over, told
from downstream.domain.job import GIVEN_UP, Job, What
from downstream.domain.state import State
from downstream.holds import CANCELLED, REFUNDED, find_hold
from downstream.promises import and_others
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

PREFIX = "failed."


def sentence(job: Job) -> str:
    """What the operator reads of an order that failed."""
    reason = job.failure.reason if job.failure else "no reason is known"
    return f"{job.stream_id} failed: {reason}. See: downstream show {job.stream_id}"


def is_unresolved(home: Path, job: Job) -> bool:
    """The order, which lies in ``failed``, waits for a person; nobody has given it up."""
    if job.failure is None or job.failure.kind in GIVEN_UP or (job.refunded_minor and job.is_given_back):
        return False
    rejected = [entry.who for entry in job.history if entry.what is What.REJECTED]
    if job.failure.kind == "rejected" and rejected[-1:] == ["operator"]:
        return False
    held = find_hold(home, job.stream_id)
    return held is None or not held.kinds & {CANCELLED, REFUNDED}


def note_told(home: Path, stream_id: str, now: datetime) -> None:
    """The operator was told that the order failed. After the telling, not before: twice is better than never."""
    is_news(home, PREFIX + stream_id, now)


def look(home: Path, now: datetime, say: Callable[[str], None]) -> None:
    """The operator heard of each order that waits for a decision in ``failed``, and of those that do no longer."""
    jobs = [job for job in Queue(home).jobs(State.FAILED) if isinstance(job, Job) and is_unresolved(home, job)]
    news = [job for job in jobs if not is_known(home, PREFIX + job.stream_id, now)]
    if news:
        say(sentence(news[0]) + and_others([job.stream_id for job in news[1:]]))
        for job in news:
            note_told(home, job.stream_id, now)
    waiting = {PREFIX + job.stream_id for job in jobs}
    over = [name for name in told(home, PREFIX) if name not in waiting and is_over(home, name)]
    if ended := sorted(name.removeprefix(PREFIX) for name in over):
        say(_all_clear(ended))


def decided(home: Path, stream_id: str, say: Callable[[str], None]) -> None:
    """Somebody has just sent the order on; who was told of it hears that at once, and the next look is silent."""
    if is_over(home, PREFIX + stream_id):
        say(_all_clear([stream_id]))


def _all_clear(stream_ids: list[str]) -> str:
    return f"all clear: {stream_ids[0]} waits in jobs/failed no longer{and_others(stream_ids[1:])}"
