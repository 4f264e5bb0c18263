"""By when an order's page is promised, how long an order takes, and when the one endangers the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from downstream.domain.state import State

if TYPE_CHECKING:
    from downstream.domain.job import Job

ONE_ORDER = timedelta(minutes=40)
"""From its turn to the customer's letter: some ten minutes of making, and the ticks of both stages."""
SLACK = 3
"""How much longer is promised than it takes when nothing goes wrong: a regeneration, a throttled service."""
FARTHEST = timedelta(days=90)
"""A promise farther from its payment was made by a clock that was wrong."""
MARGIN = timedelta(minutes=10)
_STILL_NEEDED = {
    State.PENDING: ONE_ORDER,
    State.PROCESSING: timedelta(minutes=30),
    State.REVIEW: timedelta(minutes=20),
    State.FAILED: ONE_ORDER,
}
"""What is left to do for an order that lies there, until its letter is sent."""
_LAST_SHARE = 4


class Danger(StrEnum):
    """How a promise stands that is not safe."""

    THREATENED = "threatened"
    """Less time is left than is needed, or the last quarter of it has begun."""
    BROKEN = "broken"
    """Its time has passed."""


def due_by(job: Job) -> datetime:
    """When the job has to be done: as its customer was promised; where nobody knows, after what is usual."""
    ordered_at, promised_by = job.order_time, job.promised_by
    if promised_by is not None and timedelta() <= promised_by - ordered_at <= FARTHEST:
        return promised_by
    return ordered_at + min(ONE_ORDER * SLACK, datetime.max.replace(tzinfo=UTC) - ordered_at)


def turn(job: Job) -> tuple[bool, datetime]:
    """Sorts by the order of service: what is paid for before what is not, then what is due first."""
    return (not job.is_paid, due_by(job))


def still_needed(state: State, rounds_before: int = 0) -> timedelta:
    """How long an order that lies there will take, with those whose turn comes before; nothing once it is delivered."""
    return _STILL_NEEDED[state] + rounds_before * ONE_ORDER if state in _STILL_NEEDED else timedelta()


def danger(ordered_at: datetime, promised_by: datetime, needed: timedelta, now: datetime) -> Danger | None:
    """How the promise stands; None while it is safe."""
    left = promised_by - now
    if left <= timedelta():
        return Danger.BROKEN
    is_close = left < needed + MARGIN or left < (promised_by - ordered_at) / _LAST_SHARE
    return Danger.THREATENED if is_close else None
