"""The orders whose customers were promised their page for a time that is close, or past: the operator hears of them.

``downstream process`` looks now and then, also when it has nothing to do; ``status``, the daily review and ``explain``
say the same.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from downstream.alerts import is_news, is_over, told
from downstream.domain.job import Job
from downstream.domain.promise import ONE_ORDER, SLACK, Danger, danger, still_needed
from downstream.domain.state import State
from downstream.holds import CANCELLED, DISPUTED, PART_REFUNDED, REFUNDED, find_hold
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from downstream.settings import Settings

PREFIX = "promise."
MOST_PENDING = 50
"""Of those in ``pending``, first paid first: who comes later was promised a later time."""
_MOST_NAMED = 10
_NOT_OWED = frozenset({CANCELLED, REFUNDED, DISPUTED, PART_REFUNDED, "withdrawn"})
"""Holds and failures of orders that nobody waits for, or whose money is being taken back."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A paid order that is not delivered, and when its page was promised."""

    stream_id: str
    state: State
    ordered_at: datetime
    promised_by: datetime
    needed: timedelta
    """How long it will take from now on, with those whose turn comes before."""

    def danger(self, now: datetime) -> Danger | None:
        """How it stands; None while it is safe."""
        return danger(self.ordered_at, self.promised_by, self.needed, now)

    def sentence(self, now: datetime) -> str:
        """For the operator: what was promised and how it stands."""
        place, moment = f"it lies in jobs/{self.state.value}", f"{self.promised_by:%Y-%m-%d %H:%M %Z}"
        match self.danger(now):
            case Danger.BROKEN:
                return f"{self.stream_id} was promised by {moment} and is not delivered: {place}"
            case Danger.THREATENED:
                left, needed = _minutes(self.promised_by - now), _minutes(self.needed)
                return f"{self.stream_id} is promised by {moment}: {left} min are left, {needed} needed, {place}"
            case _:
                return f"{self.stream_id} is promised by {moment}: {place}"


def endangered(home: Path, settings: Settings, now: datetime) -> list[Promise]:
    """Every paid order whose promise is threatened or broken, the earliest promise first."""
    return endangered_among(_open_orders(home), home, settings, now)


def endangered_among(
    orders: Mapping[State, Sequence[Job]], home: Path, settings: Settings, now: datetime
) -> list[Promise]:
    """The same of orders that were read already, by the folder they lie in; those in ``pending`` as they are served."""
    found = [
        promise
        for state, jobs in orders.items()
        for number, job in enumerate(jobs)
        if (promise := promise_of(home, job, state, number // settings.jobs_at_once if state is State.PENDING else 0))
        if promise.danger(now)
    ]
    return sorted(found, key=lambda promise: (promise.promised_by, promise.stream_id))


def promise_of(home: Path, job: Job, state: State, rounds_before: int = 0) -> Promise | None:
    """What was promised for a paid order that is still owed; None where nobody waits for anything.

    A revision of a delivered page was promised for no time.
    """
    if not job.is_paid or state is State.COMPLETED or job.is_delivered or _is_not_owed(home, job):
        return None
    promised_by = _promised(home, job)
    if promised_by is None:
        return None
    return Promise(job.stream_id, state, job.order_time, promised_by, still_needed(state, rounds_before))


def tell(home: Path, settings: Settings, now: datetime, say: Callable[[str], None]) -> None:
    """The operator heard of each endangered promise: once, when it breaks, after a day again, and when it is over."""
    found = endangered(home, settings, now)
    current = {_fingerprint(promise, now) for promise in found}
    news = [promise for promise in found if is_news(home, _fingerprint(promise, now), now)]
    if news:
        others = [promise.stream_id for promise in news[1:]]
        say(f"{news[0].sentence(now)}{and_others(others)}. See: downstream explain {news[0].stream_id}")
    over = [name for name in told(home, PREFIX) if name not in current and is_over(home, name)]
    endangered_still = {promise.stream_id for promise in found}
    if ended := sorted({name.rpartition(".")[2] for name in over} - endangered_still):
        say(f"all clear: the promise to {ended[0]} is in no danger any more{and_others(ended[1:])}")


def _promised(home: Path, job: Job) -> datetime | None:
    """By ``order.json``; where that says nothing, what is usual; None where nobody knows when it was ordered."""
    from pydantic import ValidationError

    from downstream.domain.order import Order

    with suppress(OSError, ValidationError):
        order = Order.model_validate_json((home / "streams" / job.stream_id / "order.json").read_bytes())
        if order.promised_by is not None:
            return order.promised_by
    try:
        return job.order_time + ONE_ORDER * SLACK
    except OverflowError:  # neither paid nor seen on any day, or on one beyond the calendar
        return None


def _open_orders(home: Path) -> dict[State, list[Job]]:
    """The orders that are not delivered; read as jobs move, so that one on its way is found where it is last."""
    queue, found = Queue(home), dict[str, tuple[State, Job]]()
    for name, _ in islice(queue.waiting(), MOST_PENDING):
        with suppress(FileNotFoundError, StillWritten, Unreadable):
            found[name] = (State.PENDING, queue.read(State.PENDING, name))
    for state in (State.PROCESSING, State.REVIEW, State.FAILED):
        found |= {f"{job.stream_id}.json": (state, job) for job in queue.jobs(state) if isinstance(job, Job)}
    return {state: [job for lies_in, job in found.values() if lies_in is state] for state in State}


def _is_not_owed(home: Path, job: Job) -> bool:
    held = find_hold(home, job.stream_id)
    kinds = (held.kinds if held else set()) | ({job.failure.kind} if job.failure else set())
    return bool(kinds & _NOT_OWED) or job.is_settled


def _fingerprint(promise: Promise, now: datetime) -> str:
    found = promise.danger(now)
    return f"{PREFIX}{found.value if found else 'safe'}.{promise.stream_id}"


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)


def and_others(names: list[str]) -> str:
    """The other orders of which the same is to be said."""
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f" (and {len(names)} other(s): {', '.join(names[:_MOST_NAMED])}{more})"
